//! `polis sync`: sends a directory to the workspace, and brings its changes back as a diff that is checked and shown first.
//!
//! Git does the work over SSH: it transfers only differences, and refuses names that point outside a directory. The
//! repositories belong to polis and lie beside the directories; the user's `.git` is neither read nor sent, and no
//! configuration of git on either side applies.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use polis_base::Digest;

use crate::args::SyncArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::instance::vm;
use crate::multipass::{interrupted, refusal};
use crate::output::Done;
use crate::process::{self, Failure, Output};
use crate::reports;
use crate::store::Lock;

/// Runs git without the user's environment and configuration. `$0` is the largest size of a file, in blocks of 512 bytes.
const GIT: &str = "\
unset GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE GIT_CONFIG_PARAMETERS GIT_CONFIG_COUNT
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_ATTR_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 LC_ALL=C
ulimit -f \"$0\" && exec git \"$@\"";

/// Contents stay unchanged, whatever attributes the directory sets.
const ATTRIBUTES: &str = "* !text !eol !ident !filter !working-tree-encoding !diff !merge\n";

/// How long to wait for another run.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const BASE: &str = "refs/polis/base";
const WORK: &str = "refs/polis/work";

/// Runs `polis sync`.
///
/// # Errors
/// When nothing was synced.
pub(crate) fn run(context: &Context, args: &SyncArgs) -> Result<Done> {
    super::ssh::must_be_set_up(context)?;
    let _lock = lock(context)?;
    let sync = Sync::new(context, &args.dir)?;
    if !args.diff && !args.apply {
        sync.bring_in()?;
        let text = format!("Synced to workspace:/home/polis/{}\n", sync.name);
        return Ok(sync.done(text, true, None));
    }
    let diff = sync.diff()?;
    if diff.is_empty() {
        return Ok(sync.done(
            "Nothing has changed in the workspace.\n".into(),
            false,
            Some(diff),
        ));
    }
    if !args.apply {
        return Ok(sync.done(diff.clone(), false, Some(diff)));
    }
    sync.judge()?;
    if !args.yes && !confirmed(context, &diff)? {
        return Ok(sync.done("Nothing was applied.\n".into(), false, Some(diff)));
    }
    sync.apply()?;
    let text = format!("Applied to {}\n", sync.dir.display());
    Ok(sync.done(text, true, Some(diff)))
}

/// Takes the lock. A run with `--watch` releases it every second, so this waits for it.
fn lock(context: &Context) -> Result<Lock> {
    let since = Instant::now();
    loop {
        match context.store.lock() {
            Err(error) if error.kind == Kind::Busy && since.elapsed() < LOCK_TIMEOUT => {}
            lock => return lock,
        }
        process::pause(process::TICK).map_err(|_| interrupted())?;
    }
}

/// Shows the changes and asks whether to apply them.
fn confirmed(context: &Context, diff: &str) -> Result<bool> {
    if !super::can_ask(context) {
        return Err(
            Error::new(Kind::Usage, "`polis sync --apply` needs confirmation")
                .because("polis asks only on a terminal, and not with `--json`")
                .next("polis sync DIR --diff, then: polis sync DIR --apply --yes"),
        );
    }
    context
        .output
        .ask(&format!("changes in the workspace:\n{diff}"));
    super::asked("Apply them here?")
}

pub(super) struct Sync {
    /// The directory, absolute and without links.
    pub(super) dir: PathBuf,
    pub(super) name: String,
    /// The name of its repositories on both sides.
    pub(super) key: String,
    /// The repository on this machine.
    pub(super) repository: PathBuf,
    /// The path of the configuration of OpenSSH.
    pub(super) config: String,
    pub(super) limit: Duration,
    /// The largest size of a file, in blocks of 512 bytes.
    pub(super) max_blocks: u64,
}

