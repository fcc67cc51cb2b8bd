//! Everything that differs between Linux, macOS and Windows. [`system`] has the differences as pure functions of the system, which
//! are tested on all of them.

mod system;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;

use cap_std::fs::OpenOptions;
use etcetera::BaseStrategy;
pub(crate) use system::{Probe, System};

/// The system that this program is built for.
pub(crate) const HERE: System = if cfg!(windows) {
    System::Windows
} else if cfg!(target_os = "macos") {
    System::MacOs
} else {
    System::Linux
};

/// Whether Multipass reads a pipe unchanged. On Windows it reads in text mode, and `exec` never sees the end of its input.
pub(crate) const PIPES_WORK: bool = HERE.pipes_work();
/// The command that installs Multipass.
pub(crate) const INSTALL_MULTIPASS: &str = HERE.install();
/// The command that updates Multipass.
pub(crate) const UPDATE_MULTIPASS: &str = HERE.update();
/// The command that starts its daemon.
pub(crate) const START_DAEMON: &str = HERE.start_daemon();
/// How to give a user access to its socket.
pub(crate) const OPEN_SOCKET: &str = HERE.open_socket();
/// The most frequent reasons why the host cannot reach the VM.
pub(crate) const UNREACHABLE_VM: &str = HERE.unreachable_vm();

/// The command that updates the program at this path, if a package manager installed it.
pub(crate) fn managed(program: &str) -> Option<&'static str> {
    let path = program.replace('\\', "/").to_lowercase();
    let managers = [
        ("/cellar/", "brew upgrade polis"),
        ("/winget/", "winget upgrade odralabshq.polis"),
        ("/nix/store/", "update polis with Nix"),
        ("/snap/", "sudo snap refresh polis"),
    ];
    let found = managers.iter().find(|(part, _)| path.contains(part));
    found.map(|(_, update)| *update)
}

/// The null device.
pub(crate) const NOTHING: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// The path of `curl`, which Windows and macOS include.
pub(crate) fn find_curl() -> Option<PathBuf> {
    find("curl", &[])
}

/// The path of `multipass`.
pub(crate) fn find_multipass() -> Option<PathBuf> {
    find("multipass", HERE.installed_at())
}

/// The program on the PATH, or at one of the paths `installed_at`; none if the PATH is empty or not set.
fn find(program: &str, installed_at: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").filter(|path| !path.is_empty())?;
    let on_path = which::which_in_global(HERE.program(program), Some(path));
    let installed = installed_at.iter().map(PathBuf::from);
    on_path
        .into_iter()
        .flatten()
        .chain(installed.filter(|file| file.is_file()))
        .next()
}

/// Forwards a signal to a child process.
///
/// # Errors
/// When it cannot be signalled.
#[cfg(unix)]
pub(crate) fn pass_on(signal: u8, child: &mut Child) -> io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = Signal::from_named_raw(signal.into());
    match pid.zip(signal) {
        Some((pid, signal)) => Ok(kill_process(pid, signal)?),
        None => child.kill(),
    }
}

/// Kills a child process, since there are no signals.
///
/// # Errors
/// When it cannot be killed.
#[cfg(not(unix))]
pub(crate) fn pass_on(_signal: u8, child: &mut Child) -> io::Result<()> {
    child.kill()
}

/// Whether the reader of standard output has closed the pipe. Polls for writing: macOS reports it in no other way.
#[cfg(unix)]
pub(crate) fn stdout_is_closed() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = std::io::stdout();
    let mut output = [PollFd::new(&stdout, PollFlags::OUT)];
    let no_wait = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let polled = poll(&mut output, Some(&no_wait)).is_ok();
    let [output] = output;
    polled && output.revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Unknown on Windows, where output that does not go to a console is captured and printed at the end.
#[cfg(not(unix))]
pub(crate) fn stdout_is_closed() -> bool {
    false
}

/// The state directory and the configuration file; none without a home directory.
pub(crate) fn directories() -> Option<(PathBuf, PathBuf)> {
    // XDG on macOS too, as command line programs do.
    let base = etcetera::base_strategy::choose_base_strategy().ok()?;
    let state = HERE.state_dir(base.home_dir(), base.state_dir());
    Some((state, base.config_dir().join("polis").join("config.toml")))
}

/// The user's home directory, if known.
pub(crate) fn home() -> Option<PathBuf> {
    etcetera::home_dir().ok()
}

/// Options for a file in a directory that others can change: opening a FIFO in its place must not block.
pub(crate) fn reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options
}

