//! Every state of a pin, caused once, by the real program on a copy of the tree.

mod files;

use std::fs;
use std::path::Path;
use std::time::Duration;

use polis_base::Digest;
use serde_json::{Value, json};
use xtask_loopback::Fault;

use crate::support::docker::DockerRegistry;
use crate::support::test_env::{CLOUD_INIT, COMPOSE, TestEnv, key_file};
use crate::support::{external_tool, layout, run};

const GATE: &str = "ghcr.io/odralabshq/polis-gate-oss:v0.4.0";
const GATE_MANIFESTS: &str = "/v2/odralabshq/polis-gate-oss/manifests";
const INIT: &str = "ghcr.io/odralabshq/polis-init-oss:v0.5.0";

/// Asserts the state of the gate image, and the exit code for it.
fn gate(test_env: &TestEnv, state: &str) {
    let code = match state {
        "missing platform" | "mismatch" => 1,
        "drifted" | "gone" => 2,
        _ => 3,
    };
    assert_eq!(test_env.states(), (code, vec![format!("{state} {GATE}")]));
}

#[test]
fn everything_is_fine_if_all_servers_have_the_pins() {
    let test_env = TestEnv::start();
    let ran = test_env.run(&["verify-pins"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let said = ran.stdout.lines().collect::<Vec<_>>();
    let fine = said.iter().filter(|line| line.starts_with("ok  "));
    assert_eq!(fine.count(), said.len() - 1, "{}", ran.seen());
    assert!(
        said.contains(&"ok                toolchain rust"),
        "{}",
        ran.seen()
    );
}

#[test]
fn a_drifted_image_is_shown_with_both_digests_at_its_line() {
    let test_env = TestEnv::start();
    let old = test_env.image("gate");
    let new = test_env.push(&old, "somebody moved the tag");
    gate(&test_env, "drifted");
    let ran = test_env.run(&["verify-pins"]);
    let old = old.digest().unwrap();
    assert!(
        ran.stderr
            .contains(&format!("`{GATE}` is now {new}, but {old} is pinned")),
        "{}",
        ran.seen()
    );
    assert!(
        ran.stderr
            .contains(&format!("{}:12", test_env.line_of("gate"))),
        "{}",
        ran.seen()
    );
}

#[test]
fn deleted_content_is_gone_unless_it_was_never_published() {
    let test_env = TestEnv::start();
    for service in ["gate", "init"] {
        let name = format!("repositories/odralabshq/polis-{service}-oss/_tags");
        fs::remove_dir_all(test_env.storage().join(name)).unwrap();
    }
    let states = vec![format!("gone {GATE}"), format!("not published {INIT}")];
    assert_eq!(test_env.states(), (2, states));
}

#[test]
fn failed_requests_have_their_own_states() {
    for (fault, state) in [
        (Fault::Status(500), "unreachable"),
        (Fault::Status(401), "not authorised"),
        (Fault::Status(403), "not authorised"),
        (Fault::Busy(429, "3600"), "rate limited"),
        (Fault::Status(429), "rate limited"),
        (Fault::Status(410), "gone"),
    ] {
        let test_env = TestEnv::start();
        for method in ["HEAD", "GET"] {
            test_env
                .registry_faults
                .add(method, GATE_MANIFESTS, 100, fault.clone());
        }
        gate(&test_env, state);
    }
}

#[test]
fn different_or_truncated_bytes_are_never_fine() {
    for (fault, state) in [
        (Fault::Corrupt, "mismatch"),
        (Fault::Cut(10), "unreachable"),
        (
            Fault::DigestHeader(Digest::of(b"x").to_string()),
            "mismatch",
        ),
    ] {
        let test_env = TestEnv::start();
        // The wrong header is only revealed by reading the tag's content.
        if let Fault::DigestHeader(_) = fault {
            test_env
                .registry_faults
                .add("HEAD", GATE_MANIFESTS, 100, fault);
        } else {
            test_env
                .registry_faults
                .add("GET", GATE_MANIFESTS, 100, fault);
        }
        gate(&test_env, state);
    }
}

#[test]
fn the_deadline_ends_endless_requests() {
    let test_env = TestEnv::start();
    let drip = Fault::Drip(Duration::from_millis(200));
    test_env
        .registry_faults
        .add("GET", GATE_MANIFESTS, 100, drip);
    let ran = test_env.run(&["verify-pins", "--deadline", "2"]);
    assert_eq!(ran.code, 3, "{}", ran.seen());
    assert!(
        ran.stdout
            .contains(&format!("unreachable       image {GATE}")),
        "{}",
        ran.seen()
    );
}

/// Replaces the index of the gate image by the result of `change`.
fn with_index(test_env: &mut TestEnv, change: impl FnOnce(&mut Value)) {
    let dir = tempfile::tempdir().unwrap();
    let root = layout::index(dir.path(), "changed");
    let blobs = dir.path().join("blobs/sha256");
    let mut index: Value =
        serde_json::from_slice(&fs::read(blobs.join(root.hex())).unwrap()).unwrap();
    change(&mut index);
    let bytes = index.to_string().into_bytes();
    let root = Digest::of(&bytes);
    fs::write(blobs.join(root.hex()), &bytes).unwrap();
    let top = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": index["mediaType"], "digest": root.to_string(), "size": bytes.len(),
    }]});
    fs::write(dir.path().join("index.json"), top.to_string()).unwrap();
    let image = test_env.image("gate");
    let digest = test_env.push_layout(&image, dir.path());
    test_env.tree.replace(
        COMPOSE,
        &image.to_string(),
        &image.pinned(digest).to_string(),
    );
    test_env.others.list(&test_env.tree);
}

