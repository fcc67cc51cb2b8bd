//! Proxies and a company's certificate authorities: they get from the settings into the VM's files, and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;
use fake_multipass::{Ran, Sandbox};

use crate::support::{did, document, launches, running, sandbox, seen};

const PASSWORD: &str = "very%20secret";
const CONFIG: &str = r#"http-proxy = "http://proxy.example.org:3128"
https-proxy = "http://me:very%20secret@proxy.example.org:3128"
no-proxy = "mirror.example.org, 10.0.0.0/8"
ca-file = "company.pem"
"#;
/// A DER sequence: polis checks nothing else of a certificate. The proofs use real ones.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";
const ENV: &str = "/etc/polis/proxy.env";
const APT: &str = "/etc/apt/apt.conf.d/90polis-proxy";
const DOCKER: &str = "/etc/systemd/system/docker.service.d/polis-proxy.conf";
const REVISION: &str = "/etc/polis/proxy.revision";

/// Writes the configuration, with a file of certificate authorities beside it.
fn set(sandbox: &Sandbox, config: &str) {
    let dir = sandbox.home().join(".config/polis");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("config.toml"), config).expect("a file");
    fs::write(dir.join("company.pem"), AUTHORITY).expect("a file");
}

fn mode(sandbox: &Sandbox, path: &str) -> u32 {
    let file = fs::metadata(sandbox.guest().path(path)).expect(path);
    file.permissions().mode() & 0o7777
}

/// Asserts that the VM's files match the settings.
fn is_behind_the_proxy(sandbox: &Sandbox) {
    let variables = "http_proxy=http://proxy.example.org:3128\n\
         https_proxy=http://me:very%20secret@proxy.example.org:3128\n\
         no_proxy=localhost,127.0.0.1,::1,mirror.example.org,10.0.0.0/8\n";
    assert_eq!(sandbox.read_guest(ENV), variables);
    let apt = sandbox.read_guest(APT);
    assert!(apt.contains(PASSWORD), "{apt}");
    let docker = "[Service]\nEnvironmentFile=-/etc/polis/proxy.env\n";
    assert_eq!(sandbox.read_guest(DOCKER), docker);
    for path in [ENV, APT, DOCKER] {
        assert_eq!(mode(sandbox, path), 0o600, "{path}");
    }
    assert_eq!(mode(sandbox, REVISION), 0o644);
}

#[test]
fn a_new_vm_gets_them_from_its_user_data() {
    let sandbox = sandbox();
    set(&sandbox, CONFIG);
    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(launches(&sandbox), 1);
    is_behind_the_proxy(&sandbox);
    let user_data = sandbox.read_guest("/var/lib/cloud/instance/user-data.txt");
    let trusted = serde_json::json!({"trusted": [AUTHORITY]});
    assert!(user_data.contains(&format!("\nca_certs: {trusted}\n")));
    assert_eq!(did(&sandbox, &["start"]), [""; 0]);
    assert_eq!(sandbox.refused(), [""; 0]);
}

#[test]
fn an_existing_vm_follows_changed_and_removed_settings() {
    let sandbox = running();
    set(&sandbox, CONFIG);
    assert_eq!(did(&sandbox, &["start"]), ["set-proxies"]);
    is_behind_the_proxy(&sandbox);
    let trusted = "/usr/local/share/ca-certificates/polis-0.crt";
    assert_eq!(sandbox.read_guest(trusted), AUTHORITY);
    assert_eq!(did(&sandbox, &["start"]), [""; 0]);
    let restarted = |sandbox: &Sandbox| {
        let calls = sandbox.all_calls().into_iter();
        let restarts = calls.filter(|call| call.args == ["restart", "docker.service"]);
        restarts.count()
    };
    assert_eq!(restarted(&sandbox), 1);

    set(&sandbox, &CONFIG.replace("very", "less"));
    assert_eq!(did(&sandbox, &["start"]), ["set-proxies"]);
    assert!(sandbox.read_guest(ENV).contains("less%20secret"));

    set(&sandbox, "");
    assert_eq!(did(&sandbox, &["start"]), ["set-proxies"]);
    for path in [ENV, APT, DOCKER, REVISION, trusted] {
        assert!(!sandbox.guest_has(path), "{path}");
    }
    assert_eq!(did(&sandbox, &["start"]), [""; 0]);
    assert_eq!(restarted(&sandbox), 3);
    assert!(!sandbox.guest_has("/home/ubuntu/.polis-proxies.tar"));
    assert_eq!(sandbox.refused(), [""; 0]);
}

