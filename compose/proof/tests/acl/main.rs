//! Checks with a real server what the ACL from `generate-secrets.sh` permits: everything that an approval needs, and no approval
//! by anyone who can read the agent's traffic.

use std::fs;

use polis_stack_proof::isolated;

const ANSWERS: &str = r#"governance-reqmod: setex polis:blocked:req-00000001 3600 {"destination":"example.org"} -> OK
governance-reqmod: set polis:ott:OTT-1 req-00000001 NX EX 600 -> OK
governance-reqmod: zadd polis:log:events 1 blocked -> 1
mcp-agent: get polis:blocked:req-00000001 -> {"destination":"example.org"}
mcp-admin: scan 0 MATCH polis:blocked:* COUNT 100 -> 0 polis:blocked:req-00000001
mcp-admin: get polis:blocked:req-00000001 -> {"destination":"example.org"}
mcp-admin: zadd polis:log:events 2 approved -> 1
mcp-admin:  -> OK QUEUED QUEUED 1 OK
mcp-admin: setex polis:approved:host:example.org 300 approved -> OK
mcp-admin: set polis:config:security_level strict -> OK
mcp-admin: set polis:config:auto_approve:*.example.org allow -> OK
mcp-agent: get polis:approved:req-00000001 -> approved
mcp-agent: zrevrange polis:log:events 0 9 -> approved blocked
dlp-reader: get polis:config:security_level -> strict
governance-reqmod: get polis:approved:host:example.org -> approved
mcp-agent: setex polis:approved:host:example.com 300 approved -> NOPERM
mcp-agent: set polis:config:security_level relaxed -> NOPERM
dlp-reader: set polis:config:security_level relaxed -> NOPERM
governance-reqmod: setex polis:approved:host:example.com 300 approved -> NOPERM
governance-respmod: set polis:config:security_level relaxed -> NOPERM
healthcheck: get polis:config:security_level -> NOPERM
mcp-admin: config get dir -> NOPERM
mcp-admin: flushall -> NOPERM
mcp-admin: acl list -> NOPERM
"#;

#[test]
fn a_person_can_approve_and_the_agent_cannot() {
    let scratch = std::env::temp_dir().join(format!("polis-acl-{}", std::process::id()));
    fs::create_dir_all(&scratch).expect("the scratch directory can be created");
    let (script, compose) = (isolated::path("proof/tests/acl/ask.sh"), isolated::path(""));
    let folder = scratch.display().to_string();
    let needs = "needs root, namespaces and redis-server";
    let words = [script.as_str(), compose.as_str(), folder.as_str()];
    let ran =
        isolated::run("redis-server --version", needs, &words).expect("the script can be run");
    let log = fs::read_to_string(scratch.join("server.log")).unwrap_or_default();
    fs::remove_dir_all(&scratch).expect("the scratch directory can be removed");
    let Some(ran) = ran else { return };
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{log}");
    assert_eq!(ran.stdout, ANSWERS, "{log}");
}