fn child<'a>(index: &'a mut Value, architecture: &str) -> &'a mut Value {
    let mut children = index["manifests"].as_array_mut().unwrap().iter_mut();
    children
        .find(|child| child["platform"]["architecture"] == architecture)
        .unwrap()
}

#[test]
fn an_index_must_list_the_platform() {
    let mut test_env = TestEnv::start();
    with_index(&mut test_env, |index| {
        child(index, "amd64")["platform"]["architecture"] = "riscv64".into()
    });
    gate(&test_env, "missing platform");
    // Images of other projects need not support arm64; ours must.
    let mut test_env = TestEnv::start();
    with_index(&mut test_env, |index| {
        drop(index["manifests"].as_array_mut().unwrap().pop())
    });
    assert_eq!(test_env.states(), (0, vec![]));
    let (test_env, dir) = (TestEnv::start(), tempfile::tempdir().unwrap());
    layout::single(dir.path(), "ours");
    let init = test_env.image("init");
    let digest = test_env.push_layout(&init, dir.path());
    let text = test_env.tree.read(COMPOSE);
    test_env.tree.write(
        COMPOSE,
        &text.replace(&init.to_string(), &init.pinned(digest).to_string()),
    );
    assert_eq!(
        test_env.states(),
        (1, vec![format!("missing platform {INIT}")])
    );
}

#[test]
fn manifests_of_an_index_must_exist_and_be_for_the_platform() {
    let mut test_env = TestEnv::start();
    with_index(&mut test_env, |_| {});
    let storage = test_env.storage();
    let manifests = storage.join("repositories/odralabshq/polis-gate-oss/_manifests");
    let root = test_env.image("gate").digest().unwrap();
    let index: Value =
        serde_json::from_slice(&fs::read(manifests.join(root.hex())).unwrap()).unwrap();
    let amd64 = index["manifests"][0]["digest"].as_str().unwrap();
    let (_, hex) = amd64.split_once(':').unwrap();
    let manifest = fs::read(manifests.join(hex)).unwrap();
    fs::remove_file(manifests.join(hex)).unwrap();
    gate(&test_env, "missing platform");
    fs::write(manifests.join(hex), &manifest).unwrap();
    assert_eq!(test_env.states().0, 0);
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let (_, config) = manifest["config"]["digest"]
        .as_str()
        .unwrap()
        .split_once(':')
        .unwrap();
    fs::remove_file(storage.join("blobs/sha256").join(config)).unwrap();
    gate(&test_env, "missing platform");
    // A descriptor that says amd64 for an arm64 manifest.
    let mut test_env = TestEnv::start();
    with_index(&mut test_env, |index| {
        let arm64 = child(index, "arm64").clone();
        let amd64 = child(index, "amd64");
        amd64["digest"] = arm64["digest"].clone();
        amd64["size"] = arm64["size"].clone();
    });
    gate(&test_env, "mismatch");
}

