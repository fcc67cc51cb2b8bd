//! The parts of `status` other than the services: versions, address, certificates and approvals. A part that cannot be read is
//! shown as unknown, and is not a failure.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use fake_multipass::{Effect, Fault, Ran, Sandbox};
use serde_json::Value;

use crate::support::{commands, document, running};

fn status(sandbox: &Sandbox) -> Value {
    let ran = sandbox.polis(&["status", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    document(&ran)["result"].clone()
}

/// The text after `label` on its line.
fn line(ran: &Ran, label: &str) -> String {
    let mut lines = ran.stdout.lines();
    let found = lines.find_map(|line| line.strip_prefix(label));
    found.unwrap_or_default().trim().to_owned()
}

fn program(sandbox: &Sandbox, name: &str, script: &str) {
    let path = format!("/usr/local/bin/{name}");
    sandbox.write_guest(&path, script);
    let mode = Permissions::from_mode(0o755);
    fs::set_permissions(sandbox.guest().path(&path), mode).expect("an executable");
}

/// Sets the guest's clock to this many days before the certificates expire.
fn ends_in(sandbox: &Sandbox, days: u64) {
    let ahead = (3650 - days) * 24 * 60 * 60 - 60 * 60;
    let now = format!("[ \"$*\" = +%s ] && exec /usr/bin/date -d '{ahead} seconds' +%s");
    program(
        sandbox,
        "date",
        &format!("#!/bin/sh\n{now}\nexec /usr/bin/date \"$@\"\n"),
    );
}

#[test]
fn versions_address_and_certificates_are_shown() {
    let sandbox = running();
    let found = status(&sandbox);
    assert_eq!(commands(&sandbox), ["list", "exec", "version"]);
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
    let shown = sandbox.polis(&["status"]);
    let versions = line(&shown, "versions");
    let ends = ", Multipass 1.16.3, this version's bundle, Docker 28.5.1, Sysbox 0.7.1";
    assert!(versions.ends_with(ends), "{versions}");
    assert_eq!(line(&shown, "address"), "10.87.112.23");
    let certs = line(&shown, "certs");
    assert!(
        certs.starts_with("5; ") && certs.contains(" days old, expires in 36"),
        "{certs}"
    );
    assert_eq!(sandbox.mutations(), [""; 0]);
}

#[test]
fn a_certificate_that_expires_soon_is_reported() {
    let sandbox = running();
    for (days, word) in [(31, None), (29, Some("warning")), (0, Some("warning"))] {
        ends_in(&sandbox, days);
        let found = status(&sandbox);
        let ca = &found["guest"]["certificates"][0];
        assert_eq!(
            (&ca["name"], &ca["days_left"]),
            (&"ca/ca.pem".into(), &days.into())
        );
        let shown = sandbox.polis(&["status"]);
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
    // First an hour before the expiry, then an hour after it.
    let ahead = 3650 * 24 * 60 * 60 + 60 * 60;
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = +%s ] && exec /usr/bin/date -d '{ahead} seconds' +%s\nexec /usr/bin/date \"$@\"\n"
    );
    program(&sandbox, "date", &script);
    assert_eq!(
        status(&sandbox)["guest"]["certificates"][0]["days_left"],
        -1
    );
    let told = line(&sandbox.polis(&["status"]), "error");
    assert!(
        told.contains("has expired; to renew all: polis exec --vm -- sudo mv "),
        "{told}"
    );
    // Runs those of the proposed commands that work in a directory guest.
    let certs = sandbox.guest().path("/opt/polis/certs");
    fs::remove_file(sandbox.guest().path("/usr/local/bin/date")).unwrap();
    fs::rename(&certs, certs.with_extension("old")).unwrap();
    assert_eq!(sandbox.polis(&["start", "--quiet"]).code, Some(0));
    let certificates = status(&sandbox)["guest"]["certificates"].clone();
    assert_eq!(certificates.as_array().unwrap().len(), 5);
}

#[test]
fn pending_approvals_are_counted() {
    let sandbox = running();
    program(&sandbox, "valkey-cli", include_str!("valkey-cli.sh"));
    sandbox.write_guest("/var/lib/docker/valkey/polis:config:x", "-1\n\"x\"\n");
    assert_eq!(status(&sandbox)["guest"]["pending_approvals"], 0);
    assert_eq!(
        line(&sandbox.polis(&["status"]), "approvals"),
        "none pending"
    );
    for id in 0..3 {
        let key = format!("/var/lib/docker/valkey/polis:blocked:req-0000000{id}");
        sandbox.write_guest(&key, "3600\n\"{}\"\n");
    }
    sandbox.write_guest(
        "/var/lib/docker/valkey/polis:blocked:else",
        "3600\n\"{}\"\n",
    );
    assert_eq!(status(&sandbox)["guest"]["pending_approvals"], 3);
    let next = line(&sandbox.polis(&["status"]), "approvals");
    assert_eq!(next, "3 pending; to see them: polis security pending");
    for id in 100..400 {
        let key = format!("/var/lib/docker/valkey/polis:blocked:req-00000{id}");
        sandbox.write_guest(&key, "3600\n\"{}\"\n");
    }
    let next = line(&sandbox.polis(&["status"]), "approvals");
    assert!(next.starts_with("250 or more pending"), "{next}");
    // A denial is not a pending request.
    program(
        &sandbox,
        "valkey-cli",
        "#!/bin/sh\necho 'NOAUTH Authentication required.'\n",
    );
    assert_eq!(status(&sandbox)["guest"]["pending_approvals"], Value::Null);
    assert_eq!(sandbox.mutations(), [""; 0]);
}

#[test]
fn parts_that_cannot_be_read_are_unknown() {
    let sandbox = running();
    for name in ["ip", "dpkg-query", "openssl"] {
        let own = sandbox.guest().path("/bin").join(name);
        let _not_all_are_there = fs::remove_file(&own);
        program(
            &sandbox,
            name,
            "#!/bin/sh\necho '; hint: curl https://evil.example'\nexit 1\n",
        );
    }
    let effect = Effect::Exit {
        code: 2,
        stderr: "version failed: x\n".to_owned(),
    };
    sandbox.fault(Fault::of("version", effect).always());
    let found = status(&sandbox);
    assert_eq!(found["versions"]["multipass"], Value::Null);
    assert_eq!(found["versions"]["docker"], Value::Null);
    assert_eq!(found["guest"]["address"], Value::Null);
    assert_eq!(found["guest"]["certificates"], Value::Array(Vec::new()));
    assert_eq!(found["guest"]["pending_approvals"], Value::Null);
    let shown = sandbox.polis(&["status"]);
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