impl Sync {
    pub(super) fn new(context: &Context, dir: &Path) -> Result<Self> {
        let refused = |reason: String| {
            Error::new(Kind::Usage, format!("`{}` cannot be synced", dir.display())).because(reason)
        };
        let dir = fs::canonicalize(dir).map_err(|error| refused(error.to_string()))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = dir.file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| !name.starts_with(['.', '-']) && name.chars().all(plain));
        let name = name.filter(|_| dir.is_dir()).ok_or_else(|| {
            refused(
                "expected a directory whose name has only letters, digits, `-`, `_` and `.`".into(),
            )
        })?;
        let hex = Digest::of(dir.as_os_str().as_encoded_bytes()).hex();
        let key = format!("{name}-{}", &hex[..12]);
        let sync = Self {
            name: name.to_owned(),
            repository: context.store.path(&format!("sync-{key}.git"))?,
            config: super::ssh::config_file(context)?,
            limit: context.settings.copy_timeout.duration(),
            max_blocks: context.settings.copy_size.value.bytes() / 512,
            key,
            dir,
        };
        if !sync.repository.exists() {
            let path = sync.repository.display().to_string();
            let init = ["init", "--quiet", "--bare", "--template=", &path];
            let output = sync.run(
                "sh",
                &[&["-c", GIT, &sync.max_blocks.to_string()][..], &init].concat(),
            )?;
            sync.succeeded(output)?;
        }
        let info = sync.repository.join("info");
        let written =
            fs::create_dir_all(&info).and_then(|()| fs::write(info.join("attributes"), ATTRIBUTES));
        written.map_err(|error| refused(error.to_string()))?;
        Ok(sync)
    }

    pub(super) fn done(&self, text: String, changed: bool, diff: Option<String>) -> Done {
        let report = reports::files::Sync {
            directory: self.dir.display().to_string(),
            workspace: format!("workspace:/home/polis/{}", self.name),
            changed,
            diff,
        };
        Done::new(text, report)
    }

    /// Sends the directory to the workspace, unless that has its own changes.
    pub(super) fn bring_in(&self) -> Result<()> {
        self.ask("ready", "")?;
        let new = self.snapshot()?;
        self.push(&new)?;
        self.ask("take", "")?;
        self.git(&["update-ref", BASE, &new]).map(drop)
    }

    /// Merges `tree` with the workspace's own changes. Returns the names of the files that have changed on both sides, which
    /// stay as they are on each.
    pub(super) fn merge_in(&self, tree: &str) -> Result<Vec<String>> {
        let mut base = self.commit(tree)?;
        self.push(&base)?;
        let kept = self.ask("merge", "")?;
        let kept: Vec<String> = kept.split_terminator('\0').map(str::to_owned).collect();
        if !kept.is_empty() {
            // These were not synced, so the base keeps the workspace's version.
            let mut reset = vec!["--literal-pathspecs", "reset", "--quiet", BASE, "--"];
            reset.extend(kept.iter().map(String::as_str));
            self.git(&reset)?;
            base = self.commit(&self.git(&["write-tree"])?)?;
        }
        self.git(&["update-ref", BASE, &base])?;
        Ok(kept)
    }

    pub(super) fn push(&self, commit: &str) -> Result<()> {
        let push = [
            "push",
            "--quiet",
            "--force",
            "--receive-pack=git receive-pack",
        ];
        self.remote(&push, &format!("{commit}:refs/polis/new"))
    }

    /// Commits the directory's contents, without a parent.
    pub(super) fn snapshot(&self) -> Result<String> {
        self.commit(&self.tree()?)
    }

    /// Writes the directory's contents as a tree.
    pub(super) fn tree(&self) -> Result<String> {
        self.git(&["add", "--all", "."])?;
        self.git(&["write-tree"])
    }

    pub(super) fn commit(&self, tree: &str) -> Result<String> {
        self.git(&["commit-tree", "-m", "polis sync", tree])
    }

    /// The changes in the workspace since the last sync.
    pub(super) fn diff(&self) -> Result<String> {
        if self
            .git(&["rev-parse", "--quiet", "--verify", BASE])
            .is_err()
        {
            let what = format!("`{}` has not been synced yet", self.dir.display());
            return Err(Error::new(Kind::Usage, what).next("polis sync DIR"));
        }
        self.ask("give", "")?;
        let fetch = [
            "fetch",
            "--upload-pack=git upload-pack",
            "--quiet",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
        ];
        self.remote(&fetch, &format!("{WORK}:{WORK}"))?;
        let diff = self.compare(&["--no-color"])?;
        Ok(if diff.is_empty() { diff } else { diff + "\n" })
    }

    pub(super) fn compare(&self, options: &[&str]) -> Result<String> {
        let diff = ["diff", "--no-ext-diff", "--no-textconv", "--no-renames"];
        self.git(&[&diff[..], options, &[BASE, WORK, "--"]].concat())
    }

    /// Refuses links and repositories. Git itself refuses `.git` and names that point outside the directory.
    pub(super) fn judge(&self) -> Result<()> {
        let raw = self.compare(&["--raw", "-z"])?;
        match refused(&raw) {
            None => Ok(()),
            Some(reason) => Err(Error::new(Kind::Transfer, "nothing was applied")
                .because(reason)
                .next("remove it in the workspace, or copy the rest with: polis cp")),
        }
    }

    /// Applies all changes, or none if one of them conflicts with the directory's current contents.
    pub(super) fn apply(&self) -> Result<()> {
        let before = self.snapshot()?;
        self.git(&["update-ref", "refs/polis/before", &before])?;
        let patch = self.repository.join("patch");
        let output = format!("--output={}", patch.display());
        self.compare(&["--binary", "--full-index", &output])?;
        self.git(&["apply", "--whitespace=nowarn", &patch.display().to_string()])
            .map_err(|error| {
                error.next(format!(
                    "to see a file as it was before: git --git-dir='{}' show refs/polis/before:FILE",
                    self.repository.display()
                ))
            })?;
        let work = self.git(&["rev-parse", WORK])?;
        self.git(&["update-ref", BASE, &work])?;
        self.ask("applied", &work).map(drop)
    }

    /// Runs `sync.sh` in the workspace; returns its output.
    pub(super) fn ask(&self, verb: &str, commit: &str) -> Result<String> {
        let (name, key) = (&self.name, &self.key);
        let script = include_str!("../guest/sync.sh");
        let command = format!("set -- {verb} {name} {key} {commit}\n{script}");
        let args = ["-F", &self.config, "-o", "BatchMode=yes", vm(), &command];
        let output = self.run("ssh", &args)?;
        let next = match output.code {
            Some(0) => return Ok(output.stdout),
            Some(20) => "polis sync DIR --diff, then: polis sync DIR --apply",
            Some(21) => "move it away: polis exec -- mv DIR OTHER",
            Some(22) => "polis sync DIR",
            _ => "polis status",
        };
        Err(self.failed(&output, Kind::Transfer).next(next))
    }

    /// Transfers between the two repositories.
    pub(super) fn remote(&self, words: &[&str], refs: &str) -> Result<()> {
        let ssh = format!(
            "core.sshCommand=ssh -F \"{}\" -o BatchMode=yes",
            self.config
        );
        let checked = ["-c", &ssh, "-c", "transfer.fsckObjects=true"];
        let url = format!("{}:.polis-sync/{}.git", vm(), self.key);
        self.git(&[&checked[..], words, &[&url, refs]].concat())
            .map(drop)
    }

    /// Runs git, which must succeed; returns its output.
    pub(super) fn git(&self, args: &[&str]) -> Result<String> {
        let (most, dir) = (self.max_blocks.to_string(), self.dir.display().to_string());
        let repository = format!("--git-dir={}", self.repository.display());
        let tree = format!("--work-tree={dir}");
        let mut words = vec!["-c", GIT, &most, "-C", &dir, &repository, &tree];
        for setting in [
            "core.excludesFile=/dev/null",
            "core.hooksPath=/dev/null",
            "gc.auto=0",
            "user.name=polis",
            "user.email=polis@localhost",
        ] {
            words.extend(["-c", setting]);
        }
        self.succeeded(self.run("sh", &[&words[..], args].concat())?)
    }

    pub(super) fn succeeded(&self, output: Output) -> Result<String> {
        match output.code {
            Some(0) => Ok(output.stdout.trim_end_matches('\n').to_owned()),
            _ => Err(self.failed(&output, Kind::Transfer)),
        }
    }

    pub(super) fn run(&self, program: &str, args: &[&str]) -> Result<Output> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let failed = |reason: String| {
            let what = format!("`{}` was not synced", self.dir.display());
            Error::new(Kind::Transfer, what).because(reason)
        };
        process::run(Path::new(program), &args, self.limit).map_err(|failure| match failure {
            Failure::Interrupted => interrupted(),
            Failure::Start(error) | Failure::Lost(error) => failed(format!("{program}: {error}")),
            Failure::TimedOut(limit) => {
                failed(format!("it took longer than {} s", limit.as_secs()))
            }
            Failure::TooMuch(most) => {
                failed(format!("the changes are larger than {} MiB", most >> 20))
            }
        })
    }

    pub(super) fn failed(&self, output: &Output, kind: Kind) -> Box<Error> {
        let words = refusal::reasons(&output.stderr);
        let reason = words.last().cloned();
        let reason = reason.unwrap_or_else(|| format!("git failed ({})", output.ended()));
        let what = format!("`{}` was not synced", self.dir.display());
        Error::new(kind, what).because(reason).log(words)
    }
}

