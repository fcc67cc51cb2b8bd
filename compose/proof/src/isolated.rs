//! Runs a test's script in new namespaces: it needs no engine and no image, and its processes end with it.

use cloud_init_proof::run::{Ran, Run};
use cloud_init_proof::runner;

use crate::{Result, tree};

/// Creates namespaces for network, mounts and processes.
const ISOLATED: [&str; 7] = [
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// Runs the bash script with the arguments `words`, the first of which is its path. `probe` is a shell command that succeeds where
/// the script can run; otherwise nothing runs, and this prints `needs`.
///
/// # Errors
/// When unshare cannot be started.
///
/// # Panics
/// When the script cannot run and `POLIS_REQUIRE_REAL_PARTS` is set.
pub fn run(probe: &str, needs: &str, words: &[&str]) -> Result<Option<Ran>> {
    let probed = Run::new(&[&ISOLATED[..], &["bash", "-c", probe]].concat()).ran();
    if !probed.is_ok_and(|ran| ran.code == 0) {
        runner::skip(needs);
        return Ok(None);
    }
    let command = [&ISOLATED[..], &["bash"], words].concat();
    Run::new(&command).ran().map(Some)
}

/// The absolute path of a file of the `compose` folder.
pub fn path(path: &str) -> String {
    let compose = tree::repository().join("compose");
    compose.join(path).display().to_string()
}
