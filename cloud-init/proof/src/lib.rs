//! Machines for testing the provisioning: cloud-init itself runs our document on a real systemd, in a container or a
//! virtual machine without a network, where a stand-in answers every download.
//!
//! `multipass launch` reports success even if every step of the provisioning failed, so reading the document proves nothing: it has
//! to be run, unchanged and with each step broken. The parts that all machines share are built once and cached under a key of their
//! inputs; see [`image::prepare`].

pub mod base;
pub mod document;
pub mod engine;
mod files;
pub mod guest;
pub mod image;
pub mod packages;
pub mod proxy;
pub mod run;
pub mod runner;
pub mod vm;

/// A value, or an error message for people.
pub type Result<T> = std::result::Result<T, String>;

/// The programs that a proof needs on the machine that runs it, each with its Debian package.
pub const PROGRAMS: [(&str, &str); 7] = [
    ("docker", "docker.io"),
    ("dockerd", "docker.io"),
    ("mmdebstrap", "mmdebstrap"),
    ("iptables", "iptables"),
    ("gpg", "gnupg"),
    ("openssl", "openssl"),
    ("dpkg-deb", "dpkg"),
];
