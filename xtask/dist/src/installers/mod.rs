//! The installers of a release: scripts, a Homebrew formula, winget manifests.
//!
//! Pure: the facts of a release in, the bytes of its assets out. Every fact is checked first, so no
//! installer names something that was not released.

mod facts;
mod quote;
mod template;

use polis_base::pages::{self, PAGES};
use xtask_host::error::Result;

use facts::Checked;
pub use facts::{Archive, Facts};
use quote::{powershell, ruby, sh, yaml};
use template::fill;

const INSTALL_SH: &str = include_str!("../../installers/install.sh");
const INSTALL_PS1: &str = include_str!("../../installers/install.ps1");
const FORMULA: &str = include_str!("../../installers/polis.rb");
const WINGET_VERSION: &str = include_str!("../../installers/winget/version.yaml");
const WINGET_INSTALLER: &str = include_str!("../../installers/winget/installer.yaml");
const WINGET_LOCALE: &str = include_str!("../../installers/winget/locale.en-US.yaml");

/// The files that the installers extract besides the man pages, relative to the directory in the archive; on Windows
/// only the program, `polis.exe`. They refuse an archive that lacks any of them.
pub const TAKEN: [&str; 4] = [
    "polis",
    "completions/polis.bash",
    "completions/polis.fish",
    "completions/_polis",
];

/// Homebrew's words for a target: system, its block, processor, its block.
const HOMEBREW: [(&str, &str, &str, &str, &str); 4] = [
    ("aarch64-apple-darwin", "macOS", "on_macos", "ARM", "on_arm"),
    (
        "x86_64-apple-darwin",
        "macOS",
        "on_macos",
        "Intel",
        "on_intel",
    ),
    (
        "aarch64-unknown-linux-musl",
        "Linux",
        "on_linux",
        "ARM",
        "on_arm",
    ),
    (
        "x86_64-unknown-linux-musl",
        "Linux",
        "on_linux",
        "Intel",
        "on_intel",
    ),
];
const WINDOWS: &str = "x86_64-pc-windows-msvc";

/// The installers of a release: the name and bytes of each asset, sorted by name.
///
/// `install.sh` and `install.ps1` always exist and refuse targets without an archive. The formula
/// exists if Homebrew can install any of the archives, the winget manifests if there is an archive
/// for Windows.
///
/// The winget manifests are three files because winget-pkgs, the repository behind `winget
/// install`, takes no other form: a maintainer copies them there as they are.
///
/// # Errors
/// If a fact is invalid, or a template and its values do not match.
pub fn render(facts: &Facts<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let facts = facts.check()?;
    let mut files = vec![
        (
            "install.ps1".to_owned(),
            script(&facts, "install.ps1", INSTALL_PS1, powershell, None)?,
        ),
        (
            "install.sh".to_owned(),
            script(&facts, "install.sh", INSTALL_SH, sh, Some(man_pages()))?,
        ),
    ];
    if HOMEBREW.iter().any(|row| facts.archive(row.0).is_some()) {
        files.push(("polis.rb".to_owned(), formula(&facts)?));
    }
    if let Some(archive) = facts.archive(WINDOWS) {
        files.extend(winget(&facts, archive)?);
    }
    files.sort();
    Ok(files
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect())
}

/// The file names of the man pages, separated by spaces.
fn man_pages() -> String {
    PAGES.map(pages::file).join(" ")
}

fn script(
    facts: &Checked<'_>,
    path: &str,
    text: &str,
    quote: fn(&str) -> String,
    pages: Option<String>,
) -> Result<String> {
    let mut values = vec![
        ("label", quote(facts.label)),
        ("comment", quote(&facts.comment)),
        ("key", quote(facts.key)),
        ("base", quote(&facts.base)),
        ("repository", quote(facts.repository)),
        ("targets", quote(&facts.targets().join(" "))),
    ];
    values.extend(pages.map(|pages| ("pages", quote(&pages))));
    fill(path, text, &values)
}

fn formula(facts: &Checked<'_>) -> Result<String> {
    let mut urls = String::new();
    for rows in HOMEBREW.chunks(2) {
        urls.push_str(&format!("  {} do\n", rows[0].2));
        for (target, system, _, processor, block) in rows {
            urls.push_str(&format!("    {block} do\n"));
            match facts.archive(target) {
                Some(archive) => urls.push_str(&format!(
                    "      url {}\n      sha256 {}\n",
                    ruby(&facts.url(archive.name)),
                    ruby(&archive.sha256.hex())
                )),
                None => {
                    let refusal = format!(
                        "Polis {} was not released for {system} on {processor}",
                        facts.label
                    );
                    urls.push_str(&format!("      raise {}\n", ruby(&refusal)));
                }
            }
            urls.push_str("    end\n");
        }
        urls.push_str("  end\n\n");
    }
    let values = [
        ("label", ruby(facts.label)),
        ("repository", ruby(facts.repository)),
        ("urls", urls.trim_end().to_owned() + "\n"),
    ];
    fill("polis.rb", FORMULA, &values)
}

fn winget(facts: &Checked<'_>, archive: &Archive<'_>) -> Result<[(String, String); 3]> {
    let repository = facts.repository;
    // winget-pkgs names a package after the owner and the repository of its releases.
    let identifier = format!("{}.{}", facts.owner, facts.name);
    let path = format!("polis-{}-{WINDOWS}/polis.exe", facts.label);
    let publisher_url = repository
        .trim_end_matches(facts.name)
        .trim_end_matches('/');
    let common = [
        ("identifier", yaml(&identifier)),
        ("label", yaml(facts.label)),
    ];
    let installer = [
        ("path", yaml(&path)),
        ("url", yaml(&facts.url(archive.name))),
        // Upper case, as winget's own tools write it.
        ("sha256", yaml(&archive.sha256.hex().to_uppercase())),
    ];
    let locale = [
        ("publisher", yaml(facts.owner)),
        ("publisher_url", yaml(publisher_url)),
        ("issues", yaml(&format!("{repository}/issues"))),
        ("repository", yaml(repository)),
        (
            "notes",
            yaml(&format!("{repository}/releases/tag/{}", facts.tag)),
        ),
    ];
    let file = |suffix: &str, text: &str, values: &[(&str, String)]| {
        let name = format!("{identifier}{suffix}.yaml");
        let values = [&common, values].concat();
        fill(&name, text, &values).map(|text| (name, text))
    };
    Ok([
        file("", WINGET_VERSION, &[])?,
        file(".installer", WINGET_INSTALLER, &installer)?,
        file(".locale.en-US", WINGET_LOCALE, &locale)?,
    ])
}