#[test]
fn of_several_states_the_most_severe_is_the_exit_code() {
    let mut test_env = TestEnv::start();
    test_env
        .others
        .files
        .retain(|path, _| !path.starts_with("/dist/"));
    test_env
        .registry_faults
        .add("HEAD", GATE_MANIFESTS, 100, Fault::Status(401));
    assert_eq!(test_env.states().0, 2, "drift goes before the network");
    let key = key_file(b"another key").0;
    test_env
        .others
        .files
        .insert("/linux/ubuntu/gpg".to_owned(), key);
    assert_eq!(test_env.states().0, 1, "wrong bytes go before drift");
}

#[test]
fn a_failed_credential_helper_does_not_cause_anonymous_access() {
    let dir = tempfile::tempdir().unwrap();
    let helper = |script: &str| {
        let path = dir.path().join("docker-credential-test");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        run("chmod", [Path::new("755"), &path]);
    };
    fs::write(
        dir.path().join("config.json"),
        r#"{"credHelpers": {"ghcr.io": "test"}}"#,
    )
    .unwrap();
    let path = format!(
        "{}:{}",
        dir.path().display(),
        std::env::var("PATH").unwrap()
    );
    let config = dir.path().display().to_string();
    let env = [("PATH", path.as_str()), ("DOCKER_CONFIG", config.as_str())];
    let verify = |test_env: &TestEnv| test_env.run_with(&["verify-pins"], &env);
    let test_env = TestEnv::start();
    // It gets the host on standard input, and nothing else.
    helper(
        r#"[ "$*" = get ] && [ "$(cat)" = ghcr.io ] && echo '{"Username":"me","Secret":"s3cret"}'"#,
    );
    let ran = verify(&test_env);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    helper("echo credentials not found in native keychain; exit 1");
    assert_eq!(
        verify(&test_env).code,
        0,
        "not found is anonymous, by the helpers' protocol"
    );
    for (script, said) in [
        (
            "echo the keychain is locked; exit 1",
            "`docker-credential-test` failed: the keychain is locked",
        ),
        (
            "echo no >&2; echo '{\"Secret\":\"s3cret\"}'; exit 1",
            "`docker-credential-test` failed: no",
        ),
        (
            "echo '{\"Secret\":\"s3cret\"}'",
            "`docker-credential-test` returned neither credentials nor an error",
        ),
    ] {
        helper(script);
        let ran = verify(&test_env);
        assert_eq!(ran.code, 3, "{}", ran.seen());
        assert!(ran.stderr.contains(said), "{}", ran.seen());
        assert!(!ran.seen().contains("s3cret"), "{}", ran.seen());
        assert!(
            ran.stdout
                .contains(&format!("not authorised    image {GATE}")),
            "{}",
            ran.seen()
        );
    }
    fs::remove_file(dir.path().join("docker-credential-test")).unwrap();
    let ran = verify(&test_env);
    assert!(
        ran.stderr.contains("did not respond: cannot start it"),
        "{}",
        ran.seen()
    );
}

#[test]
fn credentials_are_only_sent_to_their_registry() {
    let (user, password) = ("x-access-token", "ghs_ambient");
    let Some(server) = DockerRegistry::with_password(user, password) else {
        return;
    };
    let test_env = TestEnv::start();
    let registry = [("ghcr.io", format!("http://{}", server.host()))];
    let verify = |env: &[(&str, &str)]| test_env.run_at(&["verify-pins"], env, &registry);
    let ran = verify(&[("GITHUB_TOKEN", password)]);
    let told = format!("not authorised    image {GATE}");
    assert!(
        ran.code == 3 && ran.stdout.contains(&told),
        "{}",
        ran.seen()
    );
    // The same credentials in our own variables are accepted, and the image does not exist.
    let ran = verify(&[
        ("POLIS_REGISTRY_USER", user),
        ("POLIS_REGISTRY_PASSWORD", password),
    ]);
    let told = format!("gone              image {GATE}");
    assert!(
        ran.code == 2 && ran.stdout.contains(&told),
        "{}",
        ran.seen()
    );
}
