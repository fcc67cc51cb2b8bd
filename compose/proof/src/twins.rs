//! Twins of the published images. Each has exactly the programs of its contract in `compose/images/`.
//!
//! Tests cannot reach the published images. A twin takes programs from Debian where that has them, compiles the c-icap modules to
//! the paths of the contract, and replaces the rest by small stand-ins, which identify themselves as such. It is an OCI layout on
//! disk, cached under a key of its inputs; building it needs no engine.

mod base;
mod contents;
mod files;
mod layout;
mod machine;
mod modules;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloud_init_proof::run::Run;
use serde_json::json;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;
use xtask_pins::contract::{self, Contract};

use crate::Result;
use base::Base;
pub use contents::companions;
pub(crate) use files::hex;
use files::{digest, entries, read};

/// The image that is built from this repository rather than imitated.
const INIT: &str = "init";

/// The inputs of a twin, other than its contract, the base and the stand-ins.
const SOURCES: [&[u8]; 8] = [
    include_bytes!("twins.rs"),
    include_bytes!("twins/contents.rs"),
    include_bytes!("twins/layout.rs"),
    include_bytes!("twins/machine.rs"),
    include_bytes!("twins/modules.rs"),
    include_bytes!("twins/tree.rs"),
    include_bytes!("../stand-ins/c-icap/module.c"),
    include_bytes!("../stand-ins/docker-entrypoint.sh"),
];

/// The twin of one image.
#[derive(Debug, Clone)]
pub struct Twin {
    /// The name of its contract: `gate`.
    pub name: String,
    /// The image that it replaces, `registry/repository`.
    pub image: String,
    /// The tag by which the compose file names the image.
    pub tag: String,
    /// The digest of its manifest, or of its index if the image has one.
    pub digest: String,
    /// Its OCI layout.
    pub layout: PathBuf,
}

/// The authority that signs the certificates of the fake internet's servers; gate and scanner trust it.
#[derive(Debug, Clone)]
pub struct Authority {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// The twins of all images of the stack.
#[derive(Debug)]
pub struct Twins {
    /// In the order of their names.
    pub twins: Vec<Twin>,
    /// The authority that they trust in addition to Debian's list.
    pub internet: Authority,
    /// How long it took to build or find the base.
    pub base_took: Duration,
    /// How long it took to build or find the images.
    pub took: Duration,
}

/// Builds the twins of the images of the tree at `root`, or finds them in the cache below `dir`.
///
/// Needs root for the owners of files and for mmdebstrap, and the stand-ins next to the running program, where cargo puts them
/// when it builds a test of this package.
///
/// # Errors
/// When a contract is invalid, a tool fails, or nothing provides a program that a contract names.
pub fn build(root: &Path, dir: &Path) -> Result<Twins> {
    let dir = dir.join("twins");
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    // Two concurrent tests would both build the same twins.
    let lock = dir.join("lock");
    let lock = fs::File::create(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    lock.lock()
        .map_err(|error| format!("{}: {error}", dir.join("lock").display()))?;
    let contracts = contract::load(root).map_err(|error| format!("{error:?}"))?;
    let start = Instant::now();
    let base = Base::prepare(&dir)?;
    let base_took = start.elapsed();
    let start = Instant::now();
    let internet = authority(&dir)?;
    let twins = std::thread::scope(|scope| {
        let one = |contract| {
            let (base, internet, dir) = (&base, &internet, &dir);
            scope.spawn(move || twin(root, dir, base, internet, contract))
        };
        let running: Vec<_> = contracts.iter().map(one).collect();
        let ended = running.into_iter().map(|twin| {
            let twin = twin.join();
            twin.unwrap_or_else(|_| Err("a thread that built a twin panicked".to_owned()))
        });
        ended.collect::<Result<Vec<Twin>>>()
    })?;
    let kept: Vec<&Path> = twins.iter().map(|twin| twin.layout.as_path()).collect();
    for old in entries(&dir)? {
        let is_image = old.join("oci-layout").is_file();
        if is_image && !kept.contains(&old.as_path()) {
            fs::remove_dir_all(&old).map_err(|error| format!("{}: {error}", old.display()))?;
        }
    }
    let took = start.elapsed();
    Ok(Twins {
        twins,
        internet,
        base_took,
        took,
    })
}

impl Twins {
    /// Each image, as `registry/repository`, with the digest of its twin.
    pub fn references(&self) -> Vec<(String, String)> {
        let references = self.twins.iter();
        references
            .map(|twin| (twin.image.clone(), twin.digest.clone()))
            .collect()
    }

    /// The twin of the image whose contract has this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, name: &str) -> Result<&Twin> {
        let found = self.twins.iter().find(|twin| twin.name == name);
        found.ok_or_else(|| format!("there is no contract `{name}`"))
    }
}

impl Twin {
    /// Pushes it to `registry`, a `host:port` without TLS, under its image's repository and tag.
    ///
    /// # Errors
    /// When skopeo fails.
    pub fn push(&self, registry: &str) -> Result<()> {
        let repository = self.image.split_once('/').map_or("", |(_, path)| path);
        let from = format!("oci:{}", self.layout.display());
        let to = format!("docker://{registry}/{repository}:{}", self.tag);
        let mut words = vec!["skopeo", "copy", "--quiet", "--all", "--preserve-digests"];
        words.extend(["--dest-tls-verify=false", &from, &to]);
        Run::new(&words).output().map(drop)
    }

