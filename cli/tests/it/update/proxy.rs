//! An update through a proxy, over TLS with a private certificate, using the real curl and OpenSSL.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fake_multipass::Running;

use super::{Fixture, HERE, script};
use crate::support::document;

/// A name that only the proxy can resolve.
const HOST: &str = "releases.invalid";
const OPENSSL: &str = "/usr/bin/openssl";

/// A proxy that answers CONNECT, and connects every client to the same port.
struct Proxy {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&shared);
                // Either side may disconnect at any time.
                thread::spawn(move || drop(lead(client, target, &seen)));
            }
        });
        Self { port, seen }
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn lead(mut client: TcpStream, target: u16, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request);
    let mut server = TcpStream::connect(("127.0.0.1", target))?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || io::copy(&mut from, &mut to));
    io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

/// Serves the fixture's releases over TLS; returns the port, and the server process.
fn serve(fixture: &Fixture) -> (u16, Running) {
    let home = fixture.sandbox.home();
    for (path, bytes) in fixture.server.files() {
        let file = home.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.with_file_name("")).expect("a directory");
        fs::write(file, bytes).expect("a file");
    }
    let name = format!("subjectAltName=DNS:{HOST}");
    let subject = format!("/CN={HOST}");
    let words = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &subject,
        "-addext",
        &name,
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ];
    let ran = fixture.sandbox.run(OPENSSL.as_ref(), &words);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let words = [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        "cert.pem",
        "-key",
        "key.pem",
        "-WWW",
    ];
    let server = fixture.sandbox.start(OPENSSL.as_ref(), &words, &[], b"");
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let said = server.stdout();
        let port = said.split("ACCEPT 127.0.0.1:").nth(1);
        let port = port.and_then(|rest| rest.lines().next()?.trim().parse().ok());
        if let Some(port) = port.filter(|_| said.contains('\n')) {
            return (port, server);
        }
        assert!(Instant::now() < end, "{said} {}", server.stderr());
        thread::sleep(Duration::from_millis(5));
    }
}

/// A release that only the proxy can reach, with a certificate that is not trusted by default: the fixture, the proxy, the path of the
/// certificate, and the server process. `None` without OpenSSL.
fn private() -> Option<(Fixture, Proxy, String, Running)> {
    if !xtask_testkit::has_part("openssl") {
        return None;
    }
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    let (port, server) = serve(&fixture);
    let certificate = fixture.sandbox.home().join("cert.pem");
    let certificate = certificate.display().to_string();
    Some((fixture, Proxy::to(port), certificate, server))
}

#[test]
fn an_update_uses_the_proxy_and_certificates_of_curl() {
    let Some((fixture, proxy, certificate, _server)) = private() else {
        return;
    };
    let through = format!("http://127.0.0.1:{}", proxy.port);
    let url = format!("https://{HOST}");
    let update = |more: &[(&str, &str)]| {
        let both = [("POLIS_RELEASE_URL", &*url), ("HTTPS_PROXY", &*through)];
        fixture.start(&["update"], &[&both, more].concat()).wait()
    };

    // A certificate that no trusted authority signed.
    let ran = update(&[]);
    assert_eq!(ran.code, Some(16), "{}", ran.seen());
    assert!(ran.stderr.contains("(exit code 60)"), "{}", ran.seen());
    assert_eq!(proxy.seen().len(), 1);
    // This host bypasses the proxy, and cannot be reached without it.
    let ran = update(&[("CURL_CA_BUNDLE", &certificate), ("NO_PROXY", HOST)]);
    assert!(ran.stderr.contains("(exit code 6)"), "{}", ran.seen());
    assert_eq!(proxy.seen(), [""; 0]);
    assert_eq!(fixture.is(), format!("polis {HERE}"));

    let ran = update(&[("CURL_CA_BUNDLE", &certificate)]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(
        proxy.seen(),
        vec![format!("CONNECT {HOST}:443 HTTP/1.1"); 3]
    );
    assert_eq!(fixture.is(), "polis 9.8.7");
    assert_eq!(fixture.server.seen(), [""; 0]);
}

#[test]
fn a_proxy_is_used_even_for_this_machine() {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    // Nothing listens on port 1.
    let env = [
        ("POLIS_RELEASE_URL", "http://localhost:1"),
        ("http_proxy", &*fixture.server.url()),
    ];
    let ran = fixture.start(&["update"], &env).wait();
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let seen = fixture.server.seen();
    assert!(
        seen[0].starts_with("GET http://localhost:1/latest/"),
        "{seen:?}"
    );
}

#[test]
fn an_update_uses_the_proxy_and_authorities_of_the_settings() {
    let Some((fixture, proxy, certificate, _server)) = private() else {
        return;
    };
    let through = format!("http://me:very%20secret@127.0.0.1:{}", proxy.port);
    let url = format!("https://{HOST}");
    let common = [
        ("POLIS_RELEASE_URL", &*url),
        ("POLIS_HTTPS_PROXY", &*through),
    ];
    let update =
        |more: &[(&str, &str)]| fixture.start(&["update"], &[&common, more].concat()).wait();

    let ran = update(&[]);
    assert!(ran.stderr.contains("(exit code 60)"), "{}", ran.seen());
    assert!(!ran.seen().contains("very"), "{}", ran.seen());
    assert_eq!(proxy.seen().len(), 1);
    let ran = update(&[("POLIS_NO_PROXY", HOST)]);
    assert!(ran.stderr.contains("(exit code 6)"), "{}", ran.seen());
    assert_eq!(proxy.seen(), [""; 0]);

    // `doctor` connects the same way, and reports the problem.
    let host = format!("{HOST}:443");
    let doctor = |more: &[(&str, &str)]| {
        let env = [&common[1..], &[("POLIS_DOWNLOAD_HOSTS", &*host)], more].concat();
        let ran = fixture.start(&["doctor", "--json"], &env).wait();
        assert!(!ran.seen().contains("very"), "{}", ran.seen());
        let checks = document(&ran)["result"]["checks"].take();
        let of = |name: &str| {
            let found = checks
                .as_array()?
                .iter()
                .find(|check| check["name"] == name)?;
            Some(format!("{} {}", found["verdict"], found["detail"]))
        };
        (of("network"), of("proxy"))
    };
    let (network, _) = doctor(&[]);
    let network = network.expect("a check");
    assert!(
        network.contains("no trusted authority signed its certificate"),
        "{network}"
    );
    let (network, shown) = doctor(&[("POLIS_CA_FILE", &certificate)]);
    assert_eq!(network, Some(format!("\"ok\" \"{host}\"")));
    let shown = shown.expect("a check");
    assert!(shown.contains("http://***@127.0.0.1"), "{shown}");
    proxy.seen();

    let ran = update(&[("POLIS_CA_FILE", &certificate)]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(
        proxy.seen(),
        vec![format!("CONNECT {HOST}:443 HTTP/1.1"); 3]
    );
    assert_eq!(fixture.is(), "polis 9.8.7");
}
