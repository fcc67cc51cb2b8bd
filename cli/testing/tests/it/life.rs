//! The whole life of a machine: launched, set up, started, stopped, deleted.

use expect_test::expect;
use fake_multipass::{Power, Sandbox};

use crate::{guest, launch, until};

const COMPOSE: &str = include_str!("../../../../compose/docker-compose.yml");
const SECRETS: &str = include_str!("../../../../compose/scripts/generate-secrets.sh");

#[test]
fn a_machine_goes_through_its_whole_life() {
    let sandbox = Sandbox::new();
    let ran = launch(&sandbox);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(guest(&sandbox, "cloud-init status"), "status: done\n");

    sandbox.write_guest("/opt/polis/docker-compose.yml", COMPOSE);
    let put = [
        "transfer",
        "-p",
        "-",
        "polis:/opt/polis/scripts/generate-secrets.sh",
    ];
    let ran = sandbox.multipass(&put, SECRETS.as_bytes());
    assert_eq!(ran.seen(), "exit 0\n");
    expect![[r#"
        generate-secrets: made /opt/polis/certs/ca
        generate-secrets: made /opt/polis/certs/toolbox
        generate-secrets: made /opt/polis/certs/valkey
        generate-secrets: made /opt/polis/secrets
        generate-secrets: complete and sound in /opt/polis
    "#]]
    .assert_eq(&guest(
        &sandbox,
        "bash /opt/polis/scripts/generate-secrets.sh",
    ));

    let compose = "cd /opt/polis && docker compose";
    guest(&sandbox, &format!("{compose} pull"));
    let job = "sudo -n systemd-run --quiet --collect --unit=polis-up-1 --uid=ubuntu \
               --working-directory=/opt/polis docker compose up --detach";
    guest(&sandbox, job);
    until("the job ends", || {
        guest(&sandbox, "systemctl is-active polis-up-1 || true") == "inactive\n"
    });
    let ps = format!(
        "{compose} ps --all --format '{{{{.Service}}}} {{{{.State}}}} {{{{.Health}}}} {{{{.ExitCode}}}}'"
    );
    // As many containers as the compose file defines, each healthy.
    let well = |ps: &str| {
        let mut services = 0;
        for line in ps.lines() {
            let init = line.ends_with("-init exited  0");
            assert!(init || line.ends_with(" running healthy 0"), "{ps}");
            services += 1;
        }
        let wanted = guest(&sandbox, &format!("{compose} config --services"));
        assert_eq!(services, wanted.lines().count(), "{ps}");
    };
    well(&guest(&sandbox, &ps));

    guest(&sandbox, "touch /opt/polis/.ready");
    assert_eq!(sandbox.multipass(&["stop", "polis"], b"").code, Some(0));
    assert_eq!(sandbox.power(), Some(Power::Stopped));
    assert_eq!(sandbox.multipass(&["start", "polis"], b"").code, Some(0));
    well(&guest(&sandbox, &ps));

    assert_eq!(sandbox.refused(), Vec::<String>::new());
    let ran = sandbox.multipass(&["delete", "--purge", "polis"], b"");
    assert_eq!(ran.seen(), "exit 0\n");
    assert_eq!(sandbox.instance(), None);
    assert!(!sandbox.guest().root().exists());
}
