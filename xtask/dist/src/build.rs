//! Builds the CLI archives, several targets in parallel: linking with full LTO mostly keeps one core busy.

use std::path::PathBuf;
use std::thread;

use polis_base::archive::EXECUTABLE;
use polis_base::facts::Facts;

use xtask_build::rust_build;
use xtask_host::error::{Error, Result};
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;

use crate::content::{self, Common, NOTICES};
use crate::pack::{self, Entry, EntryKind};
use crate::{name, notices};

/// Builds the CLI for each of `targets`, with the label and the key of `facts`, and packs it; returns the archives in
/// that order.
///
/// # Errors
/// If a build fails; the error is that of the first target that failed.
pub(crate) fn archives(
    workspace: &Workspace,
    facts: &Facts,
    targets: &[String],
    progress: Progress,
) -> Result<Vec<Vec<u8>>> {
    let label = facts.label.as_str();
    // Builds take a minute, so do what may fail first.
    content::license(&workspace.root)?;
    let all_notices: Vec<String> = targets
        .iter()
        .map(|triple| notices::generate(&workspace.root, label, triple))
        .collect::<Result<_>>()?;
    let host = rust_build::cli_target(workspace)?;
    let mut triples: Vec<&str> = targets.iter().map(String::as_str).collect();
    if !triples.contains(&host.as_str()) {
        triples.push(&host);
    }
    let programs = programs(workspace, facts, &triples, progress)?;
    let runs_here = triples.iter().position(|triple| *triple == host);
    let program = runs_here.map(|at| &programs[at]).ok_or_else(|| {
        Error::machine(format!("the CLI was not built for this machine ({host})"))
    })?;
    let common = Common::gather(&workspace.root, program)?;
    let built = targets.iter().zip(all_notices).zip(&programs);
    built
        .map(|((triple, notices), program)| {
            let bytes =
                std::fs::read(program).map_err(|error| Error::io("read", program, &error))?;
            archive(label, triple, bytes, notices, &common)
        })
        .collect()
}

/// Builds the CLI for each of `triples` in a separate build directory, because cargo locks a build directory in use.
fn programs(
    workspace: &Workspace,
    facts: &Facts,
    triples: &[&str],
    progress: Progress,
) -> Result<Vec<PathBuf>> {
    let env = [
        ("POLIS_RELEASE_LABEL", facts.label.as_str()),
        ("POLIS_RELEASE_KEY", facts.key.as_str()),
    ];
    let build = |triple: &str| {
        let apart = Workspace {
            root: workspace.root.clone(),
            target: workspace.target.join("cli").join(triple),
        };
        rust_build::build(&apart, "cli", "polis", triple, &env, progress)
    };
    thread::scope(|scope| {
        let build = &build;
        let builds: Vec<_> = triples
            .iter()
            .map(|triple| scope.spawn(move || build(triple)))
            .collect();
        builds
            .into_iter()
            .map(|build| {
                build
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// Packs one archive.
pub(crate) fn archive(
    label: &str,
    triple: &str,
    program: Vec<u8>,
    notices: String,
    common: &Common,
) -> Result<Vec<u8>> {
    let stem = name::stem(label, triple);
    let mut entries = common.entries(&stem);
    entries.push(content::entry(&stem, NOTICES, notices));
    entries.push(Entry {
        path: format!("{stem}/{}", name::program_name(triple)),
        kind: EntryKind::File,
        mode: EXECUTABLE,
        bytes: program,
    });
    let name = name::archive_name(label, triple);
    pack::pack(&name, &entries)
        .map_err(|why| Error::machine(format!("cannot pack `{name}`")).because(why))
}
