//! The image of every guest: the base with the stand-ins. Built once, and kept in the Docker engine under a key of its inputs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::document::{Pins, pin};
use crate::files::{copy, digest, files, read, sha256_file, write};
use crate::run::Run;
use crate::{Result, base, document, packages};

/// The guest's directory of stand-ins.
pub const TOP: &str = "/srv/stand-in";

/// The hosts for which the stand-ins answer.
const HOSTS: [&str; 4] = [
    "archive.ubuntu.com",
    "download.docker.com",
    "github.com",
    ASSETS,
];

/// The host to which GitHub redirects downloads.
pub const ASSETS: &str = "release-assets.githubusercontent.com";

/// Builds the common part of all guests from the base, and the image of a container from that. [`write_context`] creates the `files`
/// of the build context.
const COMMON: &str = "COPY files/ /\nRUN sh /srv/stand-in/setup.sh\n";
const CONTAINER: &str = "\
ENV container=docker
RUN sh /srv/stand-in/container.sh
STOPSIGNAL SIGRTMIN+3
CMD [\"/init\"]
";

/// The files of this directory that become part of the image, and those that define how.
const INPUTS: [&str; 7] = [
    include_str!("image.rs"),
    include_str!("packages.rs"),
    include_str!("../stand-ins/setup.sh"),
    include_str!("../stand-ins/container.sh"),
    include_str!("../stand-ins/server.py"),
    include_str!("../stand-ins/init"),
    include_str!("../stand-ins/auditctl"),
];

/// An image, and the pins of its stand-ins.
#[derive(Debug)]
pub struct Image {
    /// Its name in the Docker engine.
    pub name: String,
    /// The name of the part that it shares with a virtual machine: everything but the replacements for the guest's own kernel.
    pub common: String,
    /// The base of both.
    pub base: base::Base,
    /// The pins that match the stand-ins.
    pub pins: Pins,
}

/// The prefix of labels that contain pins.
const LABEL: &str = "polis-proof.";

/// The tool that is a package; the others are single programs.
const PACKAGE: &str = "sysbox";

/// The names of the pins that differ from those of the real downloads.
fn pin_names(text: &str) -> Vec<String> {
    let tools = document::tools(text).into_iter();
    let sums = tools.map(|tool| tool.to_ascii_uppercase() + "_SHA256_AMD64");
    let repository = ["DOCKER_KEY_FINGERPRINT", "DOCKER_REPO_SUITE"].map(str::to_owned);
    repository.into_iter().chain(sums).collect()
}

/// The URL of `tool` in the document.
fn url(text: &str, tool: &str) -> Result<String> {
    pin(text, &(tool.to_ascii_uppercase() + "_URL_AMD64"))
}

/// Builds the image for the document `text`, or finds it; files are below `dir`.
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
    for name in ["SYSBOX_VERSION", "DOCKER_KEY_URL"] {
        inputs.push(pin(text, name)?);
    }
    for tool in document::tools(text) {
        inputs.push(url(text, &tool)?);
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
    let pins = pins_of(&name, text)?;
    Ok(Image {
        name,
        common,
        base,
        pins,
    })
}

/// The pins that match an image. They are its labels, since two checkouts may share a Docker engine, and the image contains the
/// stand-ins' key, which is generated when the image is first built.
fn pins_of(image: &str, text: &str) -> Result<Pins> {
    let value = |name: String| {
        let format = format!("{{{{index .Config.Labels \"{LABEL}{name}\"}}}}");
        let inspect = ["docker", "image", "inspect", "--format", &format, image];
        match Run::new(&inspect).output()?.trim() {
            "" => Err(format!("the image {image} has no label {LABEL}{name}")),
            value => Ok((name, value.to_owned())),
        }
    };
    pin_names(text).into_iter().map(value).collect()
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

/// The name of the base in the Docker engine; imports it if necessary.
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

/// Builds `repository:key` from another image, a directory of files and instructions; returns its name.
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

/// Removes images of other inputs, which would only fill the disk; keeps one that is in use.
fn remove_other_images(repository: &str, name: &str) -> Result<()> {
    let format = "{{.Repository}}:{{.Tag}}";
    let others = Run::new(&["docker", "images", "--format", format, repository]).output()?;
    for other in others.lines().filter(|other| *other != name) {
        Run::new(&["docker", "rmi", other]).ran()?;
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
    // A repository signed by another key: apt must refuse it, although it is served from the right place.
    write(&top.join("forged"), &(keys.forged()? + "\n"))?;
    packages::docker_repository(&base.packages, work, &repository, &keys.home, &keys.ours)?;

    packages::archive(&base.archive, &www("archive.ubuntu.com/ubuntu"))?;

    let mut values = vec![keys.ours.clone(), packages::SUITE.to_owned()];
    for tool in document::tools(text) {
        let file = www(&url(text, &tool)?);
        if tool == PACKAGE {
            let version = pin(text, "SYSBOX_VERSION")?;
            packages::sysbox(&parts.join(PACKAGE), work, &version, &file)?;
        } else {
            // As large as the real yq, which fills a small disk.
            let rest = "#\n".repeat(5_000_000);
            write(
                &file,
                &format!("#!/bin/sh\necho {tool} stand-in\nexit\n{rest}"),
            )?;
        }
        values.push(sha256_file(&file)?);
    }
    Ok(pin_names(text).into_iter().zip(values).collect())
}

/// Two keys, the first of which is pinned.
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

/// Creates a certificate authority that the guest trusts, and its certificate for the hosts.
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
