//! Contracts: what an image of the stack holds, as far as our files rely on it.
//!
//! The images are built elsewhere and only pulled here, so nothing here can know what is in them. Each file of
//! `compose/images` says it once, every fact under the source that it comes from; what no source tells is absent.
//! `check` holds the compose file to the contracts, `verify-images` holds the images to them, and the images that
//! tests run are built from them.

mod reader;

use xtask_host::source::{Place, Source};

pub use reader::{load, read};

/// Where the contracts stand in the tree, one file for each image.
pub const DIR: &str = "compose/images";

/// The directories that a bare name is looked for in: the PATH of Debian's images and of Docker itself.
pub const SEARCHED: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// The directories that Debian merges into `/usr`: a bare name is found by any of these.
const MERGED: [&str; 4] = ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"];

/// A fact, where it comes from and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact<T> {
    /// What is the case.
    pub value: T,
    /// The name of its source, a key of [`Contract::sources`].
    pub from: String,
    /// Its place in the contract's file.
    pub place: Place,
}

/// What one image promises.
#[derive(Debug, Clone)]
pub struct Contract {
    /// The file.
    pub source: Source,
    /// The image, `registry/repository` without tag and digest.
    pub image: String,
    /// Where the file names the image.
    pub place: Place,
    /// Where facts come from: a name and what it stands for.
    pub sources: Vec<(String, String)>,
    /// The platforms that it is published for, as `linux/amd64`; never empty.
    pub platforms: Vec<Fact<String>>,
    /// The uid that the configuration's `User` is, by number or by a name of the image's own passwd; 0 where it is
    /// empty.
    pub user: Option<Fact<u32>>,
    /// The configuration's `Entrypoint`; `[]` where it has none.
    pub entrypoint: Option<Fact<Vec<String>>>,
    /// The configuration's `Cmd`; `[]` where it has none.
    pub command: Option<Fact<Vec<String>>>,
    /// Executables that our files may name: an absolute path, or a bare name to be found in [`SEARCHED`].
    pub programs: Vec<Fact<String>>,
    /// Programs that are known not to be there, as bare names.
    pub without: Vec<Fact<String>>,
    /// Paths that our files may name or replace.
    pub paths: Vec<Fact<ImagePath>>,
    /// Environment that a program of the image reads.
    pub environment: Vec<Fact<Variable>>,
    /// Accounts of the image's `/etc/passwd`.
    pub users: Vec<Fact<Account>>,
    /// Where its publisher says which digest each of its versions has.
    pub digests: Option<Fact<DigestList>>,
    /// Who has signed it.
    pub signature: Option<Fact<Signature>>,
}

/// A file of every release of a repository: JSON, a map from references with a tag to digests. The release of an image
/// has the image's tag.
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
    /// Who must have made it.
    pub signer: Signer,
    /// The oldest major version of cosign that finds it: an older one takes the image for unsigned.
    pub cosign: Option<u32>,
}

/// Who signs an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Whoever `issuer` vouches for under a name that `identity` matches as a whole: a regular expression from `^` to
    /// `$`.
    Keyless {
        /// The regular expression, in Go's syntax.
        identity: String,
        /// The URL of the OpenID Connect issuer.
        issuer: String,
    },
    /// Whoever holds the private key of a public one.
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
    /// What it is.
    pub kind: Kind,
    /// The program, or the path of the module, that reads it.
    pub read_by: Option<String>,
}

/// What a path of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A library that a program of the image loads; the image ships it.
    Module,
    /// A file that `read_by` reads if it is there. We mount it; the image need not ship one.
    Config,
    /// A directory that the image ships and its programs, or `read_by` alone, must be able to write to.
    Writable,
    /// Any other file or directory that the image ships.
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

impl Kind {
    /// Every kind with its word in the file.
    pub const ALL: [(&'static str, Self); 4] = [
        ("module", Self::Module),
        ("config", Self::Config),
        ("writable", Self::Writable),
        ("file", Self::File),
    ];

    /// Whether the image itself has the path.
    pub fn is_shipped(self) -> bool {
        self != Self::Config
    }
}

impl Contract {
    /// Its file's name without `.yaml`, as messages call it.
    pub fn name(&self) -> &str {
        stem(&self.source.path)
    }

    /// Whether the image has `program`, a bare name or an absolute path.
    ///
    /// A bare name of the contract answers to every directory that Debian merges into `/usr`, since the contract says
    /// no more than that it is found; `/usr/local` is none of these.
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

    /// The fact that `program` is known to be missing, which explains more than that it is not listed.
    pub fn lacks(&self, program: &str) -> Option<&Fact<String>> {
        let name = program.rsplit('/').next().unwrap_or(program);
        self.without.iter().find(|fact| fact.value == name)
    }

    /// What the contract says of exactly this path.
    pub fn path(&self, path: &str) -> Option<&Fact<ImagePath>> {
        self.paths.iter().find(|fact| fact.value.path == path)
    }

    /// What the source named `from` stands for.
    pub fn describe(&self, from: &str) -> Option<&str> {
        let found = self.sources.iter().find(|(name, _)| name == from)?;
        Some(&found.1)
    }
}

/// The contract of the image `name`, which is `registry/repository`.
pub fn of_image<'a>(contracts: &'a [Contract], name: &str) -> Option<&'a Contract> {
    contracts.iter().find(|contract| contract.image == name)
}

/// The platforms that every image of `contracts` has, in the order of the first one: those on which the stack runs.
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
