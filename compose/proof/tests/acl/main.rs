//! Asks a real server what the ACL that `generate-secrets.sh` writes allows: all that approving needs, and to nobody
//! who reads the agent's bytes the right to approve.

use std::fs;
use std::path::Path;

use cloud_init_proof::run::Run;

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
fn a_person_approves_and_the_agent_cannot() {
    let isolated = "unshare --net --pid --fork --kill-child";
    let words: Vec<&str> = isolated.split(' ').collect();
    let there = Run::new(&[&words[..], &["redis-server", "--version"]].concat()).ran();
    if !there.is_ok_and(|ran| ran.code == 0) {
        eprintln!("left out: needs root, a network namespace and redis-server");
        assert!(std::env::var_os("POLIS_REQUIRE_REAL_PARTS").is_none());
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = std::env::temp_dir().join(format!("polis-acl-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    let ask = root.join("tests/acl/ask.sh");
    let compose = root.join("..").canonicalize().unwrap();
    let paths = [&ask, &compose, &scratch].map(|path| path.to_string_lossy());
    let script = ["bash", &*paths[0], &*paths[1], &*paths[2]];
    let ran = Run::new(&[&words[..], &script].concat()).ran().unwrap();
    let log = fs::read_to_string(scratch.join("server.log")).unwrap_or_default();
    fs::remove_dir_all(&scratch).unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{log}");
    assert_eq!(ran.stdout, ANSWERS, "{log}");
}
