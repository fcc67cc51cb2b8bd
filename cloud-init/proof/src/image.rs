//! The image that every guest starts from: the base with the stand-ins in it. Made once, kept in the Docker engine under
//! a key of its inputs.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::document::{Pins, pin};
use crate::run::Run;
use crate::{Result, base, document, packages};

/// Where the guest keeps its stand-ins.
pub const TOP: &str = "/srv/stand-in";

/// The hosts that the stand-ins answer for.
const HOSTS: [&str; 4] = [
    "archive.ubuntu.com",
    "download.docker.com",
    "github.com",
    ASSETS,
];

/// Where GitHub sends downloads.
pub const ASSETS: &str = "release-assets.githubusercontent.com";

/// How what all guests have is built from the base, and how the image of a container is built from that; the context's
/// `files` is what [`write_context`] makes.
const COMMON: &str = "COPY files/ /\nRUN sh /srv/stand-in/setup.sh\n";
const CONTAINER: &str = "\
ENV container=docker
RUN sh /srv/stand-in/container.sh
STOPSIGNAL SIGRTMIN+3
CMD [\"/init\"]
";

/// The files of this directory that become part of the image, with everything that decides how.
const INPUTS: [&str; 7] = [
    include_str!("image.rs"),
    include_str!("packages.rs"),
    include_str!("../stand-ins/setup.sh"),
    include_str!("../stand-ins/container.sh"),
    include_str!("../stand-ins/server.py"),
    include_str!("../stand-ins/init"),
    include_str!("../stand-ins/auditctl"),
];

/// An image and what its stand-ins serve.
#[derive(Debug)]
pub struct Image {
    /// Its name in the Docker engine.
    pub name: String,
    /// The name of what it has in common with a virtual machine: all but what makes up for a kernel of its own.
    pub common: String,
    /// What both were made from.
    pub base: base::Base,
    /// The pins that fit the stand-ins.
    pub pins: Pins,
}

/// What the labels of an image that hold pins start with.
const LABEL: &str = "polis-proof.";

/// The names of the pins that differ from those of the real downloads.
const PIN_NAMES: [&str; 4] = [
    "DOCKER_KEY_FINGERPRINT",
    "DOCKER_REPO_SUITE",
    "SYSBOX_SHA256_AMD64",
    "YQ_SHA256_AMD64",
];

/// Makes the image for the document `text`, or finds it; files go below `dir`.
///
/// # Errors
/// When a tool fails; the message quotes it.
pub fn prepare(dir: &Path, text: &str) -> Result<Image> {
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let parts = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins");
    let base = base::prepare(dir, &document::packages(text))?;
    let mut inputs: Vec<String> = INPUTS.map(str::to_owned).to_vec();
    inputs.push(base.key.clone());
    inputs.push(packages::padding());
    inputs.push(read(&parts.join("hold-lock.py"))?);
    for file in files(&parts.join("sysbox"))? {
        inputs.push(read(&file)?);
    }
    for name in [
        "SYSBOX_VERSION",
        "SYSBOX_URL_AMD64",
        "YQ_URL_AMD64",
        "DOCKER_KEY_URL",
    ] {
        inputs.push(pin(text, name)?);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let key = digest(&inputs);
    let (name, common) = (
        format!("polis-proof:{key}"),
        format!("polis-proof-common:{key}"),
    );
    if !is_there(&name)? || !is_there(&common)? {
        make(dir, &parts, &base, text, &key)?;
    }
    let pins = pins_of(&name)?;
    Ok(Image {
        name,
        common,
        base,
        pins,
    })
}

/// The pins that fit an image. They are its labels, since two checkouts may share a Docker engine: the stand-ins' key is
/// made with the image, by whichever came first.
fn pins_of(image: &str) -> Result<Pins> {
    let value = |name: &'static str| {
        let format = format!("{{{{index .Config.Labels \"{LABEL}{name}\"}}}}");
        let inspect = ["docker", "image", "inspect", "--format", &format, image];
        match Run::new(&inspect).output()?.trim() {
            "" => Err(format!("the image {image} has no label {LABEL}{name}")),
            value => Ok((name, value.to_owned())),
        }
    };
    PIN_NAMES.into_iter().map(value).collect()
}

fn make(dir: &Path, parts: &Path, base: &base::Base, text: &str, key: &str) -> Result<()> {
    let base_name = imported(base)?;
    let work = dir.join("image.new");
    let _ = fs::remove_dir_all(&work);
    let context = work.join("context");
    let pins = write_context(&context.join("files"), &work, parts, base, text)?;
    let labels = pins
        .iter()
        .map(|(name, value)| format!("LABEL {LABEL}{name}={value}\n"));
    let how = COMMON.to_owned() + &labels.collect::<String>();
    let common = build(&context, &base_name, &how, "polis-proof-common", key)?;
    let empty = work.join("empty");
    build(&empty, &common, CONTAINER, "polis-proof", key)?;
    fs::remove_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))
}

