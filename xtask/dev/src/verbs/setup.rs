//! `setup`: prepares a developer's machine. It installs cargo-nextest, adds a pre-commit hook and, on Debian and
//! Ubuntu, installs the test tools that `ci` uses. It prints its plan by default and executes it with `--yes`; running
//! it again does nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::args::SetupArgs;
use crate::tools;
use xtask_host::error::Result;
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::report::Report;
use xtask_host::reports::release as reports;
use xtask_host::tools::installed;
use xtask_host::workspace::Workspace;
use xtask_host::write;

const NEXTEST: &str = "cargo-nextest";

/// Where the tool installers put programs, below each directory of `target/parts`.
const PROGRAM_DIRS: [&str; 4] = [
    "tools",
    "node_modules/.bin",
    "unpacked/usr/bin",
    "unpacked/usr/lib/wine",
];

const HOOK: &str = "\
#!/bin/sh
# Written by `cargo xtask setup`. `git commit --no-verify` skips it.
# git's own variables would make the tests work on this repository.
unset $(git rev-parse --local-env-vars)
cd \"$(git rev-parse --show-toplevel)\" && exec cargo xtask ci --quick
";

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Install the test tools with these names.
    Tools(Vec<String>),
    /// Install cargo-nextest.
    Nextest,
    /// Write the pre-commit hook to `path`. `foreign` is set if git runs another hook.
    Hook { path: PathBuf, foreign: bool },
}

/// # Errors
/// If an installation fails or the hook cannot be written.
pub fn run(workspace: &Workspace, args: &SetupArgs, progress: Progress) -> Result<Report> {
    let provided = tools::provide(workspace, false, progress)?;
    let missing = provided.left_out.iter().map(|tool| name(tool));
    let missing = missing.filter(|name| !unpacked(&workspace.target, name));
    let missing = missing.filter(|_| tools::is_debian_like());
    let plan = plan(
        missing.map(str::to_owned).collect(),
        installed(NEXTEST),
        hooks(&workspace.root),
    );
    if args.yes {
        for step in &plan {
            progress.note(&step.describe());
            step.run(workspace, progress)?;
        }
    }
    let steps: Vec<String> = plan.iter().map(Step::describe).collect();
    let text = match (plan.is_empty(), args.yes) {
        (true, _) => "this machine is set up; next: cargo xtask ci --quick".to_owned(),
        (_, true) => format!("done:\n{}\nnext: cargo xtask ci --quick", listed(&steps)),
        (_, false) => format!(
            "would do:\n{}\nnext: cargo xtask setup --yes",
            listed(&steps)
        ),
    };
    let data = reports::Setup {
        steps,
        done: args.yes,
    };
    Ok(Report::new("setup", data, text))
}

/// The remaining steps. `hooks` is git's directory of hooks.
fn plan(missing: Vec<String>, nextest: bool, hooks: Option<PathBuf>) -> Vec<Step> {
    let mut steps = Vec::new();
    if !missing.is_empty() {
        steps.push(Step::Tools(missing));
    }
    if !nextest {
        steps.push(Step::Nextest);
    }
    steps.extend(hooks.and_then(|dir| hook(&dir)));
    steps
}

/// The hook to write in `dir`. A hook of the user's is kept, and ours is written beside it.
fn hook(dir: &Path) -> Option<Step> {
    let is_ours = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text == HOOK);
    let (path, beside) = (dir.join("pre-commit"), dir.join("pre-commit.polis"));
    let foreign = path.exists() && !fs::read_to_string(&path).is_ok_and(|text| generated(&text));
    let path = if foreign { beside } else { path };
    (!is_ours(&path)).then_some(Step::Hook { path, foreign })
}

/// Whether any version of this verb wrote the hook.
fn generated(text: &str) -> bool {
    text.contains("# Written by `cargo xtask setup`.")
}

/// The directory for hooks, which worktrees share and `core.hooksPath` changes. `None` outside a git checkout.
fn hooks(root: &Path) -> Option<PathBuf> {
    let git = Run::new("git").args(["rev-parse", "--git-path", "hooks"]);
    let dir = git.cwd(root).output().ok()?;
    Some(root.join(dir.trim()))
}

