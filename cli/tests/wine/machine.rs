//! A machine with Windows: a world, and a prefix of Wine's beside it.

use std::fs;
use std::path::{Path, PathBuf};

use fake_multipass::{Ran, Running, World, exes};
use xtask_testkit::has_part;

/// A machine on which `polis.exe` and Multipass are installed.
pub(crate) struct Machine {
    pub(crate) world: World,
    wine: PathBuf,
    /// What `polis` has in its environment beside what a world gives it.
    env: Vec<(&'static str, String)>,
}

impl Machine {
    /// A new one; none where there is no Wine, which is said.
    pub(crate) fn new() -> Option<Self> {
        if !has_part("wine") || !has_part("x86_64-w64-mingw32-gcc") {
            return None;
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs = std::env::split_paths(&path);
        let wine = dirs.find(|dir| dir.join("wine").is_file())?.join("wine");
        let world = World::new();
        let prefix = world.dir().join("prefix");
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
                world.bridge(&prefix.join("drive_c")),
            ),
        ];
        Some(Self { world, wine, env })
    }

    /// Where `path`, which begins with `C:\`, is here.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let below = path.strip_prefix(r"C:\").expect("a path of drive C");
        let drive = self.world.dir().join("prefix/drive_c");
        drive.join(below.replace('\\', "/"))
    }

    /// Where `polis.exe` is, as Windows has it.
    pub(crate) fn program(&self) -> &'static str {
        r"C:\Program Files\Polis und Ähnliches\polis.exe"
    }

    /// The user's own directory.
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

    /// Starts a program of Windows.
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
        self.world.start(&self.wine, &words, &env, b"")
    }

    /// Runs `polis.exe`.
    pub(crate) fn polis(&self, args: &[&str]) -> Ran {
        self.start(args, &[]).wait()
    }
}
