//! Runs gate's health check against a real c-icap: one whose threads are all taken accepts connections and serves
//! nobody, and has to be seen.

use std::path::Path;

use cloud_init_proof::run::Run;

const SAID: &str = "\
all is well: code 0 
sentinel still accepts connections
all threads are taken: code 1 unhealthy: sentinel does not answer for requests
they are free again: code 0 
the rules are gone: code 1 unhealthy: the TPROXY rules are gone
";

#[test]
fn a_sentinel_that_accepts_and_does_not_answer_is_unhealthy() {
    let isolated = "unshare --net --mount --pid --fork --kill-child --mount-proc";
    let words: Vec<&str> = isolated.split(' ').collect();
    let probe = "command -v c-icap && nft list tables";
    let entered = Run::new(&[&words[..], &["bash", "-c", probe]].concat()).ran();
    if !entered.is_ok_and(|ran| ran.code == 0) {
        eprintln!("left out: needs root, namespaces, nft and c-icap");
        assert!(std::env::var_os("POLIS_REQUIRE_REAL_PARTS").is_none());
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .canonicalize()
        .unwrap();
    let scene = root.join("tests/health/scene.sh");
    let health = root.with_file_name("config/gate/health.sh");
    let (scene, health) = (scene.to_string_lossy(), health.to_string_lossy());
    let script: [&str; 3] = ["bash", &scene, &health];
    let ran = Run::new(&[&words[..], &script].concat()).ran().unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, SAID);
}
