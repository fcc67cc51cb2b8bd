//! A machine to install on: a release on a file server, a home with an older `polis`, and a PATH with some programs and
//! not others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use polis_base::Digest;
use polis_base::pages::{self, PAGES};
use semver::Version;
use tempfile::TempDir;
use xtask_dist::installers::{Archive, Facts, render};
use xtask_dist::sign::SigningKey;
use xtask_loopback::{EmbeddedFiles, Faults};

use crate::support::{command, external_tool, run};

pub(crate) const OLD: &str = "#!/bin/sh\necho polis 0.4.0\n";
/// Programs that every installation uses, regardless of the downloader and verifier.
const COMMON: [&str; 14] = [
    "cat", "chmod", "cp", "cut", "dd", "gzip", "mkdir", "mktemp", "mv", "rm", "tail", "tar", "tr",
    "uname",
];

/// The target of this machine; `None` if Polis is not released for it.
pub(crate) fn target() -> Option<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Some("x86_64-unknown-linux-musl"),
        ("linux", "aarch64") => Some("aarch64-unknown-linux-musl"),
        ("macos", "x86_64") => Some("x86_64-apple-darwin"),
        ("macos", "aarch64") => Some("aarch64-apple-darwin"),
        _ => None,
    }
}

/// A shell, and the programs on its PATH.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tools {
    /// The shell and its arguments.
    pub(crate) shell: &'static [&'static str],
    /// The programs on PATH besides [`COMMON`].
    pub(crate) programs: &'static [&'static str],
    /// Whether all programs that busybox has are busybox's, as on Alpine.
    pub(crate) busybox: bool,
}

impl Tools {
    /// Whether this machine has all of them.
    pub(crate) fn are_here(&self) -> bool {
        let busybox = self.busybox.then_some("busybox");
        let needed = self.programs.iter().copied().chain(busybox);
        let shell = self.shell.first().copied();
        needed
            .chain(shell)
            .all(|name| external_tool(name).is_some())
    }
}

/// The machine. Tests change its fields before they install.
pub(crate) struct Machine {
    root: TempDir,
    /// The key of the release.
    pub(crate) key: SigningKey,
    /// The assets of the release, by name.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The text of the script.
    pub(crate) script: String,
    /// The environment of the script, in addition to HOME, PATH, TMPDIR and the mirror.
    pub(crate) env: BTreeMap<String, String>,
    /// The faults of the server.
    pub(crate) faults: Faults,
    /// The shell and its programs.
    tools: Tools,
}

impl Machine {
    pub(crate) fn new(tools: Tools) -> Self {
        // Home directories may contain spaces and special characters.
        let root = tempfile::Builder::new()
            .prefix("it's $HOME ")
            .tempdir()
            .unwrap();
        // For the case that installs as another user.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for dir in ["home/.local/bin", "tmp", "bin"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        write_program(&root.path().join("home/.local/bin/polis"), OLD);
        let mut machine = Self {
            root,
            key: SigningKey::for_rehearsal().unwrap(),
            files: BTreeMap::new(),
            script: String::new(),
            env: BTreeMap::new(),
            faults: Faults::none(),
            tools,
        };
        machine.lay_path();
        machine.release(&[("polis", "#!/bin/sh\necho polis 0.5.0\n")]);
        machine
    }

    fn lay_path(&mut self) {
        if self.tools.busybox {
            let busybox = external_tool("busybox").unwrap();
            for applet in String::from_utf8(run(&busybox, ["--list"]))
                .unwrap()
                .lines()
            {
                symlink(&busybox, self.bin(applet)).unwrap();
            }
        }
        let common = COMMON.iter().filter(|_| !self.tools.busybox);
        for program in common.chain(self.tools.programs) {
            self.provide(program);
        }
    }

    /// Puts a real program on PATH.
    pub(crate) fn provide(&self, program: &str) {
        let real = external_tool(program).unwrap();
        let _ = fs::remove_file(self.bin(program));
        symlink(real, self.bin(program)).unwrap();
    }

