//! `install.sh` as users run it: real shells and programs, a real archive, real signatures, a server on loopback.

mod lacking;
mod machine;
mod refusals;
mod served;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use expect_test::expect;
use polis_base::pages::{self, PAGES};
use xtask_loopback::Fault;

use crate::support::{command, external_tool};
use machine::{Machine, OLD, Tools, target};

const DASH: Tools = Tools {
    shell: &["dash"],
    programs: &["curl", "minisign", "sha256sum"],
    busybox: false,
};
const BASH: Tools = Tools {
    shell: &["bash"],
    programs: &["curl", "openssl", "shasum"],
    busybox: false,
};
const BUSYBOX: Tools = Tools {
    shell: &["busybox", "sh"],
    programs: &["openssl"],
    busybox: true,
};
const ZSH: Tools = Tools {
    shell: &["zsh", "-f"],
    programs: &["wget", "minisign", "openssl"],
    busybox: false,
};
const ALL: [Tools; 4] = [DASH, BASH, BUSYBOX, ZSH];

/// The machines of `tools` that are possible here.
fn machines(tools: &[Tools]) -> Vec<Machine> {
    if target().is_none() {
        eprintln!("skipped: Polis has no build for this machine");
        return Vec::new();
    }
    let here = tools.iter().filter(|tools| tools.are_here());
    here.map(|tools| Machine::new(*tools)).collect()
}

