//! The variables by which the processes of one world know of each other.

/// The world's directory.
pub(crate) const DIRECTORY: &str = "FAKE_MULTIPASS";
/// For a tool of a guest: the instance whose guest it is.
pub(crate) const INSTANCE: &str = "FAKE_MULTIPASS_INSTANCE";
/// For a tool of a guest: the number of the call of `multipass` that it is part of.
pub(crate) const WITHIN: &str = "FAKE_MULTIPASS_CALL";
/// The process of the test, which no fault kills.
pub(crate) const TEST: &str = "FAKE_MULTIPASS_TEST";
/// The container that is the guest; without it the guest is a directory.
pub(crate) const MACHINE: &str = "FAKE_MULTIPASS_MACHINE";
