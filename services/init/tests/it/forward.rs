//! The forwarder as its container runs it: two ports, a host that comes and goes, and the health check.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::{POLIS_INIT, command, run};

const ANSWER: Duration = Duration::from_secs(20);

/// A running forwarder, killed when dropped.
struct Forwarder(Child);

impl Forwarder {
    /// Starts it, and waits until it listens on this many ports.
    fn start(ports: &[String]) -> Self {
        let words = ["forward", "--to=127.0.0.1", "--within=127.0.0.1/32"];
        let mut init = command(POLIS_INIT);
        let init = init.args(words).args(ports);
        let mut child = init.stdout(Stdio::piped()).spawn().expect("polis-init");
        let stdout = child.stdout.take().expect("its output");
        let said = BufReader::new(stdout).lines().take(ports.len());
        assert_eq!(said.filter(Result::is_ok).count(), ports.len());
        Self(child)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port on which nothing listens.
fn free() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn code(words: &[&str]) -> Option<i32> {
    run(command(POLIS_INIT).args(words)).code
}

fn ask(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(ANSWER)).expect("a timeout");
    let mut answer = String::new();
    let _ = stream.write_all(b"hello");
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn each_port_has_its_own_target_and_the_host_may_be_down() {
    let (one, other, late) = (free(), free(), free());
    let host = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = host.local_addr().expect("an address").port();
    let ports = [format!("{one}:{target}"), format!("{other}:{late}")];
    let forwarder = Forwarder::start(&ports);
    let serve = |host: TcpListener| {
        thread::spawn(move || {
            for mut stream in host.incoming().flatten() {
                let mut text = String::new();
                let _ = stream.read_to_string(&mut text);
                let _ = stream.write_all(format!("{text} to you").as_bytes());
            }
        });
    };
    serve(host);
    assert_eq!(ask(one), "hello to you");
    assert_eq!(ask(other), "");
    serve(TcpListener::bind(("127.0.0.1", late)).expect("a port"));
    assert_eq!(ask(other), "hello to you");

    let check = ["forward", "--check", &ports[0], &ports[1]];
    assert_eq!(code(&check), Some(0));
    // A port that is in use is reported as an error.
    let words = ["forward", "--to=localhost", "--within=127.0.0.0/8"];
    let ran = run(command(POLIS_INIT).args(words).arg(&ports[0]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let reason = format!("polis-init: forward: cannot listen on port {one}: Address");
    assert!(ran.stderr.starts_with(&reason), "{ran:?}");
    drop(forwarder);
    assert_eq!(code(&check), Some(1));
}
