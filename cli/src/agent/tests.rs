//! The files generated from a manifest, checked with the programs that read them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::manifest::tests::FULL;
use super::*;

#[test]
fn the_generated_files() {
    let manifest = Manifest::parse(FULL).unwrap();
    let (overlay, unit) = generated(&manifest);
    // `xtask/check` compares this file with the sandbox table.
    expect_test::expect_file!["manifest/openclaw.compose.json"].assert_eq(&overlay);
    expect_test::expect_file!["manifest/openclaw.service"].assert_eq(&unit);
    let boot = boot(&manifest, &Digest::of(unit.as_bytes()));
    assert!(
        boot.contains("\nhealth=curl -sf http://127.0.0.1:18789/health\ninterval=30\n"),
        "{boot}"
    );
    assert!(boot.ends_with("start=900\n"), "{boot}");
    assert_eq!(
        claims(&manifest),
        "memory 6144\nport 18789\nforward 18789 18789\npath /home/polis/.openclaw\n"
    );
}

#[test]
fn the_examples_are_valid() {
    let agents = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../agents");
    let mut names = Vec::new();
    for entry in fs::read_dir(agents).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let agent = read(&path, false).unwrap_or_else(|error| panic!("{}", error.to_text()));
            names.push(agent.name);
        }
    }
    names.sort();
    assert_eq!(names, ["echo", "my-agent"]);
}

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    /// A text of pieces that are special in YAML, Compose, systemd, a shell or a terminal.
    fn text(&mut self) -> String {
        const PIECES: [&str; 36] = [
            "a",
            "B",
            " ",
            "  ",
            "%",
            "%n",
            "%%",
            "$",
            "$$",
            "${HOME}",
            "$HOME",
            "\\",
            "\\\\",
            "\"",
            "'",
            "`",
            "`id`",
            ";",
            " ; ",
            "\\;",
            "#",
            " #",
            ": ",
            "- ",
            "{",
            "}",
            "[",
            "*",
            "&a",
            "!!int",
            "=",
            "|",
            "\\n",
            "\\x41",
            "é",
            "ExecStart=",
        ];
        (0..self.below(12))
            .map(|_| PIECES[self.below(PIECES.len())])
            .collect()
    }
}

/// Manifests with hostile texts: each with the words of its command and its variable's value.
fn hostile() -> impl Iterator<Item = (Manifest, Vec<String>, String)> {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    std::iter::from_fn(move || {
        loop {
            let words: Vec<String> = (0..4).map(|_| numbers.text()).collect();
            let (value, title) = (numbers.text(), numbers.text());
            let command = shlex::try_join(words.iter().map(String::as_str)).ok()?;
            let mut yaml: Value = serde_saphyr::from_str(FULL).unwrap();
            yaml["spec"]["runtime"]["command"] = json!(format!("/usr/bin/printf {command}"));
            yaml["spec"]["runtime"]["env"] = json!({"HOSTILE": value});
            yaml["spec"]["health"]["command"] = json!(format!("true {title}"));
            yaml["metadata"]["displayName"] = json!(format!("x{title}"));
            // A line of only blanks is refused, which does not matter here.
            if let Ok(manifest) = Manifest::parse(&yaml.to_string()) {
                return Some((manifest, words, value));
            }
        }
    })
}

/// Parses a quoted word as systemd does: C's escapes, then specifiers, then variables.
fn read_back(word: &str, variables: bool) -> String {
    let inner = word
        .strip_prefix('"')
        .and_then(|word| word.strip_suffix('"'))
        .expect(word);
    let mut plain = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.push(letters.next().expect(word)),
            '"' => panic!("{word} ends early"),
            '%' => {
                assert_eq!(letters.next(), Some('%'), "{word}");
                plain.push('%');
            }
            '$' if variables => {
                assert_eq!(letters.next(), Some('$'), "{word}");
                plain.push('$');
            }
            _ => plain.push(letter),
        }
    }
    plain
}

#[test]
fn no_text_of_a_manifest_escapes_its_field() {
    for (manifest, words, value) in hostile().take(300) {
        let (overlay, unit) = generated(&manifest);
        let keys: Vec<&str> = unit
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        let of_full = generated(&Manifest::parse(FULL).unwrap()).1;
        let mut expected: Vec<&str> = of_full
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        expected.remove(
            expected
                .iter()
                .position(|key| *key == "Environment")
                .unwrap(),
        );
        assert_eq!(keys, expected, "{unit}");
        let of = |key: &str| {
            unit.lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap()
        };
        assert_eq!(
            read_back(of("Environment="), false),
            format!("HOSTILE={value}")
        );
        let joined: Vec<String> = words.iter().map(|word| unit::exec_word(word)).collect();
        assert_eq!(
            of("ExecStart="),
            format!("\"/usr/bin/printf\" {}", joined.join(" "))
        );
        for (word, quoted) in words.iter().zip(&joined) {
            assert_eq!(&read_back(quoted, true), word);
        }
        // It contains no free text at all.
        assert_eq!(overlay, generated(&Manifest::parse(FULL).unwrap()).0);
        let boot = boot(&manifest, &Digest::of(b""));
        assert_eq!(boot.lines().count(), 9, "{boot}");
    }
}

