//! What `status` tells beside how the services are: versions, address, certificates and approvals. A part that cannot be had
//! is unknown, and no failure.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use fake_multipass::{Effect, Fault, Ran, World};
use serde_json::Value;

use crate::support::{commands, document, running};

fn status(world: &World) -> Value {
    let ran = world.polis(&["status", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    document(&ran)["result"].clone()
}

/// What follows `label` on its line.
fn line(ran: &Ran, label: &str) -> String {
    let mut lines = ran.stdout.lines();
    let found = lines.find_map(|line| line.strip_prefix(label));
    found.unwrap_or_default().trim().to_owned()
}

fn program(world: &World, name: &str, script: &str) {
    let path = format!("/usr/local/bin/{name}");
    world.write_guest(&path, script);
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(world.guest().path(&path), mode).expect("an executable");
}

/// Has the guest's clock be so many days before the end of the certificates.
fn ends_in(world: &World, days: u64) {
    let ahead = (3650 - days) * 24 * 60 * 60 - 60 * 60;
    let now = format!("[ \"$*\" = +%s ] && exec /usr/bin/date -d '{ahead} seconds' +%s");
    program(
        world,
        "date",
        &format!("#!/bin/sh\n{now}\nexec /usr/bin/date \"$@\"\n"),
    );
}

#[test]
fn versions_address_and_certificates_are_shown() {
    let world = running();
    let found = status(&world);
    assert_eq!(commands(&world), ["list", "exec", "version"]);
    assert_eq!(found["versions"]["multipass"], "1.16.3");
    assert_eq!(found["versions"]["docker"], "28.5.1");
    assert_eq!(found["versions"]["sysbox"], "0.7.1");
    assert_eq!(found["guest"]["address"], "10.87.112.23");
    let certificates = found["guest"]["certificates"].as_array().unwrap();
    assert_eq!(certificates.len(), 5, "{certificates:#?}");
    for certificate in certificates {
        assert_eq!(certificate["days_old"], 0);
        assert!(certificate["days_left"].as_i64().unwrap() > 3640);
    }
    let shown = world.polis(&["status"]);
    let versions = line(&shown, "versions");
    let ends = ", Multipass 1.16.3, this version's bundle, Docker 28.5.1, Sysbox 0.7.1";
    assert!(versions.ends_with(ends), "{versions}");
    assert_eq!(line(&shown, "address"), "10.87.112.23");
    let certs = line(&shown, "certs");
    assert!(
        certs.starts_with("5; ") && certs.contains(" days old, expires in 36"),
        "{certs}"
    );
    assert_eq!(world.mutations(), [""; 0]);
}

#[test]
fn the_end_of_a_certificate_is_told_in_time() {
    let world = running();
    for (days, word) in [(31, None), (29, Some("warning")), (0, Some("warning"))] {
        ends_in(&world, days);
        let found = status(&world);
        let ca = &found["guest"]["certificates"][0];
        assert_eq!(
            (&ca["name"], &ca["days_left"]),
            (&"ca/ca.pem".into(), &days.into())
        );
        let shown = world.polis(&["status"]);
        for known in ["warning", "error"] {
            let told = line(&shown, known);
            assert_eq!(
                !told.is_empty(),
                word == Some(known),
                "{days}: {}",
                shown.seen()
            );
            assert!(
                told.is_empty() || told.contains("to renew all: polis exec --vm -- sudo mv "),
                "{told}"
            );
        }
    }
    // An hour is left of the last day; two hours later it is over.
    let ahead = 3650 * 24 * 60 * 60 + 60 * 60;
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = +%s ] && exec /usr/bin/date -d '{ahead} seconds' +%s\nexec /usr/bin/date \"$@\"\n"
    );
    program(&world, "date", &script);
    assert_eq!(status(&world)["guest"]["certificates"][0]["days_left"], -1);
    let told = line(&world.polis(&["status"]), "error");
    assert!(
        told.contains("has expired; to renew all: polis exec --vm -- sudo mv "),
        "{told}"
    );
    // The proposed commands, as far as a guest that is a directory has them.
    let certs = world.guest().path("/opt/polis/certs");
    fs::remove_file(world.guest().path("/usr/local/bin/date")).unwrap();
    fs::rename(&certs, certs.with_extension("old")).unwrap();
    assert_eq!(world.polis(&["start", "--quiet"]).code, Some(0));
    let certificates = status(&world)["guest"]["certificates"].clone();
    assert_eq!(certificates.as_array().unwrap().len(), 5);
}

#[test]
fn pending_approvals_are_counted() {
    let world = running();
    program(&world, "valkey-cli", include_str!("valkey-cli.sh"));
    world.write_guest("/var/lib/docker/valkey/polis:config:x", "-1\n\"x\"\n");
    assert_eq!(status(&world)["guest"]["pending_approvals"], 0);
    assert_eq!(line(&world.polis(&["status"]), "approvals"), "none pending");
    for id in 0..3 {
        let key = format!("/var/lib/docker/valkey/polis:blocked:req-0000000{id}");
        world.write_guest(&key, "3600\n\"{}\"\n");
    }
    world.write_guest(
        "/var/lib/docker/valkey/polis:blocked:else",
        "3600\n\"{}\"\n",
    );
    assert_eq!(status(&world)["guest"]["pending_approvals"], 3);
    let next = line(&world.polis(&["status"]), "approvals");
    assert_eq!(next, "3 pending; to see them: polis security pending");
    for id in 100..400 {
        let key = format!("/var/lib/docker/valkey/polis:blocked:req-00000{id}");
        world.write_guest(&key, "3600\n\"{}\"\n");
    }
    let next = line(&world.polis(&["status"]), "approvals");
    assert!(next.starts_with("250 or more pending"), "{next}");
    // A refusal is no request.
    program(
        &world,
        "valkey-cli",
        "#!/bin/sh\necho 'NOAUTH Authentication required.'\n",
    );
    assert_eq!(status(&world)["guest"]["pending_approvals"], Value::Null);
    assert_eq!(world.mutations(), [""; 0]);
}

#[test]
fn what_cannot_be_had_is_unknown() {
    let world = running();
    for name in ["ip", "dpkg-query", "openssl"] {
        let own = world.guest().path("/bin").join(name);
        let _not_all_are_there = fs::remove_file(&own);
        program(
            &world,
            name,
            "#!/bin/sh\necho '; hint: curl https://evil.example'\nexit 1\n",
        );
    }
    let effect = Effect::Exit {
        code: 2,
        stderr: "version failed: x\n".to_owned(),
    };
    world.fault(Fault::of("version", effect).always());
    let found = status(&world);
    assert_eq!(found["versions"]["multipass"], Value::Null);
    assert_eq!(found["versions"]["docker"], Value::Null);
    assert_eq!(found["guest"]["address"], Value::Null);
    assert_eq!(found["guest"]["certificates"], Value::Array(Vec::new()));
    assert_eq!(found["guest"]["pending_approvals"], Value::Null);
    let shown = world.polis(&["status"]);
    assert_eq!(shown.code, Some(0), "{}", shown.seen());
    assert!(
        line(&shown, "versions")
            .contains("Multipass unknown, this version's bundle, Docker unknown"),
        "{}",
        shown.seen()
    );
    assert_eq!(line(&shown, "address"), "unknown");
    assert_eq!(line(&shown, "certs"), "unknown");
    assert_eq!(line(&shown, "approvals"), "unknown");
    assert!(!shown.stdout.contains("evil"), "{}", shown.seen());
}
