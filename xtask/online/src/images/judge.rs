//! Checks an image against its contract, and against what the compose file starts in it. Pure: the layers have been
//! read already.

use polis_base::Digest;
use serde::Deserialize;
use xtask_host::source::Place;
use xtask_pins::contract::{Contract, Fact, ImagePath, PathKind, SEARCHED};

use super::files::{Files, Found, Lost, Node, NodeKind};
use super::state::{ImageStatus, Problem};
use super::uses::ImageUse;
use super::who::{ImageUser, Permission, account, groups, uid_of};

/// The parts of an image's configuration that we check.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    pub(super) os: String,
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) config: Execution,
    pub(super) rootfs: RootFs,
}

/// How it is run.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Execution {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
}

/// What its layers unpack to.
#[derive(Debug, Deserialize)]
pub(super) struct RootFs {
    pub(super) diff_ids: Vec<String>,
}

struct Judge<'a> {
    contract: &'a Contract,
    config: &'a Config,
    files: &'a Files,
    uses: &'a [ImageUse],
    problems: Vec<Problem>,
}

/// Every way in which the image of `config` and `files` breaks `contract` or lacks what `uses` start.
pub(super) fn judge(
    contract: &Contract,
    uses: &[ImageUse],
    config: &Config,
    files: &Files,
) -> Vec<Problem> {
    let mut judge = Judge {
        contract,
        config,
        files,
        uses,
        problems: Vec::new(),
    };
    judge.user();
    judge.starts();
    judge.accounts();
    let who = judge.who();
    for fact in &contract.programs {
        judge.program(&fact.value, &fact.place, "", &who);
    }
    for (at, used) in uses.iter().enumerate() {
        let mine = who.get(at).cloned();
        for start in &used.starts {
            let by = format!(", which {} of service {} starts", start.by, used.service);
            judge.program(&start.program, &start.place, &by, mine.as_slice());
        }
    }
    for fact in &contract.without {
        judge.without(fact);
    }
    for fact in &contract.paths {
        judge.path(fact, &who);
    }
    // The same program may be promised and started.
    let mut seen: Vec<Problem> = Vec::new();
    for problem in judge.problems {
        if !seen.contains(&problem) {
            seen.push(problem);
        }
    }
    seen
}