/// systemd's own parser accepts the units of hostile manifests without a warning.
#[cfg(target_os = "linux")]
#[test]
fn systemd_accepts_the_generated_unit() {
    let dir = std::env::temp_dir().join(format!("polis-units-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let mut units = Vec::new();
    for (at, (mut manifest, ..)) in hostile().take(40).enumerate() {
        // Ignore complaints about programs that this machine lacks.
        manifest.spec.runtime.user = text::Account::try_from("root".to_owned()).unwrap();
        let path = dir.join(format!("agent-{at}.service"));
        fs::write(&path, generated(&manifest).1).unwrap();
        units.push(path.display().to_string());
    }
    fs::write(
        dir.join("polis-init.service"),
        "[Service]\nExecStart=/bin/true\n",
    )
    .unwrap();
    let args: Vec<String> = ["verify", "--man=no"]
        .map(str::to_owned)
        .into_iter()
        .chain(units)
        .collect();
    let program = PathBuf::from("/usr/bin/systemd-analyze");
    if !program.exists() {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    let ran = crate::process::run(&program, &args, std::time::Duration::from_secs(60)).unwrap();
    let about: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.contains("agent-"))
        .collect();
    assert_eq!((about, ran.code), (Vec::new(), Some(0)), "{}", ran.stderr);
    fs::remove_dir_all(dir).unwrap();
}

mod given {
    use super::*;

    fn manifest() -> Manifest {
        Manifest::parse(FULL).unwrap()
    }

    fn gather(names: &[&str], file: Option<&str>) -> std::result::Result<String, String> {
        let path =
            std::env::temp_dir().join(format!("polis-keys-{}-{}", std::process::id(), names.len()));
        if let Some(text) = file {
            fs::write(&path, text).unwrap();
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let env = |name: &str| (name == "OPENAI_API_KEY").then(|| "from-env".to_owned());
        let keys = Keys::gather(&names, file.map(|_| path.as_path()), Some(&manifest()), env);
        let _ = fs::remove_file(path);
        let keys = keys.map_err(|error| error.to_text())?;
        Ok(String::from_utf8(keys.payload().bytes.to_vec()).unwrap())
    }

    #[test]
    fn only_keys_that_the_manifest_declares_are_accepted() {
        assert_eq!(
            gather(&["OPENAI_API_KEY"], None).unwrap(),
            "OPENAI_API_KEY=from-env\n"
        );
        let file = "# mine\n\nexport ANTHROPIC_API_KEY='a b\"c\\'\nOPENAI_API_KEY=in-file\n";
        assert_eq!(
            gather(&["OPENAI_API_KEY"], Some(file)).unwrap(),
            "ANTHROPIC_API_KEY=\"a b\\\"c\\\\\"\nOPENAI_API_KEY=from-env\n"
        );
        for (names, file, part) in [
            (&["PATH"][..], None, "does not declare the key `PATH`"),
            (&["ANTHROPIC_API_KEY"], None, "is not set"),
            (&["OPENAI_API_KEY=hidden"], None, "is on the command line"),
            (
                &[],
                Some("LD_PRELOAD=x\n"),
                "does not declare the key `LD_PRELOAD`",
            ),
            (&[], Some("hidden\n"), "line 1 is not KEY=VALUE"),
            (&[], Some("OPENAI_API_KEY=\n"), "is empty"),
            (
                &[],
                Some("OPENAI_API_KEY=hid\u{1b}den\n"),
                "control character",
            ),
        ] {
            let told = gather(names, file).unwrap_err();
            assert!(told.contains(part) && !told.contains("hid"), "{told}");
        }
    }

    #[test]
    fn one_of_the_required_keys_may_be_stored() {
        let keys = Keys::default();
        assert_eq!(keys.missing(&manifest(), &[]).len(), 3);
        assert_eq!(
            keys.missing(&manifest(), &["BRAVE_SEARCH_API_KEY".into()])
                .len(),
            3
        );
        assert_eq!(
            keys.missing(&manifest(), &["OPENAI_API_KEY".into()]),
            [""; 0]
        );
        let mut given = Keys::default();
        given.add("OPENROUTER_API_KEY", "x".into()).unwrap();
        assert_eq!(given.missing(&manifest(), &[]), [""; 0]);
        assert!(!format!("{given:?}").contains('x'));
    }
}
