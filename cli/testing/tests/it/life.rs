//! A whole life of a machine: launched, filled, started, stopped, deleted.

use expect_test::expect;
use fake_multipass::{Power, World};

use crate::{guest, launch, until};

const COMPOSE: &str = include_str!("../../../../compose/docker-compose.yml");
const SECRETS: &str = include_str!("../../../../compose/scripts/generate-secrets.sh");

#[test]
fn a_machine_lives_and_dies() {
    let world = World::new();
    let ran = launch(&world);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(guest(&world, "cloud-init status"), "status: done\n");

    world.write_guest("/opt/polis/docker-compose.yml", COMPOSE);
    let put = [
        "transfer",
        "-p",
        "-",
        "polis:/opt/polis/scripts/generate-secrets.sh",
    ];
    let ran = world.multipass(&put, SECRETS.as_bytes());
    assert_eq!(ran.seen(), "exit 0\n");
    expect![[r#"
        generate-secrets: made /opt/polis/certs/ca
        generate-secrets: made /opt/polis/certs/toolbox
        generate-secrets: made /opt/polis/certs/valkey
        generate-secrets: made /opt/polis/secrets
        generate-secrets: complete and sound in /opt/polis
    "#]]
    .assert_eq(&guest(
        &world,
        "bash /opt/polis/scripts/generate-secrets.sh",
    ));

    let compose = "cd /opt/polis && docker compose";
    guest(&world, &format!("{compose} pull"));
    let job = "sudo -n systemd-run --quiet --collect --unit=polis-up-1 --uid=ubuntu \
               --working-directory=/opt/polis docker compose up --detach";
    guest(&world, job);
    until("the job ends", || {
        guest(&world, "systemctl is-active polis-up-1 || true") == "inactive\n"
    });
    let ps = format!(
        "{compose} ps --all --format '{{{{.Service}}}} {{{{.State}}}} {{{{.Health}}}} {{{{.ExitCode}}}}'"
    );
    // As many as the compose file has, each as it should be.
    let well = |ps: &str| {
        let mut services = 0;
        for line in ps.lines() {
            let init = line.ends_with("-init exited  0");
            assert!(init || line.ends_with(" running healthy 0"), "{ps}");
            services += 1;
        }
        let wanted = guest(&world, &format!("{compose} config --services"));
        assert_eq!(services, wanted.lines().count(), "{ps}");
    };
    well(&guest(&world, &ps));

    guest(&world, "touch /opt/polis/.ready");
    assert_eq!(world.multipass(&["stop", "polis"], b"").code, Some(0));
    assert_eq!(world.power(), Some(Power::Stopped));
    assert_eq!(world.multipass(&["start", "polis"], b"").code, Some(0));
    well(&guest(&world, &ps));

    assert_eq!(world.refused(), Vec::<String>::new());
    let ran = world.multipass(&["delete", "--purge", "polis"], b"");
    assert_eq!(ran.seen(), "exit 0\n");
    assert_eq!(world.instance(), None);
    assert!(!world.guest().root().exists());
}
