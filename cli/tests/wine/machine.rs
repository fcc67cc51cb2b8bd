//! A Windows machine: a sandbox with a Wine prefix beside it.

use std::fs;
use std::path::{Path, PathBuf};

use fake_multipass::{Ran, Running, Sandbox, exes};
use xtask_testkit::has_part;

/// A Windows machine on which `polis.exe` and Multipass are installed.
pub(crate) struct Machine {
    pub(crate) sandbox: Sandbox,
    wine: PathBuf,
    /// The environment of `polis` in addition to the sandbox's.
    env: Vec<(&'static str, String)>,
}

impl Machine {
    /// A new machine; `None`, with a message, if Wine is not installed.
    pub(crate) fn new() -> Option<Self> {
        if !has_part("wine") || !has_part("x86_64-w64-mingw32-gcc") {
            return None;
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs = std::env::split_paths(&path);
        let wine = dirs.find(|dir| dir.join("wine").is_file())?.join("wine");
        let sandbox = Sandbox::new();
        let prefix = sandbox.dir().join("prefix");
        let programs = prefix.join("drive_c/Program Files/Polis und Ähnliches");
        fs::create_dir_all(&programs).expect("a directory");
        for exe in exes() {
            let name = exe.file_name().expect("a name");
            fs::copy(exe, programs.join(name)).expect("a copy");
        }
        let env = vec![
            ("WINEPREFIX", prefix.display().to_string()),
            ("WINEDEBUG", "-all".to_owned()),
            ("WINEDLLOVERRIDES", "mscoree,mshtml=".to_owned()),
            (
                "WINEPATH",
                r"C:\Program Files\Polis und Ähnliches".to_owned(),
            ),
            (
                "FAKE_MULTIPASS_BRIDGE",
                sandbox.bridge(&prefix.join("drive_c")),
            ),
        ];
        Some(Self { sandbox, wine, env })
    }

    /// The local path of `path`, which begins with `C:\`.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let below = path.strip_prefix(r"C:\").expect("a path of drive C");
        let drive = self.sandbox.dir().join("prefix/drive_c");
        drive.join(below.replace('\\', "/"))
    }

    /// The Windows path of `polis.exe`.
    pub(crate) fn program(&self) -> &'static str {
        r"C:\Program Files\Polis und Ähnliches\polis.exe"
    }

    /// The user's profile directory.
    pub(crate) fn profile(&self) -> PathBuf {
        let users = fs::read_dir(self.path(r"C:\users")).expect("users");
        let mut users = users.flatten().map(|entry| entry.path());
        users
            .find(|path| !path.ends_with("Public"))
            .expect("a user")
    }

    /// Starts `polis.exe`.
    pub(crate) fn start(&self, args: &[&str], env: &[(&str, &str)]) -> Running {
        self.start_program(Path::new(self.program()), args, env)
    }

    /// Starts a Windows program.
    pub(crate) fn start_program(
        &self,
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Running {
        let own = self.env.iter().map(|(name, value)| (*name, value.as_str()));
        let env: Vec<(&str, &str)> = own.chain(env.iter().copied()).collect();
        let program = program.to_str().expect("a name in UTF-8");
        let words = [&[program][..], args].concat();
        self.sandbox.start(&self.wine, &words, &env, b"")
    }

    /// Runs `polis.exe`.
    pub(crate) fn polis(&self, args: &[&str]) -> Ran {
        self.start(args, &[]).wait()
    }
}
