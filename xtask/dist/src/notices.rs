//! `THIRD-PARTY-NOTICES`: the third-party code in the CLI for one target, with its licence texts. A crate without an
//! accepted licence, or without any text, is an error.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;

use crate::crates::{self, Crate};
use crate::licences::{self, Text};

/// The toolchain's notice for Rust's standard library, relative to the sysroot.
const STD: &str = "share/doc/rust/COPYRIGHT-library.html";
/// The copyright file of Debian's musl package; Rust's musl targets link that C library.
const MUSL: &str = include_str!("../musl-copyright.txt");

/// The first line.
pub(crate) fn title(label: &str, triple: &str) -> String {
    format!("Third-party notices of polis {label} for {triple}\n")
}

/// The notices of the CLI for `triple`.
///
/// They cover normal dependencies and macros, whose output is in the program, but not crates that only build scripts use.
pub(crate) fn generate(root: &Path, label: &str, triple: &str) -> Result<String> {
    let targets = [triple.to_owned()];
    let crates = crates::of(root, "polis", &targets)?;
    let entering = crates::entering(root, "polis", &targets)?;
    let foreign: Vec<&Crate> = crates
        .iter()
        .filter(|krate| !krate.is_ours() && entering.contains(&krate.id))
        .collect();
    let mut text = title(label, triple);
    text.push_str("\nPolis itself is licensed under the terms in LICENSE. The program contains the following.\n");
    text.push_str(&of_crates(&foreign)?);
    heading(&mut text, "Rust's standard library");
    text.push_str(&standard_library(root)?);
    if triple.contains("-musl") {
        heading(&mut text, "musl, the C library");
        text.push_str(&licences::normal(MUSL));
        text.push('\n');
    }
    Ok(text)
}

/// The table of the crates, then each text once with the crates that ship it.
fn of_crates(crates: &[&Crate]) -> Result<String> {
    let mut table = String::new();
    let mut texts: BTreeMap<Text, Vec<String>> = BTreeMap::new();
    let mut problems = Vec::new();
    for krate in crates {
        match licences::of(krate) {
            Err(problem) => problems.push(format!("{}: {problem}", krate.title())),
            Ok((license, shipped)) => {
                let from = krate.repository.as_deref().unwrap_or("crates.io");
                let _ = writeln!(table, "{}\n    {license}\n    {from}", krate.title());
                for text in shipped {
                    texts.entry(text).or_default().push(krate.title());
                }
            }
        }
    }
    if !problems.is_empty() {
        let error = Error::findings("the third-party notices would be incomplete");
        return Err(problems
            .into_iter()
            .fold(error, Error::because)
            .hint("replace the crate, or decide on its licence in `xtask/dist/src/licences.rs`"));
    }
    let mut out = String::new();
    heading(&mut out, "Crates");
    out.push_str(&table);
    for (text, users) in texts {
        heading(&mut out, &format!("{} of {}", text.file, users.join(", ")));
        out.push_str(&text.text);
        out.push('\n');
    }
    Ok(out)
}

fn heading(text: &mut String, title: &str) {
    let line = "=".repeat(80);
    let _ = writeln!(text, "\n{line}\n{title}\n{line}\n");
}

/// The toolchain's own notice, as text.
fn standard_library(root: &Path) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = Run::new(rustc)
        .args(["--print", "sysroot"])
        .cwd(root)
        .output()?;
    let path = Path::new(&sysroot).join(STD);
    let html = std::fs::read_to_string(&path).map_err(|error| {
        Error::machine(format!("cannot read `{}`", path.display()))
            .because(error.to_string())
            .hint("use a toolchain installed by rustup, which includes the notices of its library")
    })?;
    let text = plain(&html);
    if !text.contains("The Rust Standard Library is dual-licensed") {
        return Err(
            Error::machine(format!("`{}` has unexpected content", path.display()))
                .because("it does not say how the standard library is licensed"),
        );
    }
    Ok(text)
}

/// HTML as text: without tags, and with runs of blank lines collapsed to one.
fn plain(html: &str) -> String {
    let body = html.split_once("<body>").map_or(html, |(_, body)| body);
    let mut text = String::new();
    let mut rest = body;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    for (entity, character) in [
        ("&lt;", "<"),
        ("&#60;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&amp;", "&"),
        ("&#38;", "&"),
    ] {
        text = text.replace(entity, character);
    }
    let mut out = String::new();
    let mut blank = true;
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && blank) {
            out.push_str(line);
            out.push('\n');
        }
        blank = line.is_empty();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every target, so that crates that only Windows or macOS needs are checked here, too.
    #[test]
    fn every_target_of_a_release_has_its_notices() {
        let root = xtask_testkit::repository();
        let of = |triple: &str| generate(&root, "1.2.3", triple).unwrap();
        let all = crate::RELEASE_TARGETS.map(|triple| (triple, of(triple)));
        for (triple, text) in &all {
            assert!(text.starts_with(&title("1.2.3", triple)));
            assert!(text.contains("\nclap "), "{triple}");
            assert_eq!(text.contains("\nwindows-sys "), triple.contains("windows"));
            assert_eq!(
                text.contains("Upstream-Name: musl"),
                triple.contains("musl")
            );
            // Only a build script uses it.
            assert!(!text.contains("\nsaphyr "), "{triple}");
        }
    }

    #[test]
    fn html_becomes_text() {
        let html = "<html><body>\n\n<h1>Title</h1>\n\n\n<p><b>By:</b> A &#60;a@b.c&#62;</p><pre>\n  &#34;kept&#34; &amp;lt;\n</pre></body>";
        assert_eq!(plain(html), "Title\n\nBy: A <a@b.c>\n  \"kept\" &lt;\n");
    }
}