    /// Puts a script named `program` on PATH.
    pub(crate) fn pretend(&self, program: &str, script: &str) {
        let _ = fs::remove_file(self.bin(program));
        write_program(&self.bin(program), script);
    }

    /// Removes a program from PATH.
    pub(crate) fn lacks(&self, program: &str) {
        fs::remove_file(self.bin(program)).unwrap();
    }

    fn bin(&self, program: &str) -> PathBuf {
        self.root.path().join("bin").join(program)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// `polis-0.5.0-TARGET`.
    pub(crate) fn top() -> String {
        format!("polis-0.5.0-{}", target().unwrap())
    }

    pub(crate) fn archive() -> String {
        format!("{}.tar.gz", Self::top())
    }

    /// Creates the release: its archive of `contents` and the other files, signed, and its script.
    pub(crate) fn release(&mut self, contents: &[(&str, &str)]) {
        let archive = self.pack(contents);
        self.publish(archive);
        self.script = script(&self.key, &self.files[&Self::archive()], target().unwrap());
    }

    /// Adds `archive` to the release and signs it.
    pub(crate) fn publish(&mut self, archive: Vec<u8>) {
        let other = Digest::of(b"cloud-init").hex();
        let sums = format!(
            "{other}  cloud-init.yaml\n{}  {}\n{other}  {}.sha256\n",
            Digest::of(&archive).hex(),
            Self::archive(),
            Self::archive(),
        );
        self.files.insert(Self::archive(), archive);
        self.sign(&sums, "Polis 0.5.0");
    }

    /// Publishes `sums` with a valid signature and `comment`.
    pub(crate) fn sign(&mut self, sums: &str, comment: &str) {
        let signature = self.key.sign(sums.as_bytes(), comment).unwrap();
        self.files.insert("SHA256SUMS".into(), sums.into());
        self.files
            .insert("SHA256SUMS.minisig".into(), signature.into());
    }

    pub(crate) fn sums(&self) -> String {
        String::from_utf8(self.files["SHA256SUMS"].clone()).unwrap()
    }

    /// Changes line `at` of the signature file.
    pub(crate) fn change_signature(&mut self, at: usize, change: impl Fn(&str) -> String) {
        let text = String::from_utf8(self.files["SHA256SUMS.minisig"].clone()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[at] = change(&lines[at]);
        let text = lines.join("\n") + "\n";
        self.files.insert("SHA256SUMS.minisig".into(), text.into());
    }

    /// A real tar of `contents` and of the files beside the program.
    pub(crate) fn pack(&self, contents: &[(&str, &str)]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join(Self::top());
        fs::create_dir_all(top.join("completions")).unwrap();
        fs::create_dir_all(top.join("man")).unwrap();
        for words in PAGES {
            let page = pages::file(words);
            fs::write(top.join("man").join(&page), &page).unwrap();
        }
        for file in [
            "LICENSE",
            "completions/_polis",
            "completions/polis.bash",
            "completions/polis.fish",
        ] {
            fs::write(top.join(file), file).unwrap();
        }
        for (name, text) in contents {
            write_program(&top.join(name), text);
        }
        tar(dir.path())
    }

    /// Starts a server with the release, and runs the script in the shell to completion.
    pub(crate) fn install(&self) -> Output {
        let server = self.serve();
        self.command(&server).output().unwrap()
    }

    pub(crate) fn serve(&self) -> EmbeddedFiles {
        let files = self.files.iter();
        let files = files.map(|(name, bytes)| (format!("/dl/{name}"), bytes.clone()));
        EmbeddedFiles::start_with(files, &self.faults).unwrap()
    }

    /// The command that runs the script in the shell.
    pub(crate) fn command(&self, server: &EmbeddedFiles) -> Command {
        let script = self.path("install.sh");
        fs::write(&script, &self.script).unwrap();
        let shell = external_tool(self.tools.shell[0]).unwrap();
        let mut command = command(shell);
        command
            .args(&self.tools.shell[1..])
            .arg(script)
            .current_dir(self.root.path())
            .env("HOME", self.path("home"))
            .env("PATH", self.path("bin"))
            .env("TMPDIR", self.path("tmp"))
            .env("POLIS_INSTALL_URL", format!("{}/dl", server.url()))
            .envs(&self.env)
            .stdin(Stdio::null());
        command
    }

    /// The output, with everything replaced that differs between runs.
    pub(crate) fn seen(&self, output: &Output) -> String {
        let mut seen = format!("exit {}\n", output.status.code().unwrap_or(-1));
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                let text = String::from_utf8_lossy(bytes);
                seen.push_str(&format!("--- {name}\n{text}"));
            }
        }
        let root = self.root.path().to_string_lossy().into_owned();
        let seen = seen
            .replace(&root, "[ROOT]")
            .replace(target().unwrap(), "[TARGET]");
        without_digests(&without_ports(&seen))
    }

