//! `cargo xtask lab` as users see it, without a machine: its output in each state, and on a machine that lacks programs. The stage
//! `first` starts the same bench.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::path::PathBuf;

use cloud_init_proof::run::Run;
use expect_test::{Expect, expect};
use serde_json::json;
use xtask_testkit::{Ran, Tree};

const LAB: &str = env!("CARGO_BIN_EXE_polis-stack-proof");

/// A checkout, with the files that a lab's process would have left there.
struct Checkout {
    tree: Tree,
    /// The lock, held as by that process.
    lock: Option<File>,
}

impl Checkout {
    fn new() -> Self {
        let tree = Tree::data();
        fs::create_dir_all(tree.root().join("target/lab")).expect("a directory");
        Self { tree, lock: None }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.tree.root().join("target/lab").join(name)
    }

    /// Makes the process `pid` look like the lab.
    fn alive(mut self, pid: u32, ready: bool) -> Self {
        let lock = File::create(self.file("lock")).expect("a file");
        lock.lock().expect("the lock is free");
        self.lock = Some(lock);
        self.known(pid, ready)
    }

    /// Makes it look as if the process `pid` had been the lab.
    fn known(self, pid: u32, ready: bool) -> Self {
        let ready = ready.then(|| {
            let environment = self.file("environment");
            json!({"machine": "machine-1", "world": "/sandbox", "environment": environment})
        });
        let facts = json!({"pid": pid, "ready": ready});
        fs::write(self.file("lab.json"), facts.to_string()).expect("a file");
        self
    }

    /// Runs `lab VERB` without a `PATH`, so that it cannot call Docker.
    fn run(&self, verb: &str) -> Ran {
        self.tree
            .run_with(LAB, &["lab", verb], &[("PATH", "/nowhere")])
    }

    fn says(&self, verb: &str, expected: &Expect) {
        let seen = self.run(verb).seen();
        expected.assert_eq(&seen);
    }

    /// The state in the JSON report, which must match its schema.
    fn state(&self) -> String {
        let args = ["lab", "status", "--format", "json"];
        let report = self.tree.run(LAB, &args).report();
        let state = report["data"]["state"].as_str();
        state.expect("a state").to_owned()
    }
}

#[test]
fn nothing_runs() {
    let checkout = Checkout::new();
    assert_eq!(checkout.state(), "down");
    let down = expect![[r#"
        exit 0
        --- stdout
        the lab is down; to start it: cargo xtask lab up
    "#]];
    checkout.says("status", &down);
    assert_eq!(checkout.run("down").seen(), checkout.run("status").seen());
}

#[test]
fn the_lab_is_starting() {
    let checkout = Checkout::new().alive(1, false);
    assert_eq!(checkout.state(), "starting");
    checkout.says(
        "status",
        &expect![[r#"
            exit 0
            --- stdout
            the lab is starting; to wait for it: cargo xtask lab up
            its log: [TREE]/target/lab/log
        "#]],
    );
}

#[test]
fn it_runs() {
    let checkout = Checkout::new().alive(1, true);
    assert_eq!(checkout.state(), "up");
    checkout.says("status", &expect![[r#"
        exit 0
        --- stdout
        the lab is up: a machine, a registry with twins of the images, and a Multipass that launches it

          use it in a shell   . [TREE]/target/lab/environment
                              polis start
          enter the machine   docker exec -it machine-1 bash
          cut its power       docker kill machine-1
          calls of multipass  /sandbox/calls.jsonl
          take it down        cargo xtask lab down
    "#]]);
    assert_eq!(checkout.run("up").seen(), checkout.run("status").seen());
    checkout.says(
        "serve",
        &expect![[r#"
            exit 4
            --- stderr
            error: the lab of this checkout is already running
              hint: cargo xtask lab status
        "#]],
    );
}

#[test]
fn its_process_was_killed() {
    let checkout = Checkout::new().known(1, true);
    assert_eq!(checkout.state(), "killed");
    checkout.says(
        "status",
        &expect![[r#"
            exit 0
            --- stdout
            the lab's process was killed; to remove what it left behind: cargo xtask lab down
        "#]],
    );
    checkout.says(
        "up",
        &expect![[r#"
            exit 5
            --- stderr
            error: the process of the last lab was killed, and left a machine behind
              hint: cargo xtask lab down, then: cargo xtask lab up
        "#]],
    );
    checkout.says(
        "down",
        &expect![[r#"
            exit 0
            --- stdout
            the lab is down; to start it: cargo xtask lab up
        "#]],
    );
    assert_eq!(checkout.state(), "down");
}

#[test]
fn the_machine_lacks_programs() {
    Checkout::new().says("up", &expect![[r#"
        exit 5
        --- stderr
        error: this machine cannot run the lab
          caused by: not installed: docker, dockerd, mmdebstrap, iptables, gpg, openssl, dpkg-deb, docker-registry, skopeo, ssh, nsenter, ip
          hint: as root: apt-get install docker-registry docker.io dpkg gnupg iproute2 iptables mmdebstrap openssh-client openssl skopeo util-linux
          hint: then, as root: cargo xtask lab up
    "#]]);
}

#[test]
fn down_stops_the_process_and_waits_for_it() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    let mut process = Run::new(&["sleep", "1000"])
        .background(log.path())
        .expect("it starts");
    let checkout = Checkout::new().alive(process.id(), true);
    let args = ["lab", "down"];
    let down = checkout.tree.start(LAB, &args, &[]);
    let ended = process.wait().expect("a child");
    assert!(!ended.success(), "{ended}");
    // Like that process when everything is gone: until then, `down` waits.
    fs::remove_file(checkout.file("lab.json")).expect("the file");
    let Checkout { tree: _tree, lock } = checkout;
    drop(lock);
    let said = down.wait_with_output().expect("a child");
    assert!(said.status.success(), "{said:?}");
    expect![[r#"
        the lab is down; to start it: cargo xtask lab up
    "#]]
    .assert_eq(&String::from_utf8_lossy(&said.stdout));
}

#[test]
fn an_invalid_file_is_reported() {
    let checkout = Checkout::new();
    fs::write(checkout.file("lab.json"), "{").expect("a file");
    checkout.says(
        "status",
        &expect![[r#"
            exit 5
            --- stderr
            error: `[TREE]/target/lab/lab.json` is not valid
              caused by: EOF while parsing an object at line 1 column 1
              hint: remove it, then: cargo xtask lab up
        "#]],
    );
}