/// The name of the base in the Docker engine, which has it after this.
pub(crate) fn imported(base: &base::Base) -> Result<String> {
    let name = format!("polis-proof-base:{}", base.key);
    if !is_there(&name)? {
        let root = base.root.display().to_string();
        Run::new(&["docker", "import", &root, &name]).output()?;
        remove_other_images("polis-proof-base", &name)?;
    }
    Ok(name)
}

/// Whether the Docker engine has an image.
pub(crate) fn is_there(name: &str) -> Result<bool> {
    let ran = Run::new(&["docker", "image", "inspect", name]).ran()?;
    Ok(ran.code == 0)
}

/// Builds `repository:key` from another image, a directory of files and what to do with them; returns its name.
pub(crate) fn build(
    context: &Path,
    from: &str,
    how: &str,
    repository: &str,
    key: &str,
) -> Result<String> {
    let name = format!("{repository}:{key}");
    write(&context.join("Dockerfile"), &format!("FROM {from}\n{how}"))?;
    let context = context.display().to_string();
    let command = ["docker", "build", "--network", "none", "--quiet", "--tag"];
    Run::new(&[&command[..], &[&name, &context]].concat())
        .env("DOCKER_BUILDKIT", "0")
        .output()?;
    remove_other_images(repository, &name)?;
    Ok(name)
}

/// Images of other inputs would only fill the disk; one that is in use stays.
fn remove_other_images(repository: &str, name: &str) -> Result<()> {
    let format = "{{.Repository}}:{{.Tag}}";
    let others = Run::new(&["docker", "images", "--format", format, repository]).output()?;
    for other in others.lines().filter(|other| *other != name) {
        Run::new(&["docker", "rmi", other]).ran()?;
    }
    Ok(())
}

