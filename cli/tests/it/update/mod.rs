//! Runs `polis update` as users do: a copy of the program under test replaces itself with a release from a local server.
//!
//! The program has no setting for its key, because a pin that can be changed pins nothing. So the tests patch their own key into
//! the bytes of the copy, where a build puts the tree's key.

mod forge;
mod forged;
mod killed;
mod proxy;
mod server;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::OnceLock;

use expect_test::expect;
use fake_multipass::{Ran, Running, Sandbox};
use polis_base::Digest;

use crate::support::{document, sandbox};
use forge::{key, signed};
use server::{Answer, Server};

/// The label of the program under test.
const HERE: &str = concat!(env!("CARGO_PKG_VERSION"), "-dev");

/// The program under test, patched to have `label` and the key of these tests.
fn program(label: &str) -> Vec<u8> {
    with_key(label, &key().pk.to_base64())
}

fn with_key(label: &str, key: &str) -> Vec<u8> {
    let program = fs::read(env!("CARGO_BIN_EXE_polis")).expect("the program");
    forge::with_key(program, HERE, label, key)
}

/// A script that reports itself as polis `version`, and does nothing else.
fn script(version: &str) -> Vec<u8> {
    format!("#!/bin/sh\necho 'polis {version}'\n").into_bytes()
}

/// A user who has the program in their own directory, and a server of its releases.
struct Fixture {
    sandbox: Sandbox,
    server: Server,
}

impl Fixture {
    /// Installs the program under test.
    fn new() -> Self {
        static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
        let fixture = Self {
            sandbox: sandbox(),
            server: Server::start(),
        };
        let dir = fixture.sandbox.dir().join("programs");
        fs::create_dir(&dir).expect("a directory");
        fixture.put(PROGRAM.get_or_init(|| program(HERE)));
        let config = fixture.sandbox.home().join(".config/polis");
        fs::create_dir_all(&config).expect("a directory");
        let url = format!("release-url = \"{}\"\n", fixture.server.url());
        fs::write(config.join("config.toml"), url).expect("a file");
        fixture
    }

    fn path(&self) -> PathBuf {
        self.sandbox.dir().join("programs/polis")
    }

    fn put(&self, program: &[u8]) {
        fs::write(self.path(), program).expect("a program");
        fs::set_permissions(self.path(), Permissions::from_mode(0o750)).expect("a mode");
    }

    fn polis(&self, args: &[&str]) -> Ran {
        self.start(args, &[]).wait()
    }

    fn start(&self, args: &[&str], env: &[(&str, &str)]) -> Running {
        self.sandbox.start(&self.path(), args, env, b"")
    }

    /// Releases `program` as `version`, which becomes the newest release.
    fn release(&self, version: &str, program: &[u8]) {
        let (archive, path) = names(version);
        self.release_files(version, &archive, &packed(&path, program));
    }

    fn release_files(&self, version: &str, archive: &str, bytes: &[u8]) {
        let sums = format!("{}  {archive}\n", Digest::of(bytes).hex());
        let signature = signed(key(), &sums, &format!("Polis {version}"));
        for dir in ["latest/download", &format!("download/v{version}")] {
            let set = |name: &str, bytes: &[u8]| {
                let answer = Answer::File(bytes.to_vec());
                self.server.set(&format!("/{dir}/{name}"), answer);
            };
            set("SHA256SUMS", sums.as_bytes());
            set("SHA256SUMS.minisig", signature.as_bytes());
            set(archive, bytes);
        }
    }

    /// The installed program's version. Asserts that it runs and that its directory holds nothing else.
    fn is(&self) -> String {
        let ran = self.polis(&["version"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        assert_eq!(self.beside(), ["polis"]);
        ran.stdout.lines().next().unwrap_or_default().to_owned()
    }

    /// The names in the program's directory.
    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().with_file_name("")).expect("a directory");
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    }

    /// The output that the user sees, without the port.
    fn seen(&self, ran: &Ran) -> String {
        ran.seen().replace(&self.server.url(), "[SERVER]")
    }
}

/// The archive of `version` for this machine, and the path of the program in it.
fn names(version: &str) -> (String, String) {
    let stem = format!(
        "polis-{version}-{}-unknown-linux-musl",
        std::env::consts::ARCH
    );
    (format!("{stem}.tar.gz"), format!("{stem}/polis"))
}

fn packed(path: &str, program: &[u8]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    tar.append_data(&mut header, path, program)
        .expect("an entry");
    tar.into_inner()
        .and_then(|gzip| gzip.finish())
        .expect("an archive")
}

