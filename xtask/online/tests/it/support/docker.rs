//! Docker's own registry, as Debian ships it, on a free loopback port.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use tempfile::TempDir;

use super::{command, external_tool, run};

/// A running `docker-registry`, stopped on drop.
pub(crate) struct DockerRegistry {
    child: Child,
    host: String,
    dir: TempDir,
}

impl DockerRegistry {
    /// A registry without authentication, over http.
    pub(crate) fn open() -> Option<Self> {
        Self::start("", |_| String::new())
    }

    /// A registry that requires `user` and `password` by basic authentication.
    pub(crate) fn with_password(user: &str, password: &str) -> Option<Self> {
        let htpasswd = external_tool("htpasswd")?;
        Self::start("", |dir| {
            let file = dir.join("htpasswd");
            fs::write(&file, run(htpasswd, ["-Bbn", user, password])).expect("htpasswd");
            format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                file.display()
            )
        })
    }

    /// A registry over https, with a certificate of a CA made for the test.
    pub(crate) fn with_tls() -> Option<Self> {
        let openssl = external_tool("openssl")?;
        Self::start("tls", |dir| {
            make_certificates(&openssl, dir);
            String::new()
        })
    }

    /// A registry that requires tokens from `realm`, signed with the key `auth.key` that is generated in its directory
    /// beside the certificate `auth.pem`.
    pub(crate) fn with_tokens(realm: &str) -> Option<Self> {
        let openssl = external_tool("openssl")?;
        Self::start("", |dir| {
            self_signed(&openssl, dir, "auth", "token.test");
            format!(
                "auth: {{token: {{realm: \"{realm}\", service: registry.test, issuer: \
                 issuer.test, rootcertbundle: {}}}}}\n",
                dir.join("auth.pem").display()
            )
        })
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The directory of its keys and certificates.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn start(tls: &str, extra: impl FnOnce(&Path) -> String) -> Option<Self> {
        let program = external_tool("docker-registry")?;
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path();
        let extra = extra(path);
        let at = |name: &str| path.join(name).display().to_string();
        let tls = match tls {
            "" => String::new(),
            _ => format!(
                ", tls: {{certificate: {}, key: {}}}",
                at("server.pem"),
                at("server.key")
            ),
        };
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:0\", secret: test{tls}}}\n{extra}",
            at("data")
        );
        fs::write(path.join("config.yml"), config).expect("config");
        let mut command = command(program);
        command.arg("serve").arg(path.join("config.yml"));
        let mut child = command
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker-registry");
        let host = listening(child.stderr.take().expect("stderr"));
        Some(Self { child, host, dir })
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in the registry's log. The registry chooses the port itself.
fn listening(log: impl Read + Send + 'static) -> String {
    let mut log = BufReader::new(log);
    let mut seen = String::new();
    loop {
        let start = seen.len();
        let read = log
            .read_line(&mut seen)
            .expect("the log of docker-registry");
        assert!(read > 0, "docker-registry ended:\n{seen}");
        if let Some((_, rest)) = seen[start..].split_once("listening on ") {
            let end = rest
                .find(|c| !matches!(c, '0'..='9' | '.' | ':'))
                .unwrap_or(rest.len());
            let host = rest[..end].to_owned();
            // Keep reading, so that the registry never blocks on a full pipe.
            thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return host;
        }
    }
}

/// Creates a CA (`ca.pem`) and a certificate of it for 127.0.0.1 (`server.pem`, `server.key`).
fn make_certificates(openssl: &Path, dir: &Path) {
    self_signed(openssl, dir, "ca", "test CA");
    let at = |name: &str| dir.join(name).display().to_string();
    fs::write(dir.join("san"), "subjectAltName=IP:127.0.0.1\n").expect("san");
    let request = format!(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry -keyout {} -out {}",
        at("server.key"),
        at("server.csr")
    );
    run(openssl, request.split(' '));
    let sign = format!(
        "x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days 2 -extfile {} -out {}",
        at("server.csr"),
        at("ca.pem"),
        at("ca.key"),
        at("san"),
        at("server.pem")
    );
    run(openssl, sign.split(' '));
}

fn self_signed(openssl: &Path, dir: &Path, name: &str, subject: &str) {
    let at = |suffix: &str| dir.join(format!("{name}.{suffix}")).display().to_string();
    let (key, pem, subject) = (at("key"), at("pem"), format!("/CN={subject}"));
    let args = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
    ];
    run(
        openssl,
        args.into_iter()
            .chain(["-subj", &subject, "-keyout", &key, "-out", &pem]),
    );
}
