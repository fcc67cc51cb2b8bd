//! Packages that a command installs without an exact version.

use crate::mapped::Mapped;

/// How to pin the packages of this command; `None` if all have an exact version.
pub(super) fn unpinned(program: &str, words: &[Mapped]) -> Option<&'static str> {
    let mut texts: Vec<&str> = words.iter().map(Mapped::text).collect();
    let mut program = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if program == "python"
        && let Some(at) = texts.windows(2).position(|pair| pair[0] == "-m")
    {
        program = texts[at + 1];
        texts.drain(..at + 2);
    }
    if program == "uv" && texts.first() == Some(&"pip") {
        program = texts.remove(0);
    }
    match program {
        "pip" | "pipx" => after_verb(&texts, &["install", "download", "wheel", "run"])
            .filter(|rest| !python(rest))
            .map(|_| "give each package an exact version, as in `name==1.2.3`; use `--require-hashes` with requirement files"),
        "npm" | "pnpm" | "yarn" | "bun" => {
            let verbs = ["install", "i", "add", "exec", "dlx", "x", "update", "upgrade"];
            after_verb(&texts, &verbs)
                .filter(|rest| !node(rest))
                .map(|_| "run `npm ci` with a lock file, or give each package an exact version, as in `name@1.2.3`")
        }
        "npx" | "bunx" => Some(texts)
            // The words after the first name are its arguments.
            .filter(|rest| !node(names(rest, &[]).get(..1).unwrap_or_default()))
            .map(|_| "give the package an exact version, as in `name@1.2.3`"),
        "go" => after_verb(&texts, &["install", "get", "run"])
            .filter(|rest| !go(rest))
            .map(|_| "give the module an exact version, as in `path@v1.2.3`"),
        "cargo" => after_verb(&texts, &["install", "binstall"])
            .filter(|rest| !cargo(rest))
            .map(|_| "give the crate an exact version, as in `name@1.2.3`"),
        _ => None,
    }
}

/// The words after the verb, if the first word that is not a flag is one of `verbs`.
fn after_verb<'a>(words: &[&'a str], verbs: &[&str]) -> Option<Vec<&'a str>> {
    let at = words.iter().position(|word| !word.starts_with('-'))?;
    verbs.contains(&words[at]).then(|| words[at + 1..].to_vec())
}

/// The words that are neither flags nor values of the flags in `valued`.
fn names<'a>(words: &[&'a str], valued: &[&str]) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if valued.contains(word) {
            words.next();
        } else if !word.starts_with('-') {
            names.push(*word);
        }
    }
    names
}

fn local(name: &str) -> bool {
    name.starts_with(['.', '/']) && !name.contains("://")
}

/// Whether this is a version such as `1.2.3` or `1.2.3-rc.1`, not a range or a moving tag.
fn exact(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.matches('.').count() >= 2
        && !version.contains(['*', 'x', '^', '~', '>', '<', '|', ' ', '$', ','])
}

fn python(words: &[&str]) -> bool {
    if words.contains(&"--require-hashes") {
        return true;
    }
    let files = ["-r", "--requirement", "-c", "--constraint"];
    let from_file = words.iter().any(|word| {
        files[..2].contains(word) || word.starts_with("-r") || word.starts_with("--requirement=")
    });
    let valued = [
        &files[..],
        &[
            "-t",
            "--target",
            "-i",
            "--index-url",
            "--extra-index-url",
            "--prefix",
            "--root",
            "--python",
        ],
    ]
    .concat();
    let pinned = |name: &&str| {
        local(name)
            || name.split_once("==").is_some_and(|(_, version)| {
                !version.is_empty() && !version.contains(['*', ',', '$', '<', '>', '~'])
            })
    };
    !from_file && names(words, &valued).iter().all(pinned)
}

fn node(words: &[&str]) -> bool {
    if ["--frozen-lockfile", "--immutable"]
        .iter()
        .any(|flag| words.contains(flag))
    {
        return true;
    }
    let names = names(
        words,
        &["--prefix", "--registry", "-C", "--dir", "--package", "-p"],
    );
    // Without names the lock file may be rewritten.
    let pinned = |name: &str| {
        let version = name.get(1..).and_then(|name| name.rsplit_once('@'));
        local(name) || version.is_some_and(|(_, version)| exact(version))
    };
    names.first().is_some_and(|name| pinned(name)) && names.iter().all(|name| pinned(name))
}

fn go(words: &[&str]) -> bool {
    names(words, &["-ldflags", "-tags", "-o", "-C"])
        .iter()
        .all(|name| {
            let version = name.split_once('@').map(|(_, version)| version);
            local(name)
                || version.is_some_and(|version| {
                    let commit =
                        version.len() >= 12 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
                    commit || version.strip_prefix('v').is_some_and(exact)
                })
        })
}

fn cargo(words: &[&str]) -> bool {
    let one_of = |flags: &[&str]| {
        words.iter().any(|word| {
            flags.iter().any(|flag| {
                word.strip_prefix(flag)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            })
        })
    };
    one_of(&["--path", "--version", "--vers", "--rev"])
        || names(
            words,
            &["--root", "--target", "--features", "-F", "--profile"],
        )
        .iter()
        .all(|name| {
            name.split_once('@')
                .is_some_and(|(_, version)| exact(version))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_need_an_exact_version() {
        for (script, pinned) in [
            ("pip install -U -t /x a==1.0 ./b", true),
            ("pip install -r r.txt --require-hashes", true),
            ("pip install -rr.txt", false),
            ("python3 -m pip --no-input install 'a>=1'", false),
            ("uv pip install a==1.*", false),
            ("npm ci", true),
            ("npm install", false),
            ("pnpm install --frozen-lockfile", true),
            ("npm install -g @a/b@1.2.3 ./c", true),
            ("npm install a@latest", false),
            ("npx a@1.2.3", true),
            ("npm run build", true),
            ("go install -tags x a.b/c@v1.2.3", true),
            ("go install a.b/c@main", false),
            ("go run .", true),
            ("cargo install a@1.2.3", true),
            ("cargo install --locked a --version=1.2.3", true),
            ("cargo install a", false),
            ("cargo build", true),
        ] {
            let words = Mapped::of(script, 0..script.len()).words();
            let found = unpinned(words[0].text(), &words[1..]);
            assert_eq!(found.is_none(), pinned, "{script}");
        }
    }
}