#[test]
fn a_newer_release_replaces_the_program() {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    let ran = fixture.polis(&["update", "--check"]);
    expect![[r#"
        exit 0
        --- stdout
        polis 9.8.7 is available; this is [HERE]. Next: polis update
        --- stderr
        Looking for a release
    "#]]
    .assert_eq(&fixture.seen(&ran).replace(HERE, "[HERE]"));
    assert_eq!(fixture.is(), format!("polis {HERE}"));
    fixture.server.seen();

    let ran = fixture.polis(&["update"]);
    expect![[r#"
        exit 0
        --- stdout
        polis is now 9.8.7; it was [HERE]. Next: polis start, which updates the VM
        --- stderr
        Looking for a release
        Downloading polis 9.8.7
        Testing the new program
    "#]]
    .assert_eq(&fixture.seen(&ran).replace(HERE, "[HERE]"));
    assert_eq!(fixture.is(), "polis 9.8.7");
    let mode = fs::metadata(fixture.path()).expect("the program").mode();
    assert_eq!(mode & 0o7777, 0o750, "the mode stays");
    let archive = names("9.8.7").0;
    let expected = [
        "/latest/download/SHA256SUMS.minisig",
        "/download/v9.8.7/SHA256SUMS",
        &format!("/download/v9.8.7/{archive}"),
    ];
    let expected = expected.map(|path| format!("GET {path} HTTP/1.1"));
    assert_eq!(fixture.server.seen(), expected);
}

#[test]
fn the_real_program_updates_itself_repeatedly() {
    let fixture = Fixture::new();
    let [second, third] = ["9.0.1-dev", "9.0.2-dev"];
    fixture.release(second, &program(second));
    // A preview is installed only on request.
    let ran = fixture.polis(&["update"]);
    assert!(ran.stdout.contains("is a preview"), "{}", ran.seen());
    assert_eq!(fixture.is(), format!("polis {HERE}"));
    for version in [second, third] {
        fixture.release(version, &program(version));
        let ran = fixture.polis(&["update", "--version", version, "--json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        let result = &document(&ran)["result"];
        assert_eq!(result["updated"], true, "{result}");
        assert_eq!(fixture.is(), format!("polis {version}"));
    }
    let ran = fixture.polis(&["update", "--version", third]);
    assert!(
        ran.stdout.contains("is the newest release"),
        "{}",
        ran.seen()
    );
    let ran = fixture.polis(&["update", "--version", second]);
    assert_eq!(ran.code, Some(16), "{}", ran.seen());
    assert_eq!(fixture.is(), format!("polis {third}"));
}

#[test]
fn a_link_to_the_program_is_kept() {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    let link = fixture.sandbox.dir().join("bin/polis");
    std::os::unix::fs::symlink(fixture.path(), &link).expect("a link");
    let ran = fixture.sandbox.start(&link, &["update"], &[], b"").wait();
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(fs::read_link(&link).ok(), Some(fixture.path()));
    assert_eq!(fixture.is(), "polis 9.8.7");
}

#[test]
fn a_program_owned_by_a_package_manager_is_not_replaced() {
    let fixture = Fixture::new();
    fixture.release("9.8.7", &script("9.8.7"));
    let dir = fixture.sandbox.dir().join("Cellar/polis/0.5.0/bin");
    fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join("polis");
    fs::rename(fixture.path(), &path).expect("the program");
    let ran = fixture.sandbox.start(&path, &["update"], &[], b"").wait();
    expect![[r#"
        exit 16
        --- stderr
        error: `[SANDBOX]/Cellar/polis/0.5.0/bin/polis` belongs to a package manager
          hint: brew upgrade polis
    "#]]
    .assert_eq(&ran.seen());
    assert_eq!(fixture.server.seen(), [""; 0]);
}

#[test]
fn without_curl_the_error_says_what_to_do() {
    let fixture = Fixture::new();
    let ran = fixture.start(&["update"], &[("PATH", "")]).wait();
    expect![[r#"
        exit 16
        --- stderr
        error: `curl` is not installed
          caused by: polis downloads its updates with it
          hint: install curl, or install the newest release with its script: https://github.com/odralabshq/polis/blob/main/docs/install.md
    "#]]
    .assert_eq(&ran.seen());
}

#[test]
fn the_installed_release_is_not_downloaded_again() {
    let fixture = Fixture::new();
    fixture.put(&program("9.0.1-dev"));
    fixture.release("9.0.1-dev", b"never looked at");
    let ran = fixture.polis(&["update", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let result = &document(&ran)["result"];
    assert_eq!(
        (&result["updated"], &result["newer"]),
        (&false.into(), &false.into())
    );
    assert_eq!(fixture.server.seen().len(), 2);
    assert_eq!(fixture.is(), "polis 9.0.1-dev");
}

#[test]
fn a_program_without_a_key_trusts_no_release() {
    let fixture = Fixture::new();
    fixture.put(&with_key(HERE, polis_base::facts::NO_KEY));
    fixture.release("9.8.7", &script("9.8.7"));
    let ran = fixture.polis(&["update"]);
    expect![[r#"
        exit 16
        --- stderr
        error: this program cannot be updated
          caused by: it was built without the key that verifies releases
          hint: install a release: https://github.com/odralabshq/polis/blob/main/docs/install.md
    "#]]
    .assert_eq(&ran.seen());
    assert_eq!(fixture.server.seen(), [""; 0]);
}
