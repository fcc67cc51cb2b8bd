//! A cosign that is a script, to test the arguments and the failures.

use super::*;

/// A directory with a script `cosign`, which answers `version` as cosign 3 does.
fn scripted(script: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cosign");
    let version = "if [ \"$1\" = version ]; then echo '{\"gitVersion\": \"v3.0.2\"}'; exit 0; fi";
    fs::write(&path, format!("#!/bin/sh\n{version}\n{script}\n")).unwrap();
    run("chmod", [Path::new("755"), &path]);
    dir
}

fn run_with(test_env: &TestEnv, cosign: &TempDir, args: &[&str]) -> Ran {
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", cosign.path().display());
    let args = [&["verify-pins", "--signatures"], args].concat();
    test_env.run_with(&args, &[("PATH", &path)])
}

#[test]
fn a_missing_cosign_is_a_machine_error_with_a_hint() {
    let (tree, empty) = (Tree::data(), tempfile::tempdir().unwrap());
    let path = empty.path().display().to_string();
    let ran = tree.run_with(
        PROGRAM,
        &["verify-pins", "--signatures"],
        &[("PATH", &path)],
    );
    assert_eq!(ran.code, 5, "{}", ran.seen());
    for words in [
        "install `cosign`",
        "https://docs.sigstore.dev/cosign/system_config/installation/",
    ] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.seen());
    }
    let both = tree.run(PROGRAM, &["verify-pins", "--signatures", "--offline"]);
    assert_eq!(both.code, 4, "{}", both.seen());
}

#[test]
fn cosign_gets_the_signer_the_registry_and_one_login_and_no_secret() {
    let test_env = TestEnv::start();
    let docker = tempfile::tempdir().unwrap();
    // user:password
    let login = r#"{"auths": {"ghcr.io": {"auth": "dXNlcjpwYXNzd29yZA=="}, "a.b": {"auth": "eDpvdGhlcg=="}}}"#;
    fs::write(docker.path().join("config.json"), login).unwrap();
    let seen = tempfile::tempdir().unwrap();
    let script = format!(
        "[ \"$1\" = version ] && {{ echo '{{\"gitVersion\": \"v3.0.2\"}}'; exit; }}
         ls -l \"$DOCKER_CONFIG\" >'{0}/ls'; cp \"$DOCKER_CONFIG/config.json\" '{0}/config'; env >'{0}/env'",
        seen.path().display()
    );
    // Docker's configuration is used if our own variables contain no login.
    let names = secrets::READ.into_iter().chain(secrets::UNUSED);
    let names = names.filter(|name| *name != secrets::REGISTRY_PASSWORD);
    let canary = Canary::new(names).replacing("cosign", &script);
    let ours = canary.env();
    let ours = ours.iter().map(|(name, value)| (*name, value.as_str()));
    let more = [
        ("DOCKER_CONFIG", docker.path().to_str().unwrap()),
        ("COSIGN_REPOSITORY", "evil.example/x"),
        ("SIGSTORE_ROOT_FILE", "/evil"),
    ];
    let env: Vec<_> = ours.chain(more).collect();
    let ran = test_env.run_with(&["verify-pins", "--signatures", "--format", "json"], &env);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let image = test_env.image("gate");
    let host = test_env.registry.host();
    let started = format!(
        "cosign verify --certificate-identity-regexp ^https://github\\.com/odralabshq/polis/\\.github/workflows/release\\.yml@refs/(tags/v[0-9A-Za-z.-]+|heads/main)$ --certificate-oidc-issuer https://token.actions.githubusercontent.com --allow-http-registry {host}/{REPOSITORY}@{}",
        image.digest().unwrap()
    );
    canary.assert_unseen(&ran, &["cosign version --json", &started]);
    let runs = canary
        .given()
        .into_iter()
        .filter(|given| given.program.starts_with("cosign verify"));
    assert_eq!(runs.count(), 8);
    let read = |name: &str| fs::read_to_string(seen.path().join(name)).unwrap();
    let config: Value = serde_json::from_str(&read("config")).unwrap();
    assert_eq!(
        config,
        serde_json::json!({"auths": {host: {"auth": "dXNlcjpwYXNzd29yZA=="}}})
    );
    assert!(read("ls").contains("-rw------- "), "{}", read("ls"));
    let given = read("env");
    for name in ["COSIGN_", "SIGSTORE_", "TOKEN", "PASSWORD"] {
        assert!(!given.contains(name), "{name}: {given}");
    }
    // The directory no longer exists.
    let dir = given
        .lines()
        .find_map(|line| line.strip_prefix("DOCKER_CONFIG="));
    assert!(!Path::new(dir.unwrap()).exists());
}

#[test]
fn the_output_of_cosign_is_limited_and_escaped() {
    let test_env = TestEnv::start();
    only_gate(&test_env.tree, "{identity: ^a$, issuer: https://b.example}");
    let flood = scripted("head -c 30000000 /dev/zero; exit 1");
    let ran = run_with(&test_env, &flood, &[]);
    let told = "it printed more than 16777216 bytes";
    assert!(ran.code == 3 && ran.stderr.contains(told), "{}", ran.seen());
    let slow = scripted("sleep 100");
    let begun = Instant::now();
    let ran = run_with(&test_env, &slow, &["--deadline", "3"]);
    assert!(
        ran.code == 3 && ran.stderr.contains("no response within"),
        "{}",
        ran.seen()
    );
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    let rude = scripted("printf 'error: \\033]52;c;eA==\\007\\n' >&2; exit 12");
    let ran = run_with(&test_env, &rude, &[]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    assert!(ran.stderr.contains("]52;c;eA=="), "{}", ran.seen());
    assert!(!ran.seen().contains(['\u{1b}', '\u{7}']), "{}", ran.seen());
}

#[test]
fn an_image_without_a_digest_has_nothing_to_verify() {
    let tree = Tree::data();
    let cosign = scripted("exit 12");
    let path = format!(
        "{}:{}",
        cosign.path().display(),
        std::env::var("PATH").unwrap()
    );
    let mut args = vec!["verify-pins", "--signatures", "--quiet"];
    let hosts = [
        "ghcr.io",
        "github.com",
        "api.github.com",
        "static.rust-lang.org",
        "download.docker.com",
    ];
    let nowhere = hosts.map(|host| format!("{host}=http://127.0.0.1:9"));
    args.extend(nowhere.iter().flat_map(|endpoint| ["--endpoint", endpoint]));
    args.extend(["--deadline", "5"]);
    let ran = tree.run_with(PROGRAM, &args, &[("PATH", &path)]);
    let told = "signatures: 0 verified, 0 failed, 8 not checked\n";
    assert!(ran.stdout.contains(told), "{}", ran.seen());
}
