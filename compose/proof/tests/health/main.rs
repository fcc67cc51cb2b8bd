//! Runs gate's health check against a real c-icap. If all of its threads are busy, c-icap still accepts connections but serves none
//! of them, which the check must detect.

use polis_stack_proof::isolated;

const SAID: &str = "\
all is well: code 0 
sentinel still accepts connections
all threads are taken: code 1 unhealthy: sentinel does not answer for requests
they are free again: code 0 
the rules are gone: code 1 unhealthy: the TPROXY rules are gone
";

#[test]
fn a_sentinel_that_accepts_but_does_not_answer_is_unhealthy() {
    let (script, health) = (
        isolated::path("proof/tests/health/isolated.sh"),
        isolated::path("config/gate/health.sh"),
    );
    let probe = "command -v c-icap && nft list tables";
    let needs = "needs root, namespaces, nft and c-icap";
    let ran = isolated::run(probe, needs, &[script.as_str(), health.as_str()])
        .expect("the script can be run");
    let Some(ran) = ran else { return };
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, SAID);
}