/// A file name as the bytes that it has on Linux.
///
/// # Errors
/// None where names are bytes.
#[cfg(unix)]
pub(crate) fn bytes(name: &OsStr) -> Result<Vec<u8>, &'static str> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(name.as_bytes().to_vec())
}

/// The path with these bytes.
///
/// # Errors
/// None where names are bytes.
#[cfg(unix)]
pub(crate) fn as_path(name: &[u8]) -> Result<&Path, &'static str> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(Path::new(OsStr::from_bytes(name)))
}

#[cfg(not(unix))]
const NOT_TEXT: &str = "its name is not UTF-8";

/// A file name as the bytes that it has on Linux.
///
/// # Errors
/// When it is not UTF-8.
#[cfg(not(unix))]
pub(crate) fn bytes(name: &OsStr) -> Result<Vec<u8>, &'static str> {
    let text = name.to_str().ok_or(NOT_TEXT)?;
    Ok(text.as_bytes().to_vec())
}

/// The path with these bytes.
///
/// # Errors
/// When they are not UTF-8.
#[cfg(not(unix))]
pub(crate) fn as_path(name: &[u8]) -> Result<&Path, &'static str> {
    std::str::from_utf8(name)
        .map(Path::new)
        .map_err(|_| NOT_TEXT)
}

/// The name of this machine's architecture in OCI and Debian terms.
pub(crate) fn architecture() -> &'static str {
    debian_name(std::env::consts::ARCH)
}

/// Debian's name of the architecture that the kernel and Rust call `name`.
pub(crate) fn debian_name(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Turns the terminal's echo off until it is dropped.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct HiddenInput(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl HiddenInput {
    pub(crate) fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            let _echo_stays = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
        }
        Self(before)
    }
}

#[cfg(unix)]
impl Drop for HiddenInput {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let now = rustix::termios::OptionalActions::Now;
            let _ignored = rustix::termios::tcsetattr(io::stdin(), now, before);
        }
    }
}

/// Reads a line without echo, under [`HiddenInput`].
#[cfg(unix)]
pub(crate) fn read_hidden() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).map(|_| line)
}

/// Nothing to do: a Windows console is read key by key, without echo.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct HiddenInput;

#[cfg(not(unix))]
impl HiddenInput {
    pub(crate) fn begin() -> Self {
        Self
    }
}

#[cfg(not(unix))]
pub(crate) fn read_hidden() -> io::Result<String> {
    console::Term::stderr().read_secure_line()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [System; 3] = [System::Linux, System::MacOs, System::Windows];

    #[test]
    fn only_windows_needs_files() {
        assert_eq!(ALL.map(System::pipes_work), [true, true, false]);
    }

    #[test]
    fn package_managers_are_recognised_by_the_path() {
        for (path, expected) in [
            ("/opt/homebrew/Cellar/polis/0.5.0/bin/polis", Some("brew")),
            (
                r"C:\Users\a\AppData\Local\Microsoft\WinGet\Packages\x\polis.exe",
                Some("winget"),
            ),
            ("/nix/store/abc-polis/bin/polis", Some("Nix")),
            ("/home/a/.local/bin/polis", None),
            ("/usr/local/bin/polis", None),
            (r"C:\Users\a\AppData\Local\Programs\Polis\polis.exe", None),
        ] {
            let update = managed(path);
            assert_eq!(update.is_some(), expected.is_some(), "{path}");
            assert!(update.is_none_or(|update| update.contains(expected.unwrap())));
        }
    }

    #[test]
    fn the_state_directory_is_not_hidden_on_windows() {
        let dirs = ALL.map(|system| system.state_dir(Path::new("/home/a"), None));
        assert_eq!(
            dirs,
            [
                PathBuf::from("/home/a/.local/state/polis"),
                PathBuf::from("/home/a/Library/Application Support/polis"),
                PathBuf::from("/home/a/Polis"),
            ]
        );
        assert_eq!(
            System::Linux.state_dir(Path::new("/home/a"), Some("/s".into())),
            PathBuf::from("/s/polis")
        );
    }

    #[test]
    fn every_system_has_its_own_hints() {
        for system in ALL {
            for text in [
                system.install(),
                system.update(),
                system.start_daemon(),
                system.open_socket(),
                system.unreachable_vm(),
            ] {
                assert!(!text.is_empty() && !text.contains("  may"), "{text}");
            }
            assert!(!system.installed_at().is_empty());
        }
        assert_eq!(System::Windows.program("multipass"), "multipass.exe");
        assert_eq!(System::MacOs.program("multipass"), "multipass");
    }
}