/// The same for what is kept in a directory under names that start with `prefix`.
pub(crate) fn remove_others(dir: &Path, prefix: &str, kept: &Path) -> Result<()> {
    for path in files(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path != kept && name.starts_with(prefix) {
            fs::remove_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn write_context(
    files: &Path,
    work: &Path,
    parts: &Path,
    base: &base::Base,
    text: &str,
) -> Result<Pins> {
    let top = files.join(TOP.trim_start_matches('/'));
    for name in [
        "setup.sh",
        "container.sh",
        "server.py",
        "hold-lock.py",
        "auditctl",
    ] {
        copy(&parts.join(name), &top.join(name))?;
    }
    copy(&parts.join("init"), &files.join("init"))?;
    Run::new(&["chmod", "-R", "0755", &files.display().to_string()]).output()?;
    authority(work, files, &top)?;

    let www = |url: &str| {
        let name = url.trim_start_matches("https://");
        top.join("www").join(name.replace("github.com", ASSETS))
    };
    let keys = Keys::new(&work.join("gnupg"))?;
    let key_file = www(&pin(text, "DOCKER_KEY_URL")?);
    write(&key_file, &keys.export(&keys.ours)?)?;
    write(&top.join("ours"), &keys.export(&keys.ours)?)?;
    let both = format!("{}{}", keys.export(&keys.ours)?, keys.export(&keys.other)?);
    write(&top.join("second-block"), &both)?;
    write(&top.join("two-keys"), &keys.export("Proof")?)?;
    write(&top.join("other-key"), &keys.export(&keys.other)?)?;
    let repository = www(&pin(text, "DOCKER_REPO_URL")?);
    // What another key signs: apt must refuse it, though it is served from the right place.
    write(&top.join("forged"), &(keys.forged()? + "\n"))?;
    packages::docker_repository(&base.packages, work, &repository, &keys.home, &keys.ours)?;

    packages::archive(&base.archive, &www("archive.ubuntu.com/ubuntu"))?;

    let sysbox = www(&pin(text, "SYSBOX_URL_AMD64")?);
    packages::sysbox(
        &parts.join("sysbox"),
        work,
        &pin(text, "SYSBOX_VERSION")?,
        &sysbox,
    )?;
    // As large as the real one, which is what fills a small disk.
    let yq = www(&pin(text, "YQ_URL_AMD64")?);
    write(
        &yq,
        &format!(
            "#!/bin/sh\necho yq stand-in\nexit\n{}",
            "#\n".repeat(5_000_000)
        ),
    )?;
    Ok(PIN_NAMES
        .into_iter()
        .zip([
            keys.ours.clone(),
            packages::SUITE.to_owned(),
            sha256_file(&sysbox)?,
            sha256_file(&yq)?,
        ])
        .collect())
}

/// Two keys, of which the first one is to be pinned.
struct Keys {
    home: PathBuf,
    ours: String,
    other: String,
}

impl Keys {
    fn new(home: &Path) -> Result<Self> {
        fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))?;
        Run::new(&["chmod", "0700", &home.display().to_string()]).output()?;
        let mut keys = Self {
            home: home.to_owned(),
            ours: String::new(),
            other: String::new(),
        };
        for name in ["Proof of the provisioning", "Proof of another key"] {
            keys.gpg(&[
                "--passphrase",
                "",
                "--quick-generate-key",
                name,
                "ed25519",
                "sign",
            ])?;
        }
        let listed = keys.gpg(&["--list-keys", "--with-colons"])?;
        let mut found = listed
            .lines()
            .filter(|line| line.starts_with("fpr:"))
            .filter_map(|line| line.split(':').nth(9));
        keys.ours = found.next().unwrap_or_default().to_owned();
        keys.other = found.next().unwrap_or_default().to_owned();
        Ok(keys)
    }

    fn gpg(&self, args: &[&str]) -> Result<String> {
        let home = self.home.display().to_string();
        let words = [&["gpg", "--batch", "--homedir", &home], args].concat();
        Run::new(&words).output()
    }

    fn forged(&self) -> Result<String> {
        let home = self.home.display().to_string();
        let words = [
            "gpg",
            "--batch",
            "--homedir",
            &home,
            "--local-user",
            &self.other,
            "--clearsign",
        ];
        Run::new(&words)
            .input(b"Suite: trixie\nCodename: trixie\n")
            .output()
    }

    fn export(&self, who: &str) -> Result<String> {
        Ok(self.gpg(&["--armor", "--export", who])? + "\n")
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let home = self.home.display().to_string();
        let _ = Run::new(&["gpgconf", "--homedir", &home, "--kill", "all"]).ran();
    }
}

/// A certificate authority that the guest trusts, and its certificate for the hosts.
fn authority(work: &Path, files: &Path, top: &Path) -> Result<()> {
    let names: Vec<String> = HOSTS.iter().map(|host| format!("DNS:{host}")).collect();
    let extensions = format!("subjectAltName={}", names.join(","));
    let curve = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-days",
        "3650",
    ];
    let authority = [
        &[
            "openssl",
            "req",
            "-x509",
            "-subj",
            "/CN=Proof",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ][..],
        &curve,
    ]
    .concat();
    Run::new(&authority).cwd(work).output()?;
    let server = [
        &[
            "openssl",
            "req",
            "-x509",
            "-subj",
            "/CN=stand-in",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
        ][..],
        &[
            "-addext",
            &extensions,
            "-addext",
            "basicConstraints=CA:FALSE",
        ],
        &["-keyout", "server.key", "-out", "server.crt"],
        &curve,
    ]
    .concat();
    Run::new(&server).cwd(work).output()?;
    copy(
        &work.join("ca.crt"),
        &files.join("usr/local/share/ca-certificates/proof.crt"),
    )?;
    let both = read(&work.join("server.crt"))? + &read(&work.join("server.key"))?;
    write(&top.join("server.pem"), &both)
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file and the directories that it needs.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Copies packages without what apt keeps beside them.
pub(crate) fn debs(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "deb") {
            copy(&path, &to.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// Copies a file and makes the directories that it needs.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent)
        .and_then(|()| fs::copy(from, to))
        .map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))?;
    Ok(())
}

/// Lets everyone read and run a file.
pub(crate) fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// The SHA-256 of a file.
pub(crate) fn sha256_file(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(hex(&Sha256::digest(bytes)))
}

/// A short name for the content of all `parts` together.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..8])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
