//! The contents of a CLI archive besides the program, and the source of each file.

use std::path::Path;

use polis_base::archive::PLAIN;
use polis_base::pages::{self, PAGES};

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::tree;

use crate::pack::{Entry, EntryKind};

pub(crate) const LICENSE: &str = "LICENSE";
pub(crate) const NOTICES: &str = "THIRD-PARTY-NOTICES";
/// The directory of the man pages.
pub(crate) const MAN: &str = "man";
pub(crate) const README: &str = "README.md";
/// The README in the archive, the same for every version.
pub(crate) const README_TEXT: &str = include_str!("../archive-readme.md");
/// The directory of the completions.
pub(crate) const COMPLETIONS: &str = "completions";

/// The completions, each under the file name that its shell looks for.
const SHELLS: [(&str, &str); 5] = [
    ("bash", "completions/polis.bash"),
    ("elvish", "completions/polis.elv"),
    ("fish", "completions/polis.fish"),
    ("powershell", "completions/_polis.ps1"),
    ("zsh", "completions/_polis"),
];

/// All files besides the program.
pub(crate) fn files() -> Vec<String> {
    let texts = [LICENSE, README, NOTICES].map(str::to_owned);
    let shells = SHELLS.map(|(_, path)| path.to_owned());
    let man = PAGES.iter().map(|words| man_page(words));
    texts.into_iter().chain(shells).chain(man).collect()
}

/// The path of the man page of a command, given by its words.
pub(crate) fn man_page(words: &str) -> String {
    format!("{MAN}/{}", pages::file(words))
}

/// The files that are the same in the archives of all targets.
#[derive(Debug, Clone)]
pub(crate) struct Common(Vec<(String, String)>);

impl Common {
    /// Gathers the files: man pages and completions from `program`, a build of the CLI that runs here.
    ///
    /// A program for another platform cannot run here. Man pages and completions do not depend on the platform, so this
    /// machine's build provides them for all. If this machine's target is one of those packed, it is the same program,
    /// so a job for one target builds nothing twice.
    pub(crate) fn gather(root: &Path, program: &Path) -> Result<Self> {
        let ask = |args: &[&str]| {
            Run::new(program)
                .args(args)
                .output()
                .map(|text| text + "\n")
        };
        let mut files = vec![
            (LICENSE.to_owned(), license(root)?),
            (README.to_owned(), README_TEXT.to_owned()),
        ];
        for words in PAGES {
            let args: Vec<&str> = ["man"]
                .into_iter()
                .chain(words.split_whitespace())
                .collect();
            files.push((man_page(words), ask(&args)?));
        }
        for (shell, path) in SHELLS {
            files.push((path.to_owned(), ask(&["completions", shell])?));
        }
        Ok(Self(files))
    }

    /// The entries of an archive for `stem`, except for the program and its notices.
    pub(crate) fn entries(&self, stem: &str) -> Vec<Entry> {
        let files = self.0.iter();
        files
            .map(|(path, text)| entry(stem, path, text.clone()))
            .collect()
    }
}

/// A text file in an archive.
pub(crate) fn entry(stem: &str, path: &str, text: String) -> Entry {
    Entry {
        path: format!("{stem}/{path}"),
        kind: EntryKind::File,
        mode: PLAIN,
        bytes: text.into_bytes(),
    }
}

/// The licence of the tree.
///
/// # Errors
/// If it is missing or empty: a release must state its licence.
pub(crate) fn license(root: &Path) -> Result<String> {
    let text = tree::text(root, LICENSE)
        .map_err(|error| error.hint("restore it from git: a release includes its licence"))?;
    if text.trim().is_empty() {
        let empty = format!("`{}` is empty", root.join(LICENSE).display());
        return Err(Error::findings(empty).hint("restore it from git"));
    }
    Ok(text)
}