impl Judge<'_> {
    fn broken(&mut self, kind: ImageStatus, place: &Place, about: impl Into<String>) {
        self.problems.push(Problem::broken(kind, place, about));
    }

    fn user(&mut self) {
        let Some(fact) = &self.contract.user else {
            return;
        };
        let spec = self.config.config.user.as_deref().unwrap_or_default();
        match account(self.files, spec) {
            Some((uid, _)) if uid == u64::from(fact.value) => {}
            Some((uid, _)) => {
                let about = format!("runs as uid {uid}, the contract says {}", fact.value);
                self.broken(ImageStatus::WrongUser, &fact.place, about);
            }
            None => {
                let about = format!("runs as `{spec}`, who is not in /etc/passwd");
                self.broken(ImageStatus::WrongUser, &fact.place, about);
            }
        }
    }

    fn starts(&mut self) {
        let execution = &self.config.config;
        let facts = [
            (
                "entry point",
                &self.contract.entrypoint,
                &execution.entrypoint,
            ),
            ("command", &self.contract.command, &execution.cmd),
        ];
        for (what, fact, found) in facts {
            let Some(fact) = fact else { continue };
            let found = found.as_deref().unwrap_or_default();
            if found != fact.value.as_slice() {
                let about = format!(
                    "the {what} is {found:?}, the contract says {:?}",
                    fact.value
                );
                self.broken(ImageStatus::WrongEntryPoint, &fact.place, about);
            }
        }
    }

    fn accounts(&mut self) {
        let passwd = self.files.text("/etc/passwd");
        for fact in &self.contract.users {
            let (name, promised) = (&fact.value.name, u64::from(fact.value.uid));
            let about = match passwd.as_deref().map(|text| uid_of(text, name)) {
                Some(Some(uid)) if uid == promised => continue,
                Some(Some(uid)) => {
                    format!("`{name}` has uid {uid}, the contract says {promised}")
                }
                Some(None) => format!("/etc/passwd has no `{name}`"),
                None => format!("no /etc/passwd, the contract expects `{name}` in it"),
            };
            self.broken(ImageStatus::WrongUser, &fact.place, about);
        }
    }

    /// ImageUser runs the image: the user of each service, else that of the image.
    fn who(&mut self) -> Vec<ImageUser> {
        let mut found = Vec::new();
        for used in self.uses {
            let own = self.config.config.user.as_deref().unwrap_or_default();
            let spec = used.user.as_deref().unwrap_or(own);
            // `user` reports the image's own user, if the contract has one.
            let (uid, gid) = account(self.files, spec).unwrap_or_else(|| {
                if used.user.is_some() || self.contract.user.is_none() {
                    let about = format!(
                        "service {} runs as `{spec}`, who is not in /etc/passwd",
                        used.service
                    );
                    self.problems
                        .push(Problem::new(ImageStatus::WrongUser, about));
                }
                (0, 0)
            });
            found.push(ImageUser {
                uid,
                groups: groups(self.files, uid, gid),
                overrides: uid == 0 && used.overrides,
                name: format!("uid {uid} (service {})", used.service),
            });
        }
        found
    }

    /// Requires that `program` exists and that everyone in `who` may run it.
    fn program(&mut self, program: &str, place: &Place, by: &str, who: &[ImageUser]) {
        let (mut forbidden, mut lost) = (None, None);
        for path in self.places(program) {
            match self.files.find(&path) {
                Ok(found) if !matches!(found.node.is, NodeKind::File(_)) => {
                    lost.get_or_insert(format!("{path} is not a file"));
                }
                Ok(found) => match who.iter().find(|who| !who.may(&found, Permission::Execute)) {
                    None => return,
                    Some(who) => {
                        forbidden.get_or_insert(format!(
                            "`{program}`{by}: {} of {} does not let {} run it",
                            mode(found.node),
                            found.path,
                            who.name
                        ));
                    }
                },
                Err(error) if program.starts_with('/') => lost = Some(error.to_string()),
                Err(_) => {}
            }
        }
        if let Some(about) = forbidden {
            return self.broken(ImageStatus::NotExecutable, place, about);
        }
        let about = lost.unwrap_or_else(|| format!("not in {}", self.search_path().join(":")));
        self.broken(
            ImageStatus::PathMissing,
            place,
            format!("`{program}`{by}: {about}"),
        );
    }

    fn without(&mut self, fact: &Fact<String>) {
        let mut dirs = self.search_path();
        dirs.extend(SEARCHED.map(str::to_owned));
        for dir in dirs {
            let path = format!("{dir}/{}", fact.value);
            let Ok(found) = self.files.find(&path) else {
                continue;
            };
            if matches!(found.node.is, NodeKind::File(_)) && found.node.mode & 0o111 != 0 {
                let about = format!("found `{}` at {}", fact.value, found.path);
                return self.broken(ImageStatus::UnexpectedProgram, &fact.place, about);
            }
        }
    }

    fn path(&mut self, fact: &Fact<ImagePath>, who: &[ImageUser]) {
        let ImagePath { path, kind, .. } = &fact.value;
        if !kind.is_shipped() {
            return;
        }
        let found = match self.files.find(path) {
            Ok(found) => found,
            Err(error) => {
                let about = format!("`{path}`: {error}");
                return self.broken(ImageStatus::PathMissing, &fact.place, about);
            }
        };
        let (kind, about) = match kind {
            PathKind::Module => {
                let barred = who.iter().find(|who| !who.may(&found, Permission::Read));
                let Some(who) = barred else { return };
                let mode = mode(found.node);
                let about = format!("`{path}`: {mode} does not let {} read it", who.name);
                (ImageStatus::NotReadable, about)
            }
            PathKind::Writable if found.node.is != NodeKind::Directory => (
                ImageStatus::PathMissing,
                format!("`{path}` is not a directory"),
            ),
            PathKind::Writable => match self.unwritable(path, &found, who) {
                Some(about) => (ImageStatus::NotWritable, about),
                None => return,
            },
            PathKind::Config | PathKind::File => return,
        };
        self.broken(kind, &fact.place, about);
    }

    /// Why neither the image's own user nor that of any service can write to a directory; `None` if one can, or if a
    /// service mounts something over it and so does not depend on what the image has there.
    fn unwritable(&self, path: &str, found: &Found<'_>, who: &[ImageUser]) -> Option<String> {
        let own = self.config.config.user.as_deref().unwrap_or_default();
        let own = account(self.files, own).map(|(uid, gid)| ImageUser {
            uid,
            groups: groups(self.files, uid, gid),
            overrides: uid == 0,
            name: format!("uid {uid}"),
        });
        let covered = |used: &ImageUse| {
            let mut mounts = used.mounts.iter();
            mounts.any(|mount| {
                path == mount
                    || path
                        .strip_prefix(mount.as_str())
                        .is_some_and(|rest| rest.starts_with('/'))
            })
        };
        if self.uses.iter().any(covered)
            || own
                .iter()
                .chain(who)
                .any(|who| who.may(found, Permission::Write))
        {
            return None;
        }
        let node = found.node;
        Some(format!(
            "`{path}`: {}, owned by uid {}",
            mode(node),
            node.uid
        ))
    }

    /// The paths at which `program` is looked for.
    fn places(&self, program: &str) -> Vec<String> {
        match program.starts_with('/') {
            true => vec![program.to_owned()],
            false => {
                let dirs = self.search_path().into_iter();
                dirs.map(|dir| format!("{dir}/{program}")).collect()
            }
        }
    }

    /// The directories of the image's PATH; Docker's default if it sets none.
    fn search_path(&self) -> Vec<String> {
        let set = self.config.config.env.iter().flatten();
        let path = set
            .filter_map(|line| line.strip_prefix("PATH="))
            .next_back();
        match path {
            Some(path) => path
                .split(':')
                .filter(|dir| dir.starts_with('/'))
                .map(str::to_owned)
                .collect(),
            None => SEARCHED.map(str::to_owned).to_vec(),
        }
    }
}

/// The mode of a file, in the octal form that `chmod` takes.
fn mode(node: &Node) -> String {
    format!("mode {:04o}", node.mode)
}

/// Compares the digests `found` of the unpacked layers with those of the configuration.
pub(super) fn unpacked(config: &Config, found: &[Digest]) -> Option<Problem> {
    let promised = &config.rootfs.diff_ids;
    if promised.len() != found.len() {
        let about = format!(
            "the configuration names {} layers, the manifest {}",
            promised.len(),
            found.len()
        );
        return Some(Problem::new(ImageStatus::Unreadable, about));
    }
    let mut both = promised.iter().zip(found).enumerate();
    let (at, (promised, found)) =
        both.find(|(_, (promised, found))| **promised != found.to_string())?;
    let about = format!(
        "layer {} unpacks to {found}, the configuration says {promised}",
        at + 1
    );
    Some(Problem::new(ImageStatus::WrongDigest, about))
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{path} does not exist"),
            Self::NoDirectory(path) => write!(f, "{path} is not a directory"),
            Self::Loop => write!(f, "too many levels of symbolic links"),
        }
    }
}