#[test]
fn every_shell_installs_with_what_it_has() {
    for machine in machines(&ALL) {
        let output = machine.install();
        let seen = machine.seen(&output);
        assert_eq!(output.status.code(), Some(0), "{seen}");
        assert!(machine.installed().contains("polis 0.5.0"), "{seen}");
        let mode = fs::metadata(machine.path("home/.local/bin/polis")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o755, "{seen}");
        assert_eq!(machine.list("home/.local/bin"), ["polis"]);
        assert_eq!(machine.list("tmp"), [""; 0]);
        for (path, text) in [
            ("man/man1/polis.1", "polis.1"),
            ("man/man1/polis-agent-add.1", "polis-agent-add.1"),
            (
                "bash-completion/completions/polis",
                "completions/polis.bash",
            ),
            (
                "fish/vendor_completions.d/polis.fish",
                "completions/polis.fish",
            ),
            ("zsh/site-functions/_polis", "completions/_polis"),
        ] {
            let path = machine.path("home/.local/share").join(path);
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
        assert_eq!(machine.everything("home"), uninstalled_by_hand());
        // Install again over it.
        assert!(machine.install().status.success());
    }
}

/// The files that `docs/install.md` says to delete.
fn uninstalled_by_hand() -> Vec<String> {
    let text = fs::read_to_string(xtask_testkit::repository().join("docs/install.md")).unwrap();
    let files = text.lines().filter_map(|line| line.strip_prefix("    ~/"));
    let mut files: Vec<String> = files.map(str::to_owned).collect();
    let pattern = ".local/share/man/man1/polis-*.1";
    files.retain(|file| file != pattern);
    let commands = PAGES.iter().filter(|words| !words.is_empty());
    files.extend(commands.map(|words| pattern.replace("polis-*.1", &pages::file(words))));
    files.sort();
    files
}

#[test]
fn what_a_user_sees() {
    for machine in machines(&[DASH]) {
        expect![[r#"
            exit 0
            --- stdout
            installed polis 0.5.0 in [ROOT]/home/.local/bin
            next:
              export PATH="$HOME/.local/bin:$PATH"   # and put this line into ~/.profile
              polis doctor   # check what is missing on this machine
              polis start    # start the workspace
            --- stderr
            downloading [SERVER]/dl/SHA256SUMS
            downloading [SERVER]/dl/SHA256SUMS.minisig
            verified the signature of SHA256SUMS with minisign
            downloading [SERVER]/dl/polis-0.5.0-[TARGET].tar.gz
            verified the checksum of polis-0.5.0-[TARGET].tar.gz
        "#]]
        .assert_eq(&machine.seen(&machine.install()));
    }
    for mut machine in machines(&[BASH]) {
        machine.env.insert(
            "POLIS_INSTALL_DIR".into(),
            machine.path("own/bin").to_string_lossy().into(),
        );
        expect![[r#"
            exit 0
            --- stdout
            installed polis 0.5.0 in [ROOT]/own/bin
            next:
              put [ROOT]/own/bin on PATH
              polis doctor   # check what is missing on this machine
              polis start    # start the workspace
            --- stderr
            downloading [SERVER]/dl/SHA256SUMS
            downloading [SERVER]/dl/SHA256SUMS.minisig
            verified the signature of SHA256SUMS with openssl
            downloading [SERVER]/dl/polis-0.5.0-[TARGET].tar.gz
            verified the checksum of polis-0.5.0-[TARGET].tar.gz
        "#]]
        .assert_eq(&machine.seen(&machine.install()));
        // Only the program is installed then.
        assert_eq!(machine.list("own/bin"), ["polis"]);
        machine.assert_unchanged("another directory");
    }
}

#[test]
fn what_a_user_sees_when_it_refuses() {
    for mut machine in machines(&[BASH]) {
        let mut archive = machine.files[&Machine::archive()].clone();
        archive[100] ^= 1;
        machine.files.insert(Machine::archive(), archive);
        expect![[r#"
            exit 1
            --- stderr
            downloading [SERVER]/dl/SHA256SUMS
            downloading [SERVER]/dl/SHA256SUMS.minisig
            verified the signature of SHA256SUMS with openssl
            downloading [SERVER]/dl/polis-0.5.0-[TARGET].tar.gz
            error: polis-0.5.0-[TARGET].tar.gz is not the file that was released
              caused by: its SHA-256 is [SHA256], expected [SHA256]
              hint: run this again; if the error persists, the download was tampered with
              note: nothing was installed or changed
        "#]]
        .assert_eq(&machine.seen(&machine.install()));
        machine.assert_unchanged("a changed archive");
    }
    for mut machine in machines(&[BASH]) {
        let sums = machine.sums();
        machine.sign(&sums, "Polis 0.4.0");
        expect![[r#"
            exit 1
            --- stderr
            downloading [SERVER]/dl/SHA256SUMS
            downloading [SERVER]/dl/SHA256SUMS.minisig
            error: the signature of SHA256SUMS is not valid
              caused by: it is for `Polis 0.4.0`, expected `Polis 0.5.0`
              hint: do not use these files; report it at https://github.com/odralabshq/polis/issues
              note: nothing was installed or changed
        "#]]
        .assert_eq(&machine.seen(&machine.install()));
        machine.assert_unchanged("an older release");
    }
    for machine in machines(&[DASH]) {
        machine.lacks("minisign");
        machine.pretend("openssl", "#!/bin/sh\necho LibreSSL 3.3.6\n");
        expect![[r#"
            exit 1
            --- stderr
            error: the signature of the release cannot be verified here
              caused by: neither minisign nor OpenSSL 3 is installed
              hint: apt-get install minisign, apk add minisign or pacman -S minisign, as root
              note: nothing was installed or changed
        "#]]
        .assert_eq(&machine.seen(&machine.install()));
        machine.assert_unchanged("nothing that verifies");
    }
}

#[test]
fn a_directory_that_is_not_on_path_is_reported() {
    for mut machine in machines(&[DASH]) {
        let own = machine
            .path("home/.local/bin")
            .to_string_lossy()
            .into_owned();
        let bin = machine.path("bin").to_string_lossy().into_owned();
        machine.env.insert("PATH".into(), format!("{own}:{bin}"));
        let seen = machine.seen(&machine.install());
        assert!(!seen.contains("PATH"), "{seen}");
        machine.pretend("polis", OLD);
        machine.env.insert("PATH".into(), format!("{bin}:{own}"));
        let seen = machine.seen(&machine.install());
        let line =
            "put [ROOT]/home/.local/bin before [ROOT]/bin on PATH: another polis is found first";
        assert!(seen.contains(line), "{seen}");
    }
}

/// At any time, starting `polis` runs either the old program or the new one.
#[test]
fn the_program_is_replaced_at_once() {
    for mut machine in machines(&[DASH]) {
        let padding = "# padding\n".repeat(100_000);
        machine.release(&[(
            "polis",
            &format!("#!/bin/sh\necho polis 0.5.0\nexit\n{padding}"),
        )]);
        let done = AtomicBool::new(false);
        let lengths = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut lengths = std::collections::BTreeSet::new();
                while !done.load(Ordering::Relaxed) {
                    lengths.insert(machine.installed().len());
                }
                lengths
            });
            assert!(machine.install().status.success());
            done.store(true, Ordering::Relaxed);
            reader.join().unwrap()
        });
        let whole = [OLD.len(), machine.installed().len()];
        assert!(
            lengths.iter().all(|length| whole.contains(length)),
            "{lengths:?}"
        );
    }
}

#[test]
fn a_link_is_replaced_and_not_its_target() {
    for machine in machines(&[DASH, BUSYBOX]) {
        let [link, program] = ["home/.local/bin/polis", "bin/polis"].map(|path| machine.path(path));
        fs::rename(&link, &program).unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        assert!(machine.install().status.success());
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert!(machine.installed().contains("0.5.0"));
        assert_eq!(fs::read_to_string(&program).unwrap(), OLD);
    }
}

/// `curl | sh` with a connection that breaks at any byte.
#[test]
fn a_truncated_script_runs_nothing() {
    for machine in machines(&[DASH, BASH, BUSYBOX]) {
        let server = machine.serve();
        // Any request would consume this fault.
        machine.faults.add("GET", "/", 1, Fault::Status(404));
        let script = machine.script.trim_end();
        let last = script.len() - 1;
        for end in (0..last).step_by(211).chain(last - 12..=last) {
            let mut command = machine.command(&server);
            fs::write(machine.path("install.sh"), &script[..end]).unwrap();
            command.output().unwrap();
            machine.assert_unchanged(&format!("cut at {end}"));
        }
        assert_eq!(machine.faults.left(), 1);
    }
}

#[test]
fn the_script_can_be_piped() {
    for machine in machines(&[DASH, BASH, BUSYBOX]) {
        let server = machine.serve();
        let with_file = machine.command(&server);
        let mut words: Vec<_> = with_file.get_args().collect();
        words.pop();
        let mut piped = command(with_file.get_program());
        piped.args(words).env_clear();
        for (name, value) in with_file.get_envs() {
            if let Some(value) = value {
                piped.env(name, value);
            }
        }
        let mut child = piped
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(machine.script.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success());
        assert!(machine.installed().contains("0.5.0"));
    }
}

#[test]
fn an_interrupted_installation_leaves_nothing() {
    for machine in machines(&ALL) {
        let archive = format!("/dl/{}", Machine::archive());
        machine.faults.add("GET", &archive, 1, Fault::Stall);
        let server = machine.serve();
        let mut command = machine.command(&server);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(20);
        while machine.faults.left() > 0 {
            assert!(Instant::now() < limit, "no request came");
            std::thread::sleep(Duration::from_millis(10));
        }
        let kill = format!("kill -TERM -{}", child.id());
        crate::support::run(external_tool("sh").unwrap(), ["-c", &kill]);
        assert_eq!(child.wait().unwrap().code(), Some(143));
        machine.assert_unchanged("interrupted");
    }
}
