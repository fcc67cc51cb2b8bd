//! The licences of dependencies: which ones we accept, and the texts that must accompany a program.

use std::path::Path;

use spdx::{Expression, LicenseItem, LicenseReq, Licensee, ParseMode};

use crate::crates::Crate;

/// Permissive licences whose terms the notices fulfil. Adding another one is a legal decision.
const ACCEPTED: [&str; 12] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "0BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The upper-case prefixes of licence file names.
const NAMES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// A text and the name of its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text {
    pub(crate) file: String,
    pub(crate) text: String,
}

/// A crate's licence expression in canonical SPDX form.
pub(crate) fn expression(license: &str) -> Result<String, String> {
    let failed =
        |error: spdx::ParseError| format!("`{license}` is not a licence expression: {error}");
    let canonical = Expression::canonicalize(license).map_err(failed)?;
    Ok(canonical.unwrap_or_else(|| license.to_owned()))
}

/// The licence under which we use `krate`, and all texts that it ships, or the standard text if it ships none.
pub(crate) fn of(krate: &Crate) -> Result<(String, Vec<Text>), String> {
    let license = krate
        .license
        .as_deref()
        .ok_or("its manifest names no licence")?;
    let license = expression(license)?;
    let parsed = Expression::parse_mode(&license, ParseMode::STRICT)
        .map_err(|error| format!("`{license}` is not a licence expression: {error}"))?;
    let accepted: Vec<Licensee> = ACCEPTED
        .iter()
        .filter_map(|name| Licensee::parse(name).ok())
        .collect();
    let taken = parsed
        .minimized_requirements(&accepted)
        .map_err(|error| format!("its licence `{license}` is not accepted: {error}"))?;
    let mut texts = shipped(krate)?;
    if texts.is_empty() {
        texts = taken.iter().map(standard).collect::<Result<_, _>>()?;
    }
    Ok((license, texts))
}

/// The licence files in the crate's own package, sorted.
fn shipped(krate: &Crate) -> Result<Vec<Text>, String> {
    let failed = |error: std::io::Error| format!("cannot read its package: {error}");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&krate.dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let upper = name.to_ascii_uppercase();
        // Source files may have such names too.
        let source = Path::new(&name).extension().is_some_and(|end| end == "rs");
        if NAMES.iter().any(|start| upper.starts_with(start)) && !source && entry.path().is_file() {
            names.push(name);
        }
    }
    names.extend(
        krate
            .license_file
            .iter()
            .map(|file| file.to_string_lossy().into_owned()),
    );
    names.sort();
    names.dedup();
    let read = |file: String| {
        let bytes = std::fs::read(krate.dir.join(&file));
        let bytes = bytes.map_err(|error| format!("cannot read its `{file}`: {error}"))?;
        let text = normal(&String::from_utf8_lossy(&bytes));
        Ok(Text { file, text })
    };
    let texts: Result<Vec<Text>, String> = names.into_iter().map(read).collect();
    Ok(texts?
        .into_iter()
        .filter(|text| !text.text.is_empty())
        .collect())
}

/// The standard text of a licence.
fn standard(taken: &LicenseReq) -> Result<Text, String> {
    let LicenseItem::Spdx { id, .. } = &taken.license else {
        return Err(format!("there is no standard text for `{taken}`"));
    };
    let exception = match &taken.addition {
        None => String::new(),
        Some(spdx::AdditionItem::Spdx(id)) => format!("\n\n{}", normal(id.text())),
        Some(_) => return Err(format!("there is no standard text for `{taken}`")),
    };
    Ok(Text {
        file: format!("{taken}, the standard text"),
        text: normal(id.text()) + &exception,
    })
}

/// The text with line ends and surrounding blank lines normalized.
pub(crate) fn normal(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let text = lines.join("\n");
    text.trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn krate(license: Option<&str>, dir: &Path) -> Crate {
        Crate {
            id: ("some".to_owned(), "1.0.0".to_owned()),
            license: license.map(str::to_owned),
            license_file: None,
            dir: dir.to_owned(),
            repository: None,
            checksum: Some(String::new()),
            depends: Default::default(),
            linked: true,
        }
    }

    #[test]
    fn a_crate_without_an_accepted_licence_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        for (license, why) in [
            (None, "its manifest names no licence"),
            (
                Some("GPL-3.0-only"),
                "its licence `GPL-3.0-only` is not accepted",
            ),
            (Some("MIT AND MPL-2.0"), "is not accepted"),
            (Some("see the file"), "is not a licence expression"),
        ] {
            let error = of(&krate(license, dir.path())).expect_err("refused");
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn every_accepted_licence_is_a_valid_expression() {
        let dir = tempfile::tempdir().unwrap();
        for license in ACCEPTED {
            let (_, texts) = of(&krate(Some(license), dir.path())).unwrap();
            assert!(texts[0].text.len() > 100, "{texts:?}");
        }
    }

    #[test]
    fn texts_come_from_the_package_or_else_from_spdx() {
        let dir = tempfile::tempdir().unwrap();
        let both = krate(Some("MIT/Apache-2.0"), dir.path());
        let (license, texts) = of(&both).unwrap();
        assert_eq!(license, "MIT OR Apache-2.0");
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].file.ends_with("the standard text"), "{texts:?}");
        std::fs::write(dir.path().join("LICENSE-MIT"), "\n(c) Some\r\nbody  \n").unwrap();
        std::fs::write(dir.path().join("license.rs"), "fn main() {}").unwrap();
        std::fs::write(dir.path().join("Notice.txt"), "also").unwrap();
        let (_, texts) = of(&both).unwrap();
        let seen: Vec<(&str, &str)> = texts
            .iter()
            .map(|text| (text.file.as_str(), text.text.as_str()))
            .collect();
        assert_eq!(
            seen,
            [("LICENSE-MIT", "(c) Some\nbody"), ("Notice.txt", "also")]
        );
    }
}