    /// The content of the installed program.
    pub(crate) fn installed(&self) -> String {
        fs::read_to_string(self.path("home/.local/bin/polis")).unwrap_or_default()
    }

    /// Asserts that the older program is still installed, and that no other file remains.
    pub(crate) fn assert_unchanged(&self, what: &str) {
        assert_eq!(self.installed(), OLD, "{what}");
        assert_eq!(self.list("home/.local/bin"), ["polis"], "{what}");
        assert_eq!(self.list("home/.local"), ["bin"], "{what}");
        assert_eq!(self.list("tmp"), [""; 0], "{what}");
    }

    /// All files below a directory.
    pub(crate) fn everything(&self, dir: &str) -> Vec<String> {
        let mut files = Vec::new();
        let mut left = vec![String::new()];
        while let Some(below) = left.pop() {
            for name in self.list(&format!("{dir}/{below}")) {
                let path = format!("{below}{name}");
                match self.path(dir).join(&path).is_dir() {
                    true => left.push(path + "/"),
                    false => files.push(path),
                }
            }
        }
        files.sort();
        files
    }

    /// The names in a directory.
    pub(crate) fn list(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }
}

/// `install.sh` of release 0.5.0 with `archive` for `triple`.
pub(crate) fn script(key: &SigningKey, archive: &[u8], triple: &str) -> String {
    script_for(&key.public_key_file().unwrap(), archive, triple)
}

/// As [`script`], with the text of a public key file.
pub(crate) fn script_for(public_key: &str, archive: &[u8], triple: &str) -> String {
    let facts = Facts {
        version: &Version::new(0, 5, 0),
        label: "0.5.0",
        tag: "v0.5.0",
        repository: "https://github.com/odralabshq/polis",
        public_key,
        archives: &[Archive {
            triple,
            name: &format!("polis-0.5.0-{triple}.tar.gz"),
            sha256: &Digest::of(archive),
        }],
    };
    let files = render(&facts).unwrap();
    let (_, script) = files
        .into_iter()
        .find(|(name, _)| name == "install.sh")
        .unwrap();
    String::from_utf8(script).unwrap()
}

/// A real tar of the only directory in `dir`.
pub(crate) fn tar(dir: &Path) -> Vec<u8> {
    let args = ["-C", &dir.to_string_lossy(), "-czf", "-", &Machine::top()].map(str::to_owned);
    run(external_tool("tar").unwrap(), args)
}

/// The text with ports of servers replaced.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("http://127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        text + "[SERVER]" + rest
    })
}

/// The text with digests replaced.
fn without_digests(text: &str) -> String {
    let is_digest = |word: &&str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .filter(is_digest)
        .fold(text.to_owned(), |text, digest| {
            text.replace(digest, "[SHA256]")
        })
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
