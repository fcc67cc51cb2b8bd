//! `ci` as users meet it: signals, another run in the same checkout, whatever environment it is started in.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use xtask_testkit::Tree;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask-dev");

#[cfg(target_os = "linux")]
#[test]
fn no_step_of_ci_knows_a_secret() {
    use xtask_host::secrets;
    use xtask_testkit::Canary;
    let tree = Tree::data();
    let canary = Canary::new(secrets::READ.into_iter().chain(secrets::UNUSED))
        .replacing("cargo", "exit 0")
        .watching(&["id", "cloud-init"]);
    let ran = canary.run(&tree, XTASK, &["ci", "--no-install"], &[]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    canary.assert_unseen(&ran, &["cargo clippy", "cargo test", "id"]);
}

#[test]
fn a_signal_ends_what_ci_has_started() {
    for signal in ["INT", "TERM", "HUP"] {
        let ended = Tree::data().interrupt(XTASK, &["ci", "--no-install"], signal);
        assert_eq!(ended, (Some(130), Vec::new()), "{signal}");
    }
}

/// `nohup` and background jobs ignore signals, and users have different umasks, locales and time zones.
#[test]
fn ci_steps_do_not_depend_on_the_parent_process() {
    let tree = Tree::data();
    let cargo = tree.root().join("cargo");
    let script = "#!/bin/sh\necho \"$(umask) $LC_ALL $TZ ${LC_TIME-none}\" >>'SEEN'\n";
    let seen = tree.root().join("seen").display().to_string();
    tree.write("cargo", &script.replace("SEEN", &seen));
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("a mode");
    let ci = format!("umask 077; trap '' INT HUP; exec '{XTASK}' ci --no-install --only format");
    let env = [
        ("CARGO", cargo.to_str().expect("UTF-8")),
        ("LC_ALL", "de_DE.UTF-8"),
        ("LC_TIME", "de_DE.UTF-8"),
        ("TZ", "Asia/Kathmandu"),
    ];
    let ran = tree.run_with("sh", &["-c", &ci], &env);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(
        tree.read("seen"),
        "0022 C.UTF-8 UTC0 none\n",
        "{}",
        ran.seen()
    );
}

#[test]
fn a_second_ci_in_a_checkout_is_refused() {
    let tree = Tree::data();
    let lock = tree.root().join("target/ci/lock");
    fs::create_dir_all(lock.with_file_name("")).expect("a directory");
    fs::write(&lock, "4711").expect("a file");
    let held = fs::File::open(&lock).expect("a file");
    held.lock().expect("a lock");
    let ci = ["ci", "--no-install", "--only", "format"];
    let ran = tree.run(XTASK, &ci);
    assert_eq!(ran.code, 5, "{}", ran.seen());
    let said = "is already running in this checkout";
    assert!(
        ran.stderr.contains(said) && ran.stderr.contains("process 4711"),
        "{}",
        ran.seen()
    );
    drop(held);
    let ran = tree.run_with(XTASK, &ci, &[("CARGO", "/bin/true")]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
}

#[test]
fn arguments_that_exclude_each_other_are_a_usage_error() {
    let ran = Tree::data().run(XTASK, &["ci", "--quick", "--only", "test"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{}", ran.seen());
}

#[test]
fn a_failed_step_hides_no_other() {
    let tree = Tree::data();
    let cargo = tree.root().join("cargo");
    let script = "#!/bin/sh\ncase \"$*\" in nextest* | *--no-fail-fast | *wine | *--all-targets*) exit 1 ;; esac\n";
    tree.write("cargo", script);
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("a mode");
    let ci = ["ci", "--no-install", "--only", "test,wine,lint,lint-stages"];
    let cargo = cargo.to_str().expect("UTF-8");
    let ran = tree.run_with(XTASK, &ci, &[("CARGO", cargo)]);
    assert_eq!(ran.code, 1, "{}", ran.seen());
    for said in ["failed at test and wine and lint\n", "== lint-stages"] {
        assert!(ran.stderr.contains(said), "{}", ran.seen());
    }
}

/// As an ordinary user, a run of everything leaves such steps out and says so, but a step that is named must not pass
/// without having run.
#[cfg(target_os = "linux")]
#[test]
fn a_named_step_that_needs_root_is_refused_to_others() {
    let ci = "ci --no-install --only format,first,stack";
    let other = format!(
        "if [ $(id -u) = 0 ]; then exec unshare --user --map-user=1000 '{XTASK}' {ci}; fi; exec '{XTASK}' {ci}"
    );
    let ran = Tree::data().run_with("sh", &["-c", &other], &[("CARGO", "/bin/true")]);
    expect_test::expect![[r#"
        exit 5
        --- stderr
        error: only root can run the steps first,stack
          caused by: they start machines, containers and network namespaces
          hint: `sudo env "HOME=$HOME" "PATH=$PATH" cargo xtask ci --only first,stack`
    "#]]
    .assert_eq(&ran.seen());
}
