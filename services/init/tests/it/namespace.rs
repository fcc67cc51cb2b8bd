//! Network namespaces for the tests of `bridge-accept`, so that they run concurrently and never touch
//! the host's firewall.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::common::{POLIS_INIT, Ran, command, have, have_program, run, succeed};

/// A network namespace, removed when dropped.
pub(crate) struct Namespace(Child);

impl Namespace {
    /// Creates a namespace with its own mounts, or explains why it cannot.
    pub(crate) fn new() -> Option<Self> {
        if !(have_program("iptables-nft", "iptables") && have_program("nsenter", "util-linux")) {
            return None;
        }
        // The shell reports when it is inside, and exits when its standard input closes.
        let mut unshare = command("unshare");
        unshare
            .args(["--net", "--mount", "sh", "-c", "echo inside; read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = unshare.stderr(Stdio::null()).spawn().expect("unshare");
        let mut line = String::new();
        let said = child
            .stdout
            .take()
            .map(|stdout| BufReader::new(stdout).read_line(&mut line));
        assert!(matches!(said, Some(Ok(_))), "{said:?}");
        let namespace = Self(child);
        have(
            "permission to create a network namespace",
            line == "inside\n",
        )
        .then_some(namespace)
    }

    /// A namespace with Docker's chain, as Docker up to version 28 creates it.
    pub(crate) fn with_chain() -> Option<Self> {
        let namespace = Self::new()?;
        namespace.iptables("-N DOCKER-USER");
        namespace.iptables("-A DOCKER-USER -j RETURN");
        Some(namespace)
    }

    /// The process that keeps the namespace alive, which identifies it for `ip` and in `/proc`.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Runs a shell script inside; it must succeed.
    pub(crate) fn shell(&self, script: &str) {
        succeed(self.command("sh").args(["-euc", script]));
    }

    /// Runs `work` in a thread inside the network namespace: the sockets that it creates belong there, wherever they are used later.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let link = File::open(format!("/proc/{}/ns/net", self.id())).expect("a namespace");
        thread::scope(|scope| {
            let enter = || {
                move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("setns");
                work()
            };
            scope.spawn(enter).join().expect("no panic")
        })
    }

    /// Prepares a program that runs inside.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut nsenter = command("nsenter");
        nsenter
            .args(["--target", &self.id().to_string(), "--net", "--mount"])
            .arg(program);
        nsenter
    }

    /// Runs `iptables-nft` inside; returns its output.
    pub(crate) fn iptables(&self, arguments: &str) -> String {
        succeed(self.command("iptables-nft").args(arguments.split(' ')))
    }

    /// Creates Docker's chain with a thousand rules about other interfaces, then `last`: more than the kernel returns in one datagram.
    pub(crate) fn restore_long_chain(&self, last: &str) {
        let comment = "x".repeat(200);
        let rules: String = (0..1000)
            .map(|i| format!("-A DOCKER-USER -i other{i} -m comment --comment {comment} -j DROP\n"))
            .collect();
        let text = format!("*filter\n:DOCKER-USER - [0:0]\n{rules}{last}\nCOMMIT\n");
        let mut restore = self.command("iptables-nft-restore");
        let mut child = restore
            .stdin(Stdio::piped())
            .spawn()
            .expect("iptables-nft-restore");
        let stdin = child
            .stdin
            .take()
            .map(|mut stdin| stdin.write_all(text.as_bytes()));
        assert!(matches!(stdin, Some(Ok(()))), "{stdin:?}");
        assert!(child.wait().expect("wait").success());
    }

    /// Docker's chain as iptables-nft lists it, without its declaration.
    pub(crate) fn rules(&self) -> Vec<String> {
        self.iptables("-S DOCKER-USER")
            .lines()
            .skip(1)
            .map(str::to_owned)
            .collect()
    }

    /// Runs `polis-init bridge-accept` inside.
    pub(crate) fn accept(&self, arguments: &[&str]) -> Ran {
        run(self
            .command(POLIS_INIT)
            .arg("bridge-accept")
            .args(arguments))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
