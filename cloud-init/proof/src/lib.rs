//! Machines to prove the provisioning on: cloud-init itself runs our document on a real systemd, in a container or a
//! virtual machine that has no network and in which every download is answered by a stand-in.
//!
//! `multipass launch` reports success even when every step of the provisioning failed, so reading the document proves
//! nothing: it has to be run, whole and with each step broken. The parts that a machine has in common with every other
//! are made once and kept, under a key of what they are made from; see [`image::prepare`].

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

/// A value, or what went wrong, for people.
pub type Result<T> = std::result::Result<T, String>;

/// The programs that a proof needs on the machine which runs it, each with its Debian package.
pub const PROGRAMS: [(&str, &str); 7] = [
    ("docker", "docker.io"),
    ("dockerd", "docker.io"),
    ("mmdebstrap", "mmdebstrap"),
    ("iptables", "iptables"),
    ("gpg", "gnupg"),
    ("openssl", "openssl"),
    ("dpkg-deb", "dpkg"),
];
