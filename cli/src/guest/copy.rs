//! Copies between host and workspace. Multipass transfers an archive, and two scripts pack and unpack it through
//! `docker compose exec`, with the permissions of the workspace's user.

use polis_base::Digest;

use super::run;
use crate::copy::unique;
use crate::multipass::call::Call;

/// Exit codes of the scripts, besides 0 and 10.
pub(crate) const ABSENT: i32 = 20;
pub(crate) const NO_DIRECTORY: i32 = 21;
pub(crate) const IN_THE_WAY: i32 = 22;
pub(crate) const FAILED: i32 = 23;
pub(crate) const NO_STACK: i32 = 24;
pub(crate) const TOO_LARGE: i32 = 25;
/// Success: the copy is inside the destination, which is a directory.
pub(crate) const BELOW: i32 = 30;

/// The first line of the packing script's answer.
pub(crate) const MADE: &str = "polis-copy 1";

/// A new path for an archive in the VM.
pub(crate) fn archive() -> String {
    format!("/home/ubuntu/{}.tar", unique())
}

/// Unpacks `archive`, which has this digest, at `path` in the workspace, and removes it. With `directory`, `path` has to
/// become a directory.
pub(crate) fn unpack(
    archive: &str,
    digest: &Digest,
    path: &str,
    directory: bool,
    root: bool,
) -> Call {
    let hex = digest.hex();
    let directory = if directory { "directory" } else { "any" };
    let args = [
        &[archive, &hex][..],
        &run::in_workspace(root, &[]),
        &[
            "bash",
            "-c",
            include_str!("unpack.sh"),
            "unpack",
            path,
            directory,
        ],
    ];
    let purpose = "unpack the copy in the workspace";
    Call::guest(purpose, include_str!("copy-in.sh"), &args.concat())
}

/// Packs `path` of the workspace into `archive`, of at most `most` bytes.
pub(crate) fn pack(archive: &str, most: u64, path: &str, root: bool) -> Call {
    let most = most.to_string();
    let args = [
        &[archive, &most][..],
        &run::in_workspace(root, &[]),
        &["bash", "-c", include_str!("pack.sh"), "pack", path],
    ];
    let purpose = "pack the copy in the workspace";
    Call::guest(purpose, include_str!("copy-out.sh"), &args.concat())
}

/// Removes an archive, and those that killed runs have left more than a day ago.
pub(crate) fn forget(archive: &str) -> Call {
    let purpose = "clean up after a copy";
    Call::guest(purpose, include_str!("copy-forget.sh"), &[archive])
}
