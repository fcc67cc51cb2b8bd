//! Runs programs in a sandbox.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Sandbox;
use super::bridge;
use super::ran::{Ran, Running};
use crate::environment::{DIRECTORY, MACHINE, TEST};
use crate::process;

impl Sandbox {
    /// Runs `polis` with empty standard input.
    ///
    /// # Panics
    /// When it takes longer than the limit, with its output so far.
    pub fn polis(&self, args: &[&str]) -> Ran {
        self.start_polis(args).wait()
    }

    /// Runs `polis` with additional environment variables.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn polis_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        self.start(self.polis_path(), args, env, b"").wait()
    }

    /// Runs `polis` on a terminal without control sequences and types `typed`. All output is on standard output.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn polis_on_terminal(&self, args: &[&str], typed: &str) -> Ran {
        self.on_terminal("dumb", args, typed)
    }

    /// Runs `polis` on a normal terminal of 80 columns; types nothing.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn polis_on_xterm(&self, args: &[&str]) -> Ran {
        self.on_terminal("xterm", args, "")
    }

    fn on_terminal(&self, term: &str, args: &[&str], typed: &str) -> Ran {
        let polis = self.polis_path().display();
        let command = format!("'{polis}' {}", args.join(" "));
        let words = ["--quiet", "--return", "--command", &command, "/dev/null"];
        let env = [("TERM", term), ("SHELL", "/bin/sh")];
        self.start(Path::new("/usr/bin/script"), &words, &env, typed.as_bytes())
            .wait()
    }

    /// Runs a bash script with `polis` on its PATH, as for a pipeline.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn shell(&self, script: &str) -> Ran {
        let programs = self.polis_path().parent().unwrap_or(Path::new("/"));
        let bin = self.dir().join("bin");
        let path = format!("{}:{}:/usr/bin:/bin", bin.display(), programs.display());
        let words = ["-c", script];
        self.start(Path::new("/bin/bash"), &words, &[("PATH", &path)], b"")
            .wait()
    }

    /// Starts `polis` without waiting for it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_polis(&self, args: &[&str]) -> Running {
        self.start(self.polis_path(), args, &[], b"")
    }

    /// Runs another program with `multipass` on its PATH.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn run(&self, program: &Path, args: &[&str]) -> Ran {
        self.start(program, args, &[], b"").wait()
    }

    /// Runs `multipass` as `polis` does, with `stdin` as its standard input.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn multipass(&self, args: &[&str], stdin: &[u8]) -> Ran {
        self.start_multipass(args, stdin).wait()
    }

    /// Starts `multipass` without waiting for it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_multipass(&self, args: &[&str], stdin: &[u8]) -> Running {
        self.start(&self.dir().join("bin/multipass"), args, &[], stdin)
    }

    /// Answers `multipass.exe` and `curl.exe` for as long as the test runs; returns the address, which they need in
    /// `FAKE_MULTIPASS_BRIDGE`. Windows programs see `drive_c` as `C:\`, and all of this machine as `Z:\`.
    ///
    /// # Panics
    /// When no port is free.
    pub fn bridge(&self, drive_c: &Path) -> String {
        self.set(|state| state.windows = true);
        let bin = self.dir().join("bin");
        let (home, environment) = (self.home(), self.environment());
        let command = move |program: &str| {
            let program = match program {
                "curl" => "/usr/bin/curl".into(),
                own => bin.join(own),
            };
            let mut command = process::group(program);
            command.env_clear().current_dir(&home);
            command.envs(environment.iter().cloned());
            command
        };
        bridge::serve(command, drive_c)
    }

    fn polis_path(&self) -> &Path {
        self.polis
            .as_deref()
            .expect("only a sandbox made with Sandbox::of has a polis")
    }

    /// Starts any program with additional environment variables, without waiting for it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(
        &self,
        program: &Path,
        args: &[&str],
        env: &[(&str, &str)],
        stdin: &[u8],
    ) -> Running {
        let mut command = process::group(program);
        command.args(args);
        self.dress(&mut command);
        command.envs(env.iter().copied());
        let input = if stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        };
        command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Running::start(command, stdin, self.dir(), self.limit)
    }

    /// Starts a program without the test's own environment.
    fn dress(&self, command: &mut Command) {
        command
            .env_clear()
            .current_dir(self.home())
            .envs(self.environment());
    }

    /// The whole environment of a program in this sandbox.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let home = self.home();
        let path = format!("{}:/usr/bin:/bin", self.dir().join("bin").display());
        let mut environment: Vec<(&str, OsString)> = vec![
            ("PATH", path.into()),
            ("HOME", home.clone().into()),
            ("XDG_CONFIG_HOME", home.join(".config").into()),
            ("XDG_STATE_HOME", home.join(".local/state").into()),
            ("XDG_CACHE_HOME", home.join(".cache").into()),
            ("XDG_DATA_HOME", home.join(".local/share").into()),
            ("XDG_RUNTIME_DIR", self.dir().join("run").into()),
            ("TMPDIR", self.dir().join("tmp").into()),
            ("LANG", "C.UTF-8".into()),
            (DIRECTORY, self.dir().into()),
            (TEST, std::process::id().to_string().into()),
        ];
        environment.extend(self.machine.as_ref().map(|it| (MACHINE, it.into())));
        environment
    }
}
