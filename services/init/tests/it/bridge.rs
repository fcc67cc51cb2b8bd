//! `bridge-accept` against the real kernel, read back by the real `iptables-nft`; each test has its own network namespace.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::{POLIS_INIT, have_program, run, skip, succeed};
use crate::namespace::Namespace;

const OURS: &str = "-A DOCKER-USER -i br-polis -o br-polis -j ACCEPT";

#[test]
fn the_rule_is_added_at_the_head_once() {
    let Some(namespace) = Namespace::with_chain() else {
        return;
    };
    let first = namespace.accept(&["br-polis"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(
        first.stdout,
        "polis-init: tables inet and arp polis-init-br-polis: br-polis can reach nothing outside its network\n\
         polis-init: DOCKER-USER: -i br-polis -o br-polis -j ACCEPT: added at the head\n"
    );
    assert_eq!(namespace.rules(), [OURS, "-A DOCKER-USER -j RETURN"]);

    let second = namespace.accept(&["br-polis"]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.stdout.ends_with("already in effect\n"), "{second:?}");
    assert_eq!(namespace.rules(), [OURS, "-A DOCKER-USER -j RETURN"]);
}

#[test]
fn iptables_and_polis_init_recognise_each_others_rule() {
    let Some(namespace) = Namespace::with_chain() else {
        return;
    };
    assert_eq!(namespace.accept(&["br-polis"]).code, Some(0));
    namespace.iptables("-C DOCKER-USER -i br-polis -o br-polis -j ACCEPT");
    assert!(
        namespace
            .iptables("-vS DOCKER-USER")
            .contains(&format!("{OURS_COUNTED}\n"))
    );
    namespace.iptables("-D DOCKER-USER -i br-polis -o br-polis -j ACCEPT");

    namespace.iptables("-I DOCKER-USER -i br-polis -o br-polis -j ACCEPT");
    let ran = namespace.accept(&["br-polis"]);
    assert!(ran.stdout.ends_with("already in effect\n"), "{ran:?}");
    assert_eq!(namespace.rules(), [OURS, "-A DOCKER-USER -j RETURN"]);
}

const OURS_COUNTED: &str = "-A DOCKER-USER -i br-polis -o br-polis -c 0 0 -j ACCEPT";

#[test]
fn an_empty_chain_is_enough() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.iptables("-N DOCKER-USER");
    assert_eq!(namespace.accept(&["br-polis"]).code, Some(0));
    assert_eq!(namespace.rules(), [OURS]);
}

#[test]
fn a_rule_behind_a_verdict_is_moved_before_it() {
    for verdict in [
        "RETURN",
        "DROP",
        "REJECT --reject-with icmp-port-unreachable",
    ] {
        let Some(namespace) = Namespace::new() else {
            return;
        };
        namespace.iptables("-N DOCKER-USER");
        namespace.iptables(&format!("-A DOCKER-USER -j {verdict}"));
        namespace.iptables("-A DOCKER-USER -i br-polis -o br-polis -j ACCEPT");
        let ran = namespace.accept(&["br-polis"]);
        assert!(
            ran.stdout.ends_with("moved to the head\n"),
            "{verdict}: {ran:?}"
        );
        assert_eq!(
            namespace.rules(),
            [OURS.to_owned(), format!("-A DOCKER-USER -j {verdict}")]
        );
    }
}

#[test]
fn foreign_rules_are_kept_and_only_deciding_ones_move_ours() {
    let Some(namespace) = Namespace::with_chain() else {
        return;
    };
    assert_eq!(namespace.accept(&["br-polis"]).code, Some(0));
    namespace.iptables("-I DOCKER-USER -i eth0 -j DROP");
    namespace.iptables("-I DOCKER-USER ! -i br-polis -o br-polis -j DROP");
    namespace.iptables("-I DOCKER-USER -p tcp -m conntrack --ctstate INVALID -j LOG");
    let before = namespace.rules();
    // LOG is an xtables target, and polis-init does not know which targets continue. So the rule moves once, and then stays.
    assert!(
        namespace
            .accept(&["br-polis"])
            .stdout
            .ends_with("moved to the head\n")
    );
    let after = namespace.rules();
    assert_eq!(after[0], OURS);
    assert_eq!(after.len(), before.len());
    assert!(
        before.iter().all(|rule| after.contains(rule)),
        "{before:?} {after:?}"
    );

    namespace.iptables("-I DOCKER-USER -i eth0 -j DROP");
    namespace.iptables("-I DOCKER-USER ! -i br-polis -o br-polis -j DROP");
    assert!(
        namespace
            .accept(&["br-polis"])
            .stdout
            .ends_with("already in effect\n")
    );
}

#[test]
fn each_bridge_has_its_rule() {
    let Some(namespace) = Namespace::with_chain() else {
        return;
    };
    // The longest name, and two names, one of which is a prefix of the other.
    for bridge in ["br-polis", "br-polis-2", "fifteen-letters"] {
        assert_eq!(namespace.accept(&[bridge]).code, Some(0));
        namespace.iptables(&format!("-C DOCKER-USER -i {bridge} -o {bridge} -j ACCEPT"));
    }
    assert_eq!(namespace.rules().len(), 4);
}

#[test]
fn concurrent_runs_add_one_rule() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    // A long chain gives every run time between reading and writing.
    namespace.restore_long_chain("");
    for _ in 0..5 {
        thread::scope(|scope| {
            let accept = || namespace.accept(&["br-polis"]);
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(accept)).collect();
            for ran in runs {
                let ran = ran.join().expect("no panic");
                assert_eq!(ran.code, Some(0), "{ran:?}");
            }
        });
        let rules = namespace.rules();
        assert_eq!(rules.iter().filter(|rule| *rule == OURS).count(), 1);
        namespace.iptables("-D DOCKER-USER -i br-polis -o br-polis -j ACCEPT");
    }
}