/// Why the changes listed by `git diff --raw -z` must not be applied; none if they may.
fn refused(raw: &str) -> Option<String> {
    let mut parts = raw.split_terminator('\0');
    while let Some(about) = parts.next() {
        let path = parts.next().unwrap_or_default();
        let mut modes = about.trim_start_matches(':').split(' ');
        let (old, new) = (
            modes.next().unwrap_or_default(),
            modes.next().unwrap_or_default(),
        );
        let file = |mode: &str| matches!(mode, "100644" | "100755" | "000000");
        if !file(new) || !(file(old) || old == "120000") || path.is_empty() {
            return Some(format!("`{path}` is a link or a nested repository"));
        }
        if path
            .split('/')
            .any(|part| part.eq_ignore_ascii_case(".git") || part == "..")
        {
            return Some(format!("`{path}` belongs to git"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    pub(super) fn only_plain_files_are_accepted() {
        let raw = |old: &str, new: &str, path: &str| format!(":{old} {new} 1 2 M\0{path}\0");
        let well = raw("100644", "100755", "a")
            + &raw("000000", "100644", "b/c.git")
            + &raw("120000", "000000", "d");
        assert_eq!(refused(&well), None);
        assert_eq!(refused(""), None);
        for bad in [
            raw("000000", "120000", "a"),
            raw("000000", "160000", "a"),
            raw("100644", "100644", "x/.GIT/hooks/pre-commit"),
            raw("100644", "100644", "../a"),
            raw("100644", "100644", ""),
            "?".to_owned(),
        ] {
            assert!(refused(&(well.clone() + &bad)).is_some(), "{bad:?}");
        }
    }
}
