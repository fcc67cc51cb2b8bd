//! Tries the rules of gate's `init.sh` with the real nft and real packets, in network namespaces: no engine, no image.

use std::path::Path;

use cloud_init_proof::Result;
use cloud_init_proof::run::{Ran, Run};

/// What the workspace reaches: g3proxy on two ports of any address, resolver for names, and nothing else. Nothing waits
/// for a time-out.
const REACHED: &str = "\
tcp 203.0.113.1:80 g3proxy for 203.0.113.1:80 from 10.10.1.130
tcp 203.0.113.1:443 g3proxy for 203.0.113.1:443 from 10.10.1.130
tcp 203.0.113.1:22 refused
tcp 203.0.113.1:8080 refused
tcp 203.0.113.1:9000 refused
tcp 203.0.113.1:53 resolver for 10.30.1.10:53 from 10.30.1.6
udp 203.0.113.1:53 resolver from 10.30.1.6
udp 203.0.113.1:443 refused: No route to host
udp 203.0.113.1:9000 refused: No route to host
tcp 10.10.1.2:53 resolver for 10.10.1.2:53 from 10.10.1.130
udp 10.10.1.2:53 resolver from 10.10.1.130
tcp 10.10.1.10:18080 refused
tcp 10.10.1.10:9000 refused
tcp 10.10.1.10:80 refused
tcp 10.10.1.10:53 resolver for 10.30.1.10:53 from 10.30.1.6
udp 10.10.1.10:53 resolver from 10.30.1.6
udp 10.10.1.10:9000 refused: No route to host
tcp 10.30.1.6:18080 refused
tcp 10.30.1.6:9000 refused
tcp 10.30.1.6:80 refused
udp 10.30.1.6:9000 refused: No route to host
tcp 10.20.1.3:18080 refused
tcp 10.20.1.3:9000 refused
tcp 10.20.1.3:80 refused
udp 10.20.1.3:9000 refused: No route to host
tcp 10.30.1.10:53 refused
tcp 10.30.1.10:9153 refused
udp 10.30.1.10:53 refused: No route to host
gate itself: tcp 203.0.113.1:80 outside for 203.0.113.1:80 from 10.20.1.3
";

/// Prints what is reached, or nothing where it cannot be tried. `rp_filter` is what the machine's distribution chose; it
/// must decide nothing.
fn reached(rp_filter: &str) -> Result<Option<Ran>> {
    let isolated = "unshare --net --mount --pid --fork --kill-child --mount-proc";
    let words: Vec<&str> = isolated.split(' ').collect();
    let entered = Run::new(&[&words[..], &["nft", "list", "tables"]].concat()).ran();
    if !entered.is_ok_and(|ran| ran.code == 0) {
        eprintln!("left out: needs root, a network namespace and nft");
        assert!(std::env::var_os("POLIS_REQUIRE_REAL_PARTS").is_none());
        return Ok(None);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scene = root.join("tests/gate/scene.sh");
    let init = root.join("../config/gate/init.sh");
    let (scene, init) = (scene.to_string_lossy(), init.to_string_lossy());
    let script: [&str; 4] = ["bash", &scene, &init, rp_filter];
    Run::new(&[&words[..], &script].concat()).ran().map(Some)
}

fn assert_reached(ran: Option<Ran>) {
    let Some(ran) = ran else { return };
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, REACHED);
}

#[test]
fn two_ports_and_names_pass_gate_and_the_rest_is_refused_at_once() {
    assert_reached(reached("0").unwrap());
}

#[test]
fn nothing_depends_on_the_reverse_path_filter() {
    assert_reached(reached("2").unwrap());
}
