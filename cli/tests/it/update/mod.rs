//! `polis update`, run as users run it: a copy of the program under test replaces itself by what a server on this machine
//! has released.
//!
//! The program has no setting for its key, since such a pin would be none. So the copy is given the key of this test in its
//! bytes, where a build puts the one of the tree.

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
use fake_multipass::{Ran, Running, World};
use polis_base::Digest;

use crate::support::{document, world};
use forge::{key, signed};
use server::{Answer, Server};

/// The label of the program under test.
const HERE: &str = concat!(env!("CARGO_PKG_VERSION"), "-dev");

/// The program under test as one of `label`, with the key of these tests in it.
fn program(label: &str) -> Vec<u8> {
    with_key(label, &key().pk.to_base64())
}

fn with_key(label: &str, key: &str) -> Vec<u8> {
    let program = fs::read(env!("CARGO_BIN_EXE_polis")).expect("the program");
    forge::with_key(program, HERE, label, key)
}

/// A program that says that it is polis `version`, and no more.
fn script(version: &str) -> Vec<u8> {
    format!("#!/bin/sh\necho 'polis {version}'\n").into_bytes()
}

/// A user with the program in a directory of theirs, and the server of its releases.
struct Scene {
    world: World,
    server: Server,
}

impl Scene {
    /// One whose program is the one under test.
    fn new() -> Self {
        static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
        let scene = Self {
            world: world(),
            server: Server::start(),
        };
        let dir = scene.world.dir().join("programs");
        fs::create_dir(&dir).expect("a directory");
        scene.put(PROGRAM.get_or_init(|| program(HERE)));
        let config = scene.world.home().join(".config/polis");
        fs::create_dir_all(&config).expect("a directory");
        let url = format!("release-url = \"{}\"\n", scene.server.url());
        fs::write(config.join("config.toml"), url).expect("a file");
        scene
    }

    fn path(&self) -> PathBuf {
        self.world.dir().join("programs/polis")
    }

    fn put(&self, program: &[u8]) {
        fs::write(self.path(), program).expect("a program");
        fs::set_permissions(self.path(), Permissions::from_mode(0o750)).expect("a mode");
    }

    fn polis(&self, args: &[&str]) -> Ran {
        self.start(args, &[]).wait()
    }

    fn start(&self, args: &[&str], env: &[(&str, &str)]) -> Running {
        self.world.start(&self.path(), args, env, b"")
    }

    /// Releases `program` as `version`, which becomes the newest.
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

    /// What the program says that it is, which must run; and nothing may lie beside it.
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

    /// What the user sees, without the port.
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
fn a_newer_release_takes_the_place_of_the_program() {
    let scene = Scene::new();
    scene.release("9.8.7", &script("9.8.7"));
    let ran = scene.polis(&["update", "--check"]);
    expect![[r#"
        exit 0
        --- stdout
        polis 9.8.7 is released; this is [HERE]. Next: polis update
        --- stderr
        Looking for a release
    "#]]
    .assert_eq(&scene.seen(&ran).replace(HERE, "[HERE]"));
    assert_eq!(scene.is(), format!("polis {HERE}"));
    scene.server.seen();

    let ran = scene.polis(&["update"]);
    expect![[r#"
        exit 0
        --- stdout
        polis is now 9.8.7; it was [HERE]. Next: polis start, which updates the VM
        --- stderr
        Looking for a release
        Downloading polis 9.8.7
        Testing the new program
    "#]]
    .assert_eq(&scene.seen(&ran).replace(HERE, "[HERE]"));
    assert_eq!(scene.is(), "polis 9.8.7");
    let mode = fs::metadata(scene.path()).expect("the program").mode();
    assert_eq!(mode & 0o7777, 0o750, "the mode stays");
    let archive = names("9.8.7").0;
    let expected = [
        "/latest/download/SHA256SUMS.minisig",
        "/download/v9.8.7/SHA256SUMS",
        &format!("/download/v9.8.7/{archive}"),
    ];
    let expected = expected.map(|path| format!("GET {path} HTTP/1.1"));
    assert_eq!(scene.server.seen(), expected);
}

#[test]
fn the_real_program_updates_itself_again_and_again() {
    let scene = Scene::new();
    let [second, third] = ["9.0.1-dev", "9.0.2-dev"];
    scene.release(second, &program(second));
    // A preview: only whoever asks for it gets it.
    let ran = scene.polis(&["update"]);
    assert!(ran.stdout.contains("is a preview"), "{}", ran.seen());
    assert_eq!(scene.is(), format!("polis {HERE}"));
    for version in [second, third] {
        scene.release(version, &program(version));
        let ran = scene.polis(&["update", "--version", version, "--json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        let result = &document(&ran)["result"];
        assert_eq!(result["updated"], true, "{result}");
        assert_eq!(scene.is(), format!("polis {version}"));
    }
    let ran = scene.polis(&["update", "--version", third]);
    assert!(
        ran.stdout.contains("is the newest release"),
        "{}",
        ran.seen()
    );
    let ran = scene.polis(&["update", "--version", second]);
    assert_eq!(ran.code, Some(16), "{}", ran.seen());
    assert_eq!(scene.is(), format!("polis {third}"));
}

#[test]
fn a_link_to_the_program_stays_one() {
    let scene = Scene::new();
    scene.release("9.8.7", &script("9.8.7"));
    let link = scene.world.dir().join("bin/polis");
    std::os::unix::fs::symlink(scene.path(), &link).expect("a link");
    let ran = scene.world.start(&link, &["update"], &[], b"").wait();
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(fs::read_link(&link).ok(), Some(scene.path()));
    assert_eq!(scene.is(), "polis 9.8.7");
}

#[test]
fn a_program_of_a_package_manager_is_left_to_it() {
    let scene = Scene::new();
    scene.release("9.8.7", &script("9.8.7"));
    let dir = scene.world.dir().join("Cellar/polis/0.5.0/bin");
    fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join("polis");
    fs::rename(scene.path(), &path).expect("the program");
    let ran = scene.world.start(&path, &["update"], &[], b"").wait();
    expect![[r#"
        exit 16
        --- stderr
        error: `[WORLD]/Cellar/polis/0.5.0/bin/polis` belongs to a package manager
          hint: brew upgrade polis
    "#]]
    .assert_eq(&ran.seen());
    assert_eq!(scene.server.seen(), [""; 0]);
}

#[test]
fn without_curl_it_says_what_to_do() {
    let scene = Scene::new();
    let ran = scene.start(&["update"], &[("PATH", "")]).wait();
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
fn the_same_release_is_not_downloaded_again() {
    let scene = Scene::new();
    scene.put(&program("9.0.1-dev"));
    scene.release("9.0.1-dev", b"never looked at");
    let ran = scene.polis(&["update", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let result = &document(&ran)["result"];
    assert_eq!(
        (&result["updated"], &result["newer"]),
        (&false.into(), &false.into())
    );
    assert_eq!(scene.server.seen().len(), 2);
    assert_eq!(scene.is(), "polis 9.0.1-dev");
}

#[test]
fn a_program_without_a_key_trusts_nobody() {
    let scene = Scene::new();
    scene.put(&with_key(HERE, polis_base::facts::NO_KEY));
    scene.release("9.8.7", &script("9.8.7"));
    let ran = scene.polis(&["update"]);
    expect![[r#"
        exit 16
        --- stderr
        error: this program cannot be updated
          caused by: it was built without the key that verifies releases
          hint: install a release: https://github.com/odralabshq/polis/blob/main/docs/install.md
    "#]]
    .assert_eq(&ran.seen());
    assert_eq!(scene.server.seen(), [""; 0]);
}