    /// The programs of its file system, as absolute paths: the executables in the directories of the `PATH`.
    ///
    /// # Errors
    /// When the layout cannot be read.
    pub fn programs(&self) -> Result<Vec<String>> {
        layout::programs(&self.layout)
    }
}

fn twin(
    root: &Path,
    dir: &Path,
    base: &Base,
    internet: &Authority,
    contract: &Contract,
) -> Result<Twin> {
    let name = contract.name().to_owned();
    let made = |layout: PathBuf, digest: String| {
        Ok(Twin {
            tag: tag(root, &contract.image)?,
            image: contract.image.clone(),
            name: name.clone(),
            digest,
            layout,
        })
    };
    if name == INIT {
        let layout = dir.join(INIT);
        let workspace = Workspace {
            root: root.to_owned(),
            target: root.join("target"),
        };
        let images = xtask_build::images::build(&workspace, &layout, Progress::Silent)
            .map_err(|error| format!("{error:?}"))?;
        let built = images.iter().find_map(xtask_build::images::Image::digest);
        let digest = built.ok_or("no image was built from services/init")?;
        return made(layout, digest.to_string());
    }
    let trusted = read(&internet.certificate)?;
    let stand_ins = contents::StandIns::of(contract)?;
    let mut inputs: Vec<&[u8]> = SOURCES.to_vec();
    inputs.extend([
        base.key.as_bytes(),
        contract.source.text.as_bytes(),
        &trusted,
    ]);
    inputs.extend(stand_ins.bytes());
    let layout = dir.join(format!("{name}-{}", digest(&inputs)));
    let saved = layout.join("digest");
    if let Ok(digest) = fs::read_to_string(&saved) {
        return made(layout, digest);
    }
    let new = dir.join(format!("{name}.new"));
    let _ = fs::remove_dir_all(&new);
    let tree = contents::tree(base, contract, &stand_ins, &trusted, &new)?;
    let digest = layout::write(&new, &tree, &config(contract))?;
    fs::write(new.join("digest"), &digest)
        .and_then(|()| fs::rename(&new, &layout))
        .map_err(|error| format!("{}: {error}", new.display()))?;
    made(layout, digest)
}

/// The configuration of the image, where its contract specifies it.
fn config(contract: &Contract) -> serde_json::Value {
    let words = |fact: &Option<contract::Fact<Vec<String>>>| {
        let fact = fact.as_ref();
        fact.map_or_else(Vec::new, |fact| fact.value.clone())
    };
    let mut entrypoint = words(&contract.entrypoint);
    if contract.entrypoint.is_none() {
        entrypoint = contents::entrypoint(contract);
    }
    let user = contract.user.as_ref().map_or(0, |fact| fact.value);
    json!({
        "User": if user == 0 { String::new() } else { user.to_string() },
        "Entrypoint": entrypoint,
        "Cmd": words(&contract.command),
        "Labels": {"org.opencontainers.image.title": format!("twin of {}, built for tests", contract.image)},
    })
}

/// The tag by which the compose file of the tree at `root` names `image`.
fn tag(root: &Path, image: &str) -> Result<String> {
    let path = root.join(xtask_pins::compose::PATH);
    let text = String::from_utf8_lossy(&read(&path)?).into_owned();
    let start = format!("image: {image}:");
    let found = text.split_once(&start).map(|(_, rest)| rest);
    let tag = found.and_then(|rest| rest.split(|c: char| c.is_whitespace() || c == '@').next());
    let tag = tag.filter(|tag| !tag.is_empty()).map(str::to_owned);
    tag.ok_or_else(|| format!("{}: no service has the image `{image}`", path.display()))
}

/// Creates the authority of the fake internet, unless `dir` has it.
fn authority(dir: &Path) -> Result<Authority> {
    let authority = Authority {
        certificate: dir.join("internet.crt"),
        key: dir.join("internet.key"),
    };
    if !authority.certificate.is_file() {
        let (certificate, key) = (dir.join("internet.crt.new"), authority.key.display());
        let (certificate, key) = (certificate.display().to_string(), key.to_string());
        let mut words = vec!["openssl", "req", "-x509", "-noenc", "-days", "3650"];
        words.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        words.extend(["-subj", "/CN=Internet of the tests", "-out", &certificate]);
        words.extend(["-keyout", &key]);
        Run::new(&words).output()?;
        fs::rename(&certificate, &authority.certificate)
            .map_err(|error| format!("{certificate}: {error}"))?;
    }
    Ok(authority)
}
