//! Contracts: the facts about an image of the stack that our files rely on.
//!
//! The images are built elsewhere. Each file of `compose/images` lists the facts about one image, under the source of
//! each fact; a fact without a source is left out. `check` compares the compose file with the contracts,
//! `verify-images` compares the images with them, and the images of the tests are built from them.

mod reader;

use xtask_host::source::{Place, Source};

pub use reader::{load, read};

/// The directory of the contracts, with one file for each image.
pub const DIR: &str = "compose/images";

/// The search path for bare names: the PATH of Debian's images, and Docker's default.
pub const SEARCHED: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// The directories that Debian merges into `/usr`: a program is found under each of them.
const MERGED: [&str; 4] = ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"];

/// A fact with its source and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact<T> {
    /// The fact.
    pub value: T,
    /// The name of its source, a key of [`Contract::sources`].
    pub from: String,
    /// Its place in the contract's file.
    pub place: Place,
}

/// The contract of one image.
#[derive(Debug, Clone)]
pub struct Contract {
    /// The file.
    pub source: Source,
    /// The image, `registry/repository` without tag and digest.
    pub image: String,
    /// The place of the image's name in the file.
    pub place: Place,
    /// The sources of facts: names and descriptions.
    pub sources: Vec<(String, String)>,
    /// The platforms that it is published for, as in `linux/amd64`. Never empty.
    pub platforms: Vec<Fact<String>>,
    /// The uid of the configuration's `User`, which may be a number or a name in the image's passwd; 0 if it is empty.
    pub user: Option<Fact<u32>>,
    /// The configuration's `Entrypoint`; `[]` without one.
    pub entrypoint: Option<Fact<Vec<String>>>,
    /// The configuration's `Cmd`; `[]` without one.
    pub command: Option<Fact<Vec<String>>>,
    /// Programs that our files may run: absolute paths, or bare names in [`SEARCHED`].
    pub programs: Vec<Fact<String>>,
    /// Programs that are known to be missing, as bare names.
    pub without: Vec<Fact<String>>,
    /// Paths that our files may use or mount over.
    pub paths: Vec<Fact<ImagePath>>,
    /// Environment variables that a program of the image reads.
    pub environment: Vec<Fact<Variable>>,
    /// Accounts of the image's `/etc/passwd`.
    pub users: Vec<Fact<Account>>,
    /// The publisher's list of digests.
    pub digests: Option<Fact<DigestList>>,
    /// Its signature.
    pub signature: Option<Fact<Signature>>,
}

/// An asset of every release of a repository: a JSON map from tagged references to digests. The release of an image has
/// the image's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestList {
    /// The repository at GitHub, `owner/name`.
    pub repository: String,
    /// The name of the file.
    pub asset: String,
}

/// A signature that `cosign verify` accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The required signer.
    pub signer: Signer,
    /// The oldest major version of cosign that finds it. To older ones, the image looks unsigned.
    pub cosign: Option<u32>,
}

/// The signer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// An identity from `issuer` that matches `identity`, a regular expression from `^` to `$`.
    Keyless {
        /// The regular expression, in Go's syntax.
        identity: String,
        /// The URL of the OpenID Connect issuer.
        issuer: String,
    },
    /// The holder of a private key.
    Key {
        /// The file of the public key in the tree.
        path: String,
        /// Whether the signature is in the public transparency log.
        logged: bool,
    },
}

/// A path of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePath {
    /// Absolute, without a trailing slash.
    pub path: String,
    /// Its kind.
    pub kind: PathKind,
    /// The program, or the path of the module, that reads it.
    pub read_by: Option<String>,
}

/// The kind of a path in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A library of the image that one of its programs loads.
    Module,
    /// A file that `read_by` reads if it exists. We mount it; the image need not have one.
    Config,
    /// A directory of the image that its programs, or `read_by` alone, must be able to write to.
    Writable,
    /// Any other file or directory of the image.
    File,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The program, or the path of the module, that reads it.
    pub read_by: String,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: u32,
}

impl PathKind {
    /// Every kind with its name in the file.
    pub const ALL: [(&'static str, Self); 4] = [
        ("module", Self::Module),
        ("config", Self::Config),
        ("writable", Self::Writable),
        ("file", Self::File),
    ];

    /// Whether the image contains the path.
    pub fn is_shipped(self) -> bool {
        self != Self::Config
    }
}

impl Contract {
    /// The name of its file, without `.yaml`.
    pub fn name(&self) -> &str {
        stem(&self.source.path)
    }

    /// Whether the image has `program`, a bare name or an absolute path.
    ///
    /// A bare name in the contract matches in every directory that Debian merges into `/usr`, but not in `/usr/local`.
    pub fn has_program(&self, program: &str) -> bool {
        self.programs.iter().any(|fact| {
            let known = fact.value.as_str();
            let below = |dirs: &[&str], path: &str, name: &str| {
                dirs.iter().any(|dir| {
                    let rest = path.strip_prefix(dir.trim_end_matches('/'));
                    rest.and_then(|rest| rest.strip_prefix('/')) == Some(name)
                })
            };
            known == program
                || (!known.starts_with('/') && below(&MERGED, program, known))
                || (!program.starts_with('/') && below(&SEARCHED, known, program))
        })
    }

    /// The fact that the image lacks `program`: it is more precise than a missing entry.
    pub fn lacks(&self, program: &str) -> Option<&Fact<String>> {
        let name = program.rsplit('/').next().unwrap_or(program);
        self.without.iter().find(|fact| fact.value == name)
    }

    /// The fact about exactly this path.
    pub fn path(&self, path: &str) -> Option<&Fact<ImagePath>> {
        self.paths.iter().find(|fact| fact.value.path == path)
    }

    /// The description of the source `from`.
    pub fn describe(&self, from: &str) -> Option<&str> {
        let found = self.sources.iter().find(|(name, _)| name == from)?;
        Some(&found.1)
    }
}

/// The contract of the image `name`, which is `registry/repository`.
pub fn of_image<'a>(contracts: &'a [Contract], name: &str) -> Option<&'a Contract> {
    contracts.iter().find(|contract| contract.image == name)
}

/// The platforms of the stack: those that every image has, in the order of the first one.
pub fn offered(contracts: &[Contract]) -> Vec<String> {
    let Some((first, others)) = contracts.split_first() else {
        return Vec::new();
    };
    let has = |contract: &Contract, platform: &str| {
        let platforms = contract.platforms.iter();
        platforms
            .map(|fact| &fact.value)
            .any(|known| known == platform)
    };
    let platforms = first.platforms.iter().map(|fact| fact.value.clone());
    platforms
        .filter(|platform| others.iter().all(|other| has(other, platform)))
        .collect()
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".yaml").unwrap_or(name)
}

#[cfg(test)]
mod tests;
