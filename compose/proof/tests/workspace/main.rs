//! Runs the workspace's `init.sh` with the real update-ca-certificates, in namespaces and on overlays: after any failure, the
//! workspace has no route out.

use polis_stack_proof::isolated;

const PROBE: &str = "command -v update-ca-certificates && command -v ip && command -v openssl && \
    mount -t tmpfs none /mnt";

/// Starts the workspace in the situation `case` of `isolated.sh`, and compares the outcome.
fn assert_outcome(case: &str, expected: &str) {
    let (script, init) = (
        isolated::path("proof/tests/workspace/isolated.sh"),
        isolated::path("config/workspace/init.sh"),
    );
    let needs = "needs root, namespaces, ip, openssl and update-ca-certificates";
    let words = [script.as_str(), init.as_str(), case];
    let ran = isolated::run(PROBE, needs, &words).expect("the script can be run");
    let Some(ran) = ran else { return };
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, expected);
}

const NOT_TRUSTED: &str = "code 1, trusted no, route \n\
    /etc/ssl/certs/ca-certificates.crt does not contain the certificate \
    /usr/local/share/ca-certificates/polis-ca.crt\n";

#[test]
fn a_ca_mounted_with_a_foreign_owner_is_trusted_and_gate_is_the_default_route() {
    let expected = "code 0, trusted yes, route default via 10.10.1.10 dev eth0 \n\
        workspace: all traffic goes through 10.10.1.10\n";
    assert_outcome("well", expected);
}

#[test]
fn a_workspace_that_does_not_trust_the_ca_has_no_route() {
    assert_outcome("deaf", NOT_TRUSTED);
}

#[test]
fn a_failed_second_start_removes_the_route_of_the_first() {
    assert_outcome("again", NOT_TRUSTED);
}

#[test]
fn a_workspace_with_ipv6_has_no_route() {
    let expected = "code 1, trusted yes, route \n\
        IPv6 is on in this container, although docker-compose.yml turns it off\n";
    assert_outcome("ipv6", expected);
}
