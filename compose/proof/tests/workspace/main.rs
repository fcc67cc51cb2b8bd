//! Runs the workspace's `init.sh` with the real update-ca-certificates, in namespaces and on overlays: whatever fails in
//! it leaves the workspace without a way out.

use std::path::Path;

use cloud_init_proof::Result;
use cloud_init_proof::run::{Ran, Run};

/// Prints what came of a start, or nothing where it cannot be tried.
fn start(case: &str) -> Result<Option<Ran>> {
    let isolated = ["unshare", "--net", "--mount"];
    let needs = ["update-ca-certificates", "ip", "openssl"].join(" && command -v ");
    let probe = format!("command -v {needs} && mount -t tmpfs none /mnt");
    let entered = Run::new(&[&isolated[..], &["bash", "-c", &probe]].concat()).ran();
    if !entered.is_ok_and(|ran| ran.code == 0) {
        eprintln!("left out: needs root, namespaces, ip, openssl and update-ca-certificates");
        assert!(std::env::var_os("POLIS_REQUIRE_REAL_PARTS").is_none());
        return Ok(None);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize();
    let root = root.map_err(|error| error.to_string())?;
    let scene = root.join("tests/workspace/scene.sh");
    let init = root.with_file_name("config/workspace/init.sh");
    let (scene, init) = (scene.to_string_lossy(), init.to_string_lossy());
    let script: [&str; 4] = ["bash", &scene, &init, case];
    Run::new(&[&isolated[..], &script].concat()).ran().map(Some)
}

fn assert_comes(ran: Option<Ran>, expected: &str) {
    let Some(ran) = ran else { return };
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, expected);
}

const NOT_TRUSTED: &str = "code 1, trusted no, route \n\
    /etc/ssl/certs/ca-certificates.crt does not have the certificate of \
    /usr/local/share/ca-certificates/polis-ca.crt\n";

#[test]
fn a_ca_that_is_mounted_with_a_foreign_owner_is_trusted_and_the_way_out_is_gate() {
    let expected = "code 0, trusted yes, route default via 10.10.1.10 dev eth0 \n\
        workspace: all traffic goes through 10.10.1.10\n";
    assert_comes(start("well").unwrap(), expected);
}

#[test]
fn a_workspace_that_does_not_trust_the_ca_has_no_way_out() {
    assert_comes(start("deaf").unwrap(), NOT_TRUSTED);
}

#[test]
fn a_second_start_that_fails_leaves_no_route_of_the_first() {
    assert_comes(start("again").unwrap(), NOT_TRUSTED);
}

#[test]
fn a_workspace_with_ipv6_has_no_way_out() {
    let expected = "code 1, trusted yes, route \n\
        there is IPv6 in this container, although docker-compose.yml turns it off\n";
    assert_comes(start("ipv6").unwrap(), expected);
}
