//! The environment variables that connect the processes of a sandbox.

/// The sandbox's directory.
pub(crate) const DIRECTORY: &str = "FAKE_MULTIPASS";
/// For a tool of a guest: the instance that it runs in.
pub(crate) const INSTANCE: &str = "FAKE_MULTIPASS_INSTANCE";
/// For a tool of a guest: the number of the call of `multipass` that it is part of.
pub(crate) const WITHIN: &str = "FAKE_MULTIPASS_CALL";
/// The process ID of the test, which no fault may kill.
pub(crate) const TEST: &str = "FAKE_MULTIPASS_TEST";
/// The container that is the guest; without it the guest is a directory.
pub(crate) const MACHINE: &str = "FAKE_MULTIPASS_MACHINE";