#[test]
fn a_long_chain_is_read_completely() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    namespace.restore_long_chain(OURS);
    let ran = namespace.accept(&["br-polis"]);
    assert!(ran.stdout.ends_with("already in effect\n"), "{ran:?}");
}

#[test]
fn a_missing_chain_is_explained() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let ran = namespace.accept(&["--wait", "0", "br-polis"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "polis-init: bridge-accept br-polis: table `ip filter` of nftables has no chain `DOCKER-USER` after 0 s\n  \
         likely causes: Docker is not running, or its firewall backend is not iptables-nft (legacy iptables, \
         `--firewall-backend=nftables`), or `\"iptables\": false` in /etc/docker/daemon.json\n  \
         next: on the host, run `docker info` and `iptables --version`, then `iptables-nft -S DOCKER-USER`\n"
    );
    assert_eq!(
        namespace.iptables("-S"),
        "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
    );
}

#[test]
fn it_waits_for_the_chain() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| namespace.accept(&["--wait", "60", "br-polis"]));
        thread::sleep(Duration::from_secs(1));
        namespace.iptables("-N DOCKER-USER");
        let ran = waiting.join().expect("no panic");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(
            ran.stderr,
            "polis-init: waiting up to 60 s for Docker to create chain DOCKER-USER\n"
        );
    });
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(namespace.rules(), [OURS]);
}

#[test]
fn the_wait_ends() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    let start = Instant::now();
    let ran = namespace.accept(&["--wait", "1", "br-polis"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("has no chain `DOCKER-USER` after 1 s"),
        "{ran:?}"
    );
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn legacy_iptables_is_recognised() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    // Newer kernels may be built without legacy iptables.
    let made = run(namespace
        .command("iptables-legacy")
        .args(["-N", "DOCKER-USER"]));
    if made.code != Some(0) {
        let said = made.stderr.trim();
        skip(&format!("this kernel has no legacy iptables: {said}"));
        return;
    }
    let ran = namespace.accept(&["--wait", "0", "br-polis"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr
            .contains("\n  likely cause: tables of legacy iptables are in use"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_nftables_backend_of_docker_is_recognised_and_keeps_the_bridge_closed() {
    let Some(namespace) = Namespace::new() else {
        return;
    };
    if !have_program("nft", "nftables") {
        return;
    }
    succeed(
        namespace
            .command("nft")
            .args(["add", "table", "ip", "docker-bridges"]),
    );
    let ran = namespace.accept(&["--wait", "0", "br-polis"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "polis-init: bridge-accept br-polis: table `ip filter` of nftables has no chain `DOCKER-USER` after 0 s\n  \
         cause: table `ip docker-bridges` exists, so Docker runs with `--firewall-backend=nftables`\n  \
         Docker owns that table and offers no chain for rules that accept\n  \
         next: remove `firewall-backend` from /etc/docker/daemon.json and from dockerd's command line, then restart \
         Docker\n"
    );
    let tables = succeed(namespace.command("nft").args(["list", "tables"]));
    assert!(
        tables.contains("table inet polis-init-br-polis\n"),
        "{tables}"
    );
}

#[test]
fn a_missing_net_admin_is_reported() {
    let Some(namespace) = Namespace::with_chain() else {
        return;
    };
    if !have_program("setpriv", "util-linux") {
        return;
    }
    let mut setpriv = namespace.command("setpriv");
    let ran = run(setpriv.args([
        "--bounding-set=-net_admin",
        POLIS_INIT,
        "bridge-accept",
        "br-polis",
    ]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("the capability NET_ADMIN is missing"),
        "{}",
        ran.stderr
    );
    assert_eq!(namespace.rules(), ["-A DOCKER-USER -j RETURN"]);
}
