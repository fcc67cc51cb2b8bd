//! `list`, `info`, `version`, `get`, `help`: their output, and that they change nothing.

use expect_test::expect;
use fake_multipass::{Access, Power, Sandbox};

use crate::{launched, refused, run};

#[test]
fn list_names_every_state() {
    let sandbox = launched();
    let list = ["list", "--format", "json", "--no-ipv4"];
    expect![[r#"
        exit 0
        --- stdout
        {
          "list": [
            {
              "ipv4": [],
              "name": "polis",
              "release": "Ubuntu 24.04 LTS",
              "state": "Running"
            }
          ]
        }
    "#]]
    .assert_eq(&run(&sandbox, &list).seen());
    assert!(
        run(&sandbox, &["list", "--format=json"])
            .stdout
            .contains("\"10.87.112.23\"")
    );
    let states = [
        (Power::Stopped, "Stopped"),
        (Power::Deleted, "Deleted"),
        (Power::Starting, "Starting"),
        (Power::Restarting, "Restarting"),
        (Power::DelayedShutdown, "Delayed Shutdown"),
        (Power::Suspending, "Suspending"),
        (Power::Suspended, "Suspended"),
        (Power::Unknown, "Unknown"),
        (Power::Unavailable, "Unavailable"),
    ];
    for (power, text) in states {
        sandbox.set_instance(|instance| instance.power = power);
        let seen = run(&sandbox, &list).stdout;
        assert!(seen.contains(&format!("\"state\": \"{text}\"")), "{seen}");
    }
    assert_eq!(refused(&sandbox, &["list", "x"]).0, Some(1));
    assert_eq!(refused(&sandbox, &["list", "--format", "xml"]).0, Some(1));
    assert_eq!(sandbox.mutations(), Vec::<String>::new());
}

#[test]
fn info_has_strings_for_disks_and_numbers_for_memory() {
    let sandbox = launched();
    let info = ["info", "polis", "--format", "json"];
    let seen: serde_json::Value = serde_json::from_str(&run(&sandbox, &info).stdout).expect("JSON");
    let polis = &seen["info"]["polis"];
    assert_eq!(seen["errors"], serde_json::json!([]));
    assert_eq!(polis["cpu_count"], "1");
    assert_eq!(polis["disks"]["sda1"]["total"], "5368709120");
    assert_eq!(polis["memory"]["total"], 1_u64 << 30);
    run(&sandbox, &["stop", "polis"]);
    let seen: serde_json::Value = serde_json::from_str(&run(&sandbox, &info).stdout).expect("JSON");
    let polis = &seen["info"]["polis"];
    assert_eq!(
        (&polis["state"], &polis["cpu_count"], &polis["memory"]),
        (&"Stopped".into(), &"".into(), &serde_json::json!({}))
    );
    run(&sandbox, &["delete", "polis"]);
    assert_eq!(run(&sandbox, &info).code, Some(0));
    run(&sandbox, &["delete", "-p", "polis"]);
    let ran = run(&sandbox, &info);
    let words = "info failed: The following errors occurred:\ninstance \"polis\" does not exist\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), words));
}

#[test]
fn info_may_use_a_session_from_before_ssh_failed() {
    let sandbox = launched();
    sandbox.set_instance(|instance| instance.ssh = false);
    let ran = run(&sandbox, &["info", "polis"]);
    let words = "info failed: ssh connection failed: 'Connection refused'\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), words));
    sandbox.set_instance(|instance| instance.session = true);
    assert_eq!(run(&sandbox, &["info", "polis"]).code, Some(0));
}

#[test]
fn refusals_are_recorded() {
    let sandbox = Sandbox::new();
    assert_eq!(run(&sandbox, &["frob"]).code, Some(1));
    assert_eq!(run(&sandbox, &["list", "--help"]).code, Some(0));
    assert_eq!(sandbox.refused(), ["multipass frob"]);
}

#[test]
fn version_succeeds_without_a_daemon() {
    let sandbox = Sandbox::new();
    sandbox.set(|state| state.client = "1.16.3+mac".to_owned());
    let version = ["version", "--format", "json"];
    expect![[r#"
        exit 0
        --- stdout
        {
          "multipass": "1.16.3+mac",
          "multipassd": "1.16.3"
        }
    "#]]
    .assert_eq(&run(&sandbox, &version).seen());
    for access in [Access::Down, Access::Denied, Access::Unauthenticated] {
        sandbox.set(|state| state.access = access);
        let alone = "exit 0\n--- stdout\n{\n  \"multipass\": \"1.16.3+mac\"\n}\n";
        assert_eq!(run(&sandbox, &version).seen(), alone);
    }
}

#[test]
fn without_a_daemon_everything_else_is_code_2() {
    let sandbox = launched();
    for (access, words) in [
        (Access::Down, "cannot connect to the multipass socket"),
        (Access::Denied, "multipass socket access denied"),
        (
            Access::Unauthenticated,
            "The client is not authenticated with the Multipass service.\nPlease use 'multipass authenticate' before proceeding.",
        ),
    ] {
        sandbox.set(|state| state.access = access);
        for args in [
            &["list"][..],
            &["info", "polis"],
            &["launch", "--name", "b"],
            &["start", "polis"],
            &["stop", "polis"],
            &["delete", "polis"],
            &["recover", "polis"],
            &["purge"],
            &["exec", "-n", "polis", "--", "true"],
            &["get", "local.driver"],
        ] {
            let ran = run(&sandbox, args);
            assert_eq!(
                (ran.code, ran.stderr),
                (Some(2), format!("{} failed: {words}\n", args[0]))
            );
        }
        let ran = run(&sandbox, &["exec", "polis", "--", "true"]);
        assert_eq!(ran.stderr, format!("exec failed: {words}\n").repeat(2));
    }
    assert_eq!(sandbox.mutations(), Vec::<String>::new());
}

#[test]
fn get_prints_settings() {
    let sandbox = Sandbox::new();
    assert_eq!(run(&sandbox, &["get", "local.driver"]).stdout, "qemu\n");
    assert_eq!(refused(&sandbox, &["get", "x"]).0, Some(1));
}
