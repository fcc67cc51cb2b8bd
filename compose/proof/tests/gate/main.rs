//! Tests the rules of gate's `init.sh` with the real nft and real packets, in network namespaces: no engine, no image.

use polis_stack_proof::isolated;

/// What the workspace can reach: g3proxy on two ports of any address, resolver on port 53, and nothing else. Refusals are
/// immediate.
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

/// `rp_filter` is the reverse path filter that the machine's distribution chose; it must make no difference.
fn assert_reached(rp_filter: &str) {
    let (script, init) = (
        isolated::path("proof/tests/gate/isolated.sh"),
        isolated::path("config/gate/init.sh"),
    );
    let needs = "needs root, namespaces and nft";
    let words = [script.as_str(), init.as_str(), rp_filter];
    let ran = isolated::run("nft list tables", needs, &words).expect("the script can be run");
    let Some(ran) = ran else { return };
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, REACHED);
}

#[test]
fn two_ports_and_dns_pass_gate_and_the_rest_is_refused_immediately() {
    assert_reached("0");
}

#[test]
fn the_reverse_path_filter_makes_no_difference() {
    assert_reached("2");
}
