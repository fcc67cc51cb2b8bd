//! cloud-init's own validator as an oracle, and Multipass's processing of user-data.
//!
//! Both are external tools: if one is missing, the test is skipped, or fails if `POLIS_REQUIRE_REAL_PARTS` is set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use xtask_testkit::{Ran, Tree};

/// A directory with cloud-init's unpacked package, whose Python code is in `usr/lib/python3/dist-packages`.
const UNPACKED: &str = "POLIS_CLOUD_INIT";
/// Older versions accept unknown top-level keys.
const OLDEST: u32 = 24;
/// The distribution's, because cloud-init's dependencies are packages of the distribution.
const PYTHON: &str = "/usr/bin/python3";
const JUDGE: &str = include_str!("judge.py");
const HEADER: &str = "/usr/include/yaml-cpp/yaml.h";
const MULTIPASS: &str = include_str!("../round_trip.cpp");

pub(crate) struct Official {
    tree: Tree,
    packages: Option<OsString>,
    pub(crate) version: String,
}

/// The validator's answer for a document.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// The error, if the document is rejected.
    pub(crate) refused: Option<String>,
    /// The document as cloud-init reads it.
    pub(crate) reading: Json,
}

impl Official {
    /// The validator, if a recent one is available.
    pub(crate) fn find() -> Option<Self> {
        let unpacked = std::env::var_os(UNPACKED)
            .map(|dir| std::path::absolute(dir).expect("a directory's path"));
        let mut official = Self {
            tree: Tree::data(),
            packages: unpacked.map(|dir| dir.join("usr/lib/python3/dist-packages").into()),
            version: String::new(),
        };
        match official.version() {
            Ok(version) => {
                official.version = version;
                Some(official)
            }
            Err(why) => {
                missing(&format!("cloud-init >= {OLDEST}"), &why);
                None
            }
        }
    }

    fn version(&self) -> Result<String, String> {
        if !Path::new(PYTHON).is_file() {
            return Err(format!("no {PYTHON}"));
        }
        let ran = self.python(&[
            "-c",
            "from cloudinit import version; print(version.version_string())",
        ]);
        let major = ran
            .stdout
            .split('.')
            .next()
            .unwrap_or_default()
            .parse::<u32>();
        match major {
            Ok(major) if ran.code == 0 && major >= OLDEST => Ok(ran.stdout.trim().to_owned()),
            _ => Err(ran.seen().lines().last().unwrap_or_default().to_owned()),
        }
    }

    fn python(&self, args: &[&str]) -> Ran {
        let packages = self.packages.as_ref().map(|path| path.to_string_lossy());
        let env: Vec<(&str, &str)> = packages
            .iter()
            .map(|path| ("PYTHONPATH", &**path))
            .collect();
        self.tree.run_with(PYTHON, args, &env)
    }

    /// Runs the program itself on one document.
    pub(crate) fn program(&self, document: &str) -> Ran {
        self.tree.write("user-data", document);
        self.python(&[
            "-m",
            "cloudinit.cmd.main",
            "schema",
            "--config-file",
            "user-data",
        ])
    }

    /// Validates all `documents` in one process.
    pub(crate) fn judge(&self, documents: &[String], read: bool) -> Vec<Verdict> {
        self.tree.write("judge.py", JUDGE);
        let list = serde_json::to_string(documents).expect("strings are JSON");
        self.tree.write("documents.json", &list);
        let flag = if read { "--read" } else { "--judge-only" };
        let ran = self.python(&["judge.py", "documents.json", flag]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
        let answer: Json = serde_json::from_str(&ran.stdout).expect("the judge prints JSON");
        let verdicts = answer["verdicts"].as_array().expect("verdicts");
        assert_eq!(verdicts.len(), documents.len(), "one verdict per document");
        let verdict = |(at, verdict): (usize, &Json)| Verdict {
            refused: verdict.as_str().map(str::to_owned),
            reading: answer["readings"].get(at).cloned().unwrap_or_default(),
        };
        verdicts.iter().enumerate().map(verdict).collect()
    }
}

/// Multipass's processing of user-data, compiled against the same yaml-cpp API.
pub(crate) struct Multipass {
    tree: Tree,
    program: PathBuf,
}

impl Multipass {
    /// Builds the program, if a compiler and the library are installed.
    pub(crate) fn build() -> Option<Self> {
        if !xtask_testkit::has_part("g++") {
            return None;
        }
        if !Path::new(HEADER).is_file() {
            missing("libyaml-cpp-dev", &format!("no {HEADER}"));
            return None;
        }
        let tree = Tree::data();
        tree.write("round_trip.cpp", MULTIPASS);
        let program = tree.root().join("round_trip");
        let ran = tree.run(
            "g++",
            &[
                "-std=c++17",
                "-O0",
                "-o",
                "round_trip",
                "round_trip.cpp",
                "-lyaml-cpp",
            ],
        );
        assert_eq!(ran.code, 0, "{}", ran.seen());
        Some(Self { tree, program })
    }

    /// What the guest gets for each of `documents`; `None` if Multipass refuses to launch. The mode `again` only parses
    /// and prints them, as `launch` also does.
    pub(crate) fn pass(&self, mode: &str, documents: &[String]) -> Vec<Option<String>> {
        let dir = self.tree.root().join("documents");
        std::fs::create_dir_all(&dir).expect("a directory");
        for (at, document) in documents.iter().enumerate() {
            std::fs::write(dir.join(at.to_string()), document).expect("a file");
        }
        let ran = self.tree.run(
            &self.program,
            &[mode, "documents", &documents.len().to_string()],
        );
        assert_eq!(ran.code, 0, "{}", ran.seen());
        let arrived = (0..documents.len())
            .map(|at| std::fs::read_to_string(dir.join(format!("{at}.out"))).ok())
            .collect();
        std::fs::remove_dir_all(&dir).expect("removed");
        arrived
    }
}

fn missing(part: &str, why: &str) {
    assert!(
        std::env::var_os("POLIS_REQUIRE_REAL_PARTS").is_none(),
        "{part} is missing and POLIS_REQUIRE_REAL_PARTS is set: {why}"
    );
    println!("skipped: {part} is missing: {why}");
}