#[test]
fn an_interrupted_change_is_completed_by_the_next_start() {
    let sandbox = running();
    set(&sandbox, CONFIG);
    // All but the last file, as if the change had been interrupted before it.
    assert_eq!(did(&sandbox, &["start"]), ["set-proxies"]);
    fs::remove_file(sandbox.guest().path(REVISION)).expect("a file");
    assert_eq!(did(&sandbox, &["start"]), ["set-proxies"]);
    assert_eq!(did(&sandbox, &["start"]), [""; 0]);
}

#[test]
fn authorities_work_without_a_proxy() {
    let sandbox = sandbox();
    set(&sandbox, "ca-file = \"company.pem\"");
    let ran = sandbox.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(!sandbox.guest_has(ENV) && !sandbox.guest_has(APT) && !sandbox.guest_has(DOCKER));
    assert!(sandbox.guest_has(REVISION));
    assert_eq!(did(&sandbox, &["start"]), [""; 0]);
}

#[test]
fn custom_user_data_is_not_changed() {
    let sandbox = sandbox();
    let running = running();
    let own = running.read_guest("/var/lib/cloud/instance/user-data.txt");
    set(&sandbox, CONFIG);
    fs::write(sandbox.home().join("own.yaml"), own).expect("a file");
    let steps = did(&sandbox, &["start", "--cloud-init", "own.yaml"]);
    assert!(steps.contains(&"set-proxies".to_owned()), "{steps:?}");
    is_behind_the_proxy(&sandbox);
    let user_data = sandbox.read_guest("/var/lib/cloud/instance/user-data.txt");
    assert!(!user_data.contains("proxy.example.org"));
}

#[test]
fn passwords_are_never_printed_or_passed_as_arguments() {
    let secret = [("POLIS_HTTPS_PROXY", "http://me:very%20secret@proxy:3128")];
    let sandbox = sandbox();
    let mut shown = String::new();
    let mut run = |args: &[&str]| -> Ran {
        let ran = sandbox.polis_with(args, &secret);
        shown.push_str(&ran.seen());
        ran
    };
    run(&["start", "--dry-run", "--json"]);
    run(&["start", "--dry-run", "--verbose"]);
    let ran = run(&["start", "--verbose", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let proxy = &document(&ran)["result"]["settings"]["https-proxy"];
    assert_eq!(proxy["value"], "http://***@proxy:3128");
    assert_eq!(proxy["origin"], "environment");
    run(&["status", "--json", "--verbose"]);
    for call in sandbox.all_calls() {
        shown.push_str(&call.line());
    }
    assert!(sandbox.read_guest(ENV).contains(PASSWORD));
    assert!(!shown.contains(PASSWORD), "{shown}");
    // Nor is a digest that includes the password, which would allow guessing it offline.
    let launch = sandbox.calls_of("launch").remove(0);
    let read = launch.end.and_then(|end| end.stdin).expect("user-data");
    assert!(!shown.contains(&read.digest), "{shown}");
    let bad = [("POLIS_HTTPS_PROXY", "http://me:very%20secret@proxy")];
    let ran = sandbox.polis_with(&["status"], &bad);
    expect![[r#"
        exit 2
        --- stderr
        error: invalid setting https-proxy: expected http://HOST:PORT or https://HOST:PORT, with NAME:PASSWORD@ before the host if the proxy requires them
          caused by: it is set by POLIS_HTTPS_PROXY
          hint: polis start --help
    "#]]
    .assert_eq(&seen(&ran));
}

#[test]
fn a_certificate_file_with_a_private_key_is_refused_first() {
    let sandbox = sandbox();
    set(&sandbox, "ca-file = \"company.pem\"");
    let key = format!("{AUTHORITY}-----BEGIN PRIVATE KEY-----\nvery secret\n");
    fs::write(sandbox.home().join(".config/polis/company.pem"), key).expect("a file");
    let ran = sandbox.polis(&["start"]);
    expect![[r#"
        exit 2
        --- stderr
        error: invalid ca-file: line 4 begins a private key, which only the authority may have
          caused by: it is `[SANDBOX]/home/.config/polis/company.pem`
          hint: give a file of PEM certificates (-----BEGIN CERTIFICATE-----), at most 64 KiB
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(launches(&sandbox), 0);
}
