//! Proxies and the certificate authorities of a company: from the settings to the files of the VM, and nowhere else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use expect_test::expect;
use fake_multipass::{Ran, World};

use crate::support::{did, document, launches, running, seen, world};

const PASSWORD: &str = "very%20secret";
const CONFIG: &str = r#"http-proxy = "http://proxy.example.org:3128"
https-proxy = "http://me:very%20secret@proxy.example.org:3128"
no-proxy = "mirror.example.org, 10.0.0.0/8"
ca-file = "company.pem"
"#;
/// A sequence of DER, which is all that is asked of a certificate here; the proofs have real ones.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";
const ENV: &str = "/etc/polis/proxy.env";
const APT: &str = "/etc/apt/apt.conf.d/90polis-proxy";
const DOCKER: &str = "/etc/systemd/system/docker.service.d/polis-proxy.conf";
const REVISION: &str = "/etc/polis/proxy.revision";

/// Writes the configuration and the file of authorities beside it.
fn set(world: &World, config: &str) {
    let dir = world.home().join(".config/polis");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("config.toml"), config).expect("a file");
    fs::write(dir.join("company.pem"), AUTHORITY).expect("a file");
}

fn mode(world: &World, path: &str) -> u32 {
    let file = fs::metadata(world.guest().path(path)).expect(path);
    file.permissions().mode() & 0o7777
}

/// The files are as the settings have them.
fn is_behind_the_proxy(world: &World) {
    let variables = "http_proxy=http://proxy.example.org:3128\n\
         https_proxy=http://me:very%20secret@proxy.example.org:3128\n\
         no_proxy=localhost,127.0.0.1,::1,mirror.example.org,10.0.0.0/8\n";
    assert_eq!(world.read_guest(ENV), variables);
    let apt = world.read_guest(APT);
    assert!(apt.contains(PASSWORD), "{apt}");
    let docker = "[Service]\nEnvironmentFile=-/etc/polis/proxy.env\n";
    assert_eq!(world.read_guest(DOCKER), docker);
    for path in [ENV, APT, DOCKER] {
        assert_eq!(mode(world, path), 0o600, "{path}");
    }
    assert_eq!(mode(world, REVISION), 0o644);
}

#[test]
fn a_new_vm_has_them_from_its_user_data() {
    let world = world();
    set(&world, CONFIG);
    let ran = world.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(launches(&world), 1);
    is_behind_the_proxy(&world);
    let user_data = world.read_guest("/var/lib/cloud/instance/user-data.txt");
    let trusted = serde_json::json!({"trusted": [AUTHORITY]});
    assert!(user_data.contains(&format!("\nca_certs: {trusted}\n")));
    assert_eq!(did(&world, &["start"]), [""; 0]);
    assert_eq!(world.refused(), [""; 0]);
}

#[test]
fn a_vm_that_exists_is_given_others_and_loses_those_that_are_no_longer_set() {
    let world = running();
    set(&world, CONFIG);
    assert_eq!(did(&world, &["start"]), ["set-proxies"]);
    is_behind_the_proxy(&world);
    let trusted = "/usr/local/share/ca-certificates/polis-0.crt";
    assert_eq!(world.read_guest(trusted), AUTHORITY);
    assert_eq!(did(&world, &["start"]), [""; 0]);
    let restarted = |world: &World| {
        let calls = world.all_calls().into_iter();
        let restarts = calls.filter(|call| call.args == ["restart", "docker.service"]);
        restarts.count()
    };
    assert_eq!(restarted(&world), 1);

    set(&world, &CONFIG.replace("very", "less"));
    assert_eq!(did(&world, &["start"]), ["set-proxies"]);
    assert!(world.read_guest(ENV).contains("less%20secret"));

    set(&world, "");
    assert_eq!(did(&world, &["start"]), ["set-proxies"]);
    for path in [ENV, APT, DOCKER, REVISION, trusted] {
        assert!(!world.guest_has(path), "{path}");
    }
    assert_eq!(did(&world, &["start"]), [""; 0]);
    assert_eq!(restarted(&world), 3);
    assert!(!world.guest_has("/home/ubuntu/.polis-proxies.tar"));
    assert_eq!(world.refused(), [""; 0]);
}