/// The name in `NAME: WHY`.
fn name(tool: &str) -> &str {
    tool.split_once(": ").map_or(tool, |(name, _)| name)
}

/// Whether an earlier run unpacked the tool below the build directory. Being root is not a tool.
fn unpacked(target: &Path, name: &str) -> bool {
    let dirs = fs::read_dir(target.join("parts")).into_iter().flatten();
    let program = name.split(' ').next().unwrap_or_default();
    let mut found = dirs.flatten().map(|dir| dir.path()).flat_map(|dir| {
        PROGRAM_DIRS.map(|programs| dir.join(programs).join(program).symlink_metadata().is_ok())
    });
    name == "root" || found.any(|exists| exists)
}

fn listed(steps: &[String]) -> String {
    let lines = steps.iter().map(|step| format!("  {step}"));
    lines.collect::<Vec<_>>().join("\n")
}

impl Step {
    fn describe(&self) -> String {
        match self {
            Self::Tools(missing) => format!("install the test tools: {}", missing.join(", ")),
            Self::Nextest => format!("cargo install --locked {NEXTEST}"),
            Self::Hook { path, foreign } => {
                let path = path.display();
                match foreign {
                    false => format!("write {path}, which runs `cargo xtask ci --quick`"),
                    true => format!(
                        "write {path}; your own pre-commit hook is kept, and can call this one"
                    ),
                }
            }
        }
    }

    fn run(&self, workspace: &Workspace, progress: Progress) -> Result<()> {
        match self {
            Self::Tools(_) => {
                let provided = tools::provide(workspace, true, progress)?;
                let left_out = provided.left_out.iter().map(|tool| name(tool));
                let left_out: Vec<&str> = left_out.filter(|name| *name != "root").collect();
                if left_out.is_empty() {
                    return Ok(());
                }
                let missing = format!("cannot install {} here", left_out.join(", "));
                progress.note(&format!("{missing}: their tests are skipped"));
                Ok(())
            }
            Self::Nextest => {
                let install = Run::cargo().args(["install", "--locked", NEXTEST]);
                install.stdout_to_stderr().inherit()
            }
            Self::Hook { path, .. } => {
                write::atomically(path, HOOK.as_bytes())?;
                write::set_mode(path, write::EXECUTABLE)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_machine_has_an_empty_plan() {
        let dir = tempfile::tempdir().unwrap();
        let hooks = dir.path().to_owned();
        let steps = plan(vec!["jq".to_owned()], false, Some(hooks.clone()));
        let path = hooks.join("pre-commit");
        let hook = Step::Hook {
            path: path.clone(),
            foreign: false,
        };
        let tools = Step::Tools(vec!["jq".to_owned()]);
        assert_eq!(steps, [tools, Step::Nextest, hook]);
        fs::write(&path, HOOK).unwrap();
        assert_eq!(plan(Vec::new(), true, Some(hooks)), []);
        assert_eq!(plan(Vec::new(), true, None), []);
    }

    #[test]
    fn a_foreign_hook_is_kept_and_an_old_one_of_ours_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pre-commit");
        fs::write(&path, HOOK.replace("--quick", "")).unwrap();
        let ours = Step::Hook {
            path: path.clone(),
            foreign: false,
        };
        assert_eq!(hook(dir.path()), Some(ours));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let beside = dir.path().join("pre-commit.polis");
        let step = Step::Hook {
            path: beside.clone(),
            foreign: true,
        };
        assert_eq!(hook(dir.path()), Some(step));
        fs::write(beside, HOOK).unwrap();
        assert_eq!(hook(dir.path()), None);
    }

    #[test]
    fn a_tool_below_the_build_directory_is_not_installed_again() {
        let dir = tempfile::tempdir().unwrap();
        let tools = dir.path().join("parts/python/tools");
        fs::create_dir_all(&tools).unwrap();
        fs::write(tools.join("zizmor"), "").unwrap();
        let found = ["zizmor", "typos", "root"].map(|name| unpacked(dir.path(), name));
        assert_eq!(found, [true, false, true]);
    }
}