#[test]
fn a_start_that_was_cut_off_sets_them_again() {
    let world = running();
    set(&world, CONFIG);
    // All but the last file: what comes before it may not have happened.
    assert_eq!(did(&world, &["start"]), ["set-proxies"]);
    fs::remove_file(world.guest().path(REVISION)).expect("a file");
    assert_eq!(did(&world, &["start"]), ["set-proxies"]);
    assert_eq!(did(&world, &["start"]), [""; 0]);
}

#[test]
fn authorities_alone_are_enough() {
    let world = world();
    set(&world, "ca-file = \"company.pem\"");
    let ran = world.polis(&["start", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(!world.guest_has(ENV) && !world.guest_has(APT) && !world.guest_has(DOCKER));
    assert!(world.guest_has(REVISION));
    assert_eq!(did(&world, &["start"]), [""; 0]);
}

#[test]
fn user_data_of_the_user_is_not_touched() {
    let world = world();
    let running = running();
    let own = running.read_guest("/var/lib/cloud/instance/user-data.txt");
    set(&world, CONFIG);
    fs::write(world.home().join("own.yaml"), own).expect("a file");
    let steps = did(&world, &["start", "--cloud-init", "own.yaml"]);
    assert!(steps.contains(&"set-proxies".to_owned()), "{steps:?}");
    is_behind_the_proxy(&world);
    let user_data = world.read_guest("/var/lib/cloud/instance/user-data.txt");
    assert!(!user_data.contains("proxy.example.org"));
}

#[test]
fn no_password_is_shown_or_in_a_command_line() {
    let secret = [("POLIS_HTTPS_PROXY", "http://me:very%20secret@proxy:3128")];
    let world = world();
    let mut shown = String::new();
    let mut run = |args: &[&str]| -> Ran {
        let ran = world.polis_with(args, &secret);
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
    for call in world.all_calls() {
        shown.push_str(&call.line());
    }
    assert!(world.read_guest(ENV).contains(PASSWORD));
    assert!(!shown.contains(PASSWORD), "{shown}");
    // Neither is the digest of what has it, on which passwords could be tried.
    let launch = world.calls_of("launch").remove(0);
    let read = launch.end.and_then(|end| end.stdin).expect("user-data");
    assert!(!shown.contains(&read.digest), "{shown}");
    let bad = [("POLIS_HTTPS_PROXY", "http://me:very%20secret@proxy")];
    let ran = world.polis_with(&["status"], &bad);
    expect![[r#"
        exit 2
        --- stderr
        error: the setting https-proxy is wrong: expected http://HOST:PORT or https://HOST:PORT, with NAME:PASSWORD@ before the host if it asks for them
          caused by: it is set by POLIS_HTTPS_PROXY
          hint: polis start --help
    "#]]
    .assert_eq(&seen(&ran));
}

#[test]
fn a_file_that_holds_a_key_is_refused_before_anything_is_done() {
    let world = world();
    set(&world, "ca-file = \"company.pem\"");
    let key = format!("{AUTHORITY}-----BEGIN PRIVATE KEY-----\nvery secret\n");
    fs::write(world.home().join(".config/polis/company.pem"), key).expect("a file");
    let ran = world.polis(&["start"]);
    expect![[r#"
        exit 2
        --- stderr
        error: invalid ca-file: line 4 begins a private key, which only the authority may have
          caused by: it is `[WORLD]/home/.config/polis/company.pem`
          hint: give a file of PEM certificates (-----BEGIN CERTIFICATE-----), at most 64 KiB
    "#]]
    .assert_eq(&seen(&ran));
    assert_eq!(launches(&world), 0);
}
