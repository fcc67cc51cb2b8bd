//! The CLI as users see it without Multipass.

#[cfg(target_os = "linux")]
use std::path::Path;

use expect_test::expect;
use polis_base::pages::{self, PAGES};
use xtask_testkit::{Ran, Tree};

/// Runs `polis` where it cannot find Multipass.
fn polis(args: &[&str]) -> Ran {
    Tree::empty().run_with(env!("CARGO_BIN_EXE_polis"), args, &[("PATH", "")])
}

/// Masks the digests, which change with the files, and the key, which comes with the first release.
fn without_digests(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n']);
    let shown = words.map(|word| match word.find("sha256:") {
        Some(at) => format!("{}[DIGEST]{}", &word[..at], &word[at + 71..]),
        None => word.to_owned(),
    });
    let shown: String = shown.collect();
    let lines = shown.split_inclusive('\n');
    let lines = lines.map(|line| match line.starts_with("key ") {
        true => "key [KEY]\n",
        false => line,
    });
    lines.collect()
}

#[test]
fn version_lists_the_embedded_files() {
    let ran = polis(&["version"]);
    expect![[r#"
        exit 0
        --- stdout
        polis [VERSION]-dev
        compose [DIGEST]
        cloud-init [DIGEST]
        bundle [DIGEST]
        key [KEY]
    "#]]
    .assert_eq(&without_digests(&ran.seen()).replace(env!("CARGO_PKG_VERSION"), "[VERSION]"));
}

#[test]
fn without_multipass_every_command_says_how_to_install_it() {
    for args in [
        &["start"][..],
        &["start", "--dry-run"],
        &["stop"],
        &["status"],
        &["delete", "--yes"],
        &["logs"],
        &["cp", "x", "workspace:"],
        &["ssh-config"],
        &["security", "status"],
    ] {
        let ran = polis(args);
        assert_eq!(ran.code, 3, "{args:?}: {}", ran.seen());
        assert!(ran.stderr.contains("is not installed"), "{}", ran.seen());
        assert!(ran.stderr.contains("  hint: "), "{}", ran.seen());
    }
    let ran = polis(&["exec", "--", "true"]);
    assert_eq!(ran.code, 125, "{}", ran.seen());
}

#[test]
fn usage_errors_are_reported_before_anything_else() {
    for args in [
        &["start", "--cpus", "0"][..],
        &["start", "--memory", "1T"],
        &["start", "--disk", "100M"],
        &["start", "--timeout", "soon"],
        &["start", "--image", "x"],
        &["start", "--agent", "."],
        &["start", "--cloud-init", "Cargo.toml"],
        &["exec", "true"],
        &["exec"],
        &["cp", "x"],
        &["cp", "x", "y"],
        &["cp", "workspace:x", "workspace:y"],
        &["nothing"],
    ] {
        let ran = polis(args);
        assert!(matches!(ran.code, 2 | 125), "{args:?}: {}", ran.seen());
        assert!(ran.stdout.is_empty(), "{}", ran.seen());
    }
}

#[test]
fn with_json_an_error_is_one_document() {
    let ran = polis(&["status", "--json"]);
    assert_eq!((ran.code, ran.stdout.lines().next()), (3, Some("{")));
    assert!(
        ran.stdout.contains("\"kind\": \"multipass-missing\""),
        "{}",
        ran.seen()
    );
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = polis(&["completions", shell]);
        assert_eq!(ran.code, 0, "{}", ran.seen());
        assert!(ran.stdout.contains("dry-run"), "{shell}");
    }
}

/// Tests what bash, zsh and fish really offer for `polis sta`, `polis agent re` and `polis start --dr`. zsh completes only on a
/// terminal.
#[cfg(target_os = "linux")]
#[test]
fn shells_complete_commands_and_options() {
    let program = Path::new(env!("CARGO_BIN_EXE_polis"));
    let bin = program.parent().unwrap().display().to_string();
    let path = format!("{bin}:/usr/bin:/bin");
    let bash = r#"source <(polis completions bash)
        offer() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _polis polis "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[@]}"; }
        offer polis sta; offer polis agent re; offer polis start --dr"#;
    let zsh = r#"zmodload zsh/zpty
        zpty shell "env -u ZDOTDIR zsh -f -i"
        zpty -w shell 'PS1=; autoload -U compinit; compinit -u -D; source <(polis completions zsh); bindkey "^I" list-choices'
        sleep 2; zpty -w -n shell $'polis agent re\t'; sleep 2
        zpty -r shell seen "*restart*"; print -r -- "$seen""#;
    let fish = r#"polis completions fish | source
        complete -C "polis sta"; complete -C "polis agent re"; complete -C "polis start --dr""#;
    for (shell, script, words) in [
        (
            "bash",
            bash,
            &["start status", "remove restart", "--dry-run"][..],
        ),
        ("zsh", zsh, &["remove", "restart"]),
        (
            "fish",
            fish,
            &["start", "status", "remove", "restart", "--dry-run"],
        ),
    ] {
        if shell != "bash" && !Path::new("/usr/bin").join(shell).exists() {
            continue;
        }
        let ran = Tree::empty().run_with(
            format!("/usr/bin/{shell}"),
            &["-c", script],
            &[("PATH", path.as_str()), ("TERM", "dumb")],
        );
        for word in words {
            assert!(ran.stdout.contains(word), "{shell}: {word}: {}", ran.seen());
        }
    }
}

/// Archives and installers ship a page for every command, and groff accepts each without a warning.
#[test]
fn every_command_has_a_man_page() {
    let mut referred = Vec::new();
    let mut unread = vec!["polis".to_owned()];
    while let Some(name) = unread.pop() {
        let words: Vec<&str> = name.split('-').skip(1).collect();
        // `ssh-config` is one word.
        let page = match name.as_str() {
            "polis-ssh-config" => polis(&["man", "ssh-config"]),
            _ => polis(&[&["man"], &words[..]].concat()),
        };
        let below = page
            .stdout
            .lines()
            .filter_map(|line| line.strip_suffix("(1)"));
        let below = below.map(|found| found.replace("\\-", "-"));
        unread.extend(below.filter(|found| found.starts_with(&format!("{name}-"))));
        referred.push(name);
    }
    let files: Vec<String> = PAGES.iter().map(|words| pages::file(words)).collect();
    for name in &referred {
        assert!(
            files.contains(&format!("{name}.1")),
            "{name} is not in PAGES"
        );
    }
    assert_eq!(files.len(), referred.len(), "{files:?} {referred:?}");
    for words in PAGES {
        let words: Vec<&str> = words.split_whitespace().collect();
        let ran = polis(&[&["man"], &words[..]].concat());
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.seen());
        let title = format!(
            ".TH {} 1 \"\" \"polis {}-dev\" \"Polis\"\n",
            [&["POLIS"], &words[..]].concat().join("-").to_uppercase(),
            env!("CARGO_PKG_VERSION")
        );
        assert!(ran.stdout.starts_with(&title), "{title}: {}", ran.seen());
        for section in ["NAME", "SYNOPSIS", "EXAMPLES", "EXIT STATUS"] {
            let heading = format!(".SH {section}\n");
            let quoted = format!(".SH \"{section}\"\n");
            let found = ran.stdout.contains(&heading) || ran.stdout.contains(&quoted);
            assert!(found, "{words:?}: {section}: {}", ran.seen());
        }
    }
    let ran = polis(&["man", "agent", "nothing"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.seen());
}

#[test]
fn groff_accepts_the_man_pages() {
    if !xtask_testkit::has_part("groff") {
        return;
    }
    let tree = Tree::data();
    for words in PAGES {
        let words: Vec<&str> = words.split_whitespace().collect();
        let page = polis(&[&["man"], &words[..]].concat()).stdout;
        let file = tree.root().join("page.1");
        std::fs::write(&file, &page).unwrap();
        let options = ["-ww", "-man", "-Tutf8", "-P-cbou"];
        let ran = tree.run("groff", &[&options[..], &["page.1"]].concat());
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (0, ""),
            "{words:?}: {}",
            ran.seen()
        );
        assert!(ran.stdout.contains("polis"), "{words:?}");
    }
}

#[test]
fn json_is_refused_by_commands_without_a_report() {
    for (args, code) in [
        (&["man"][..], 2),
        (&["completions", "bash"], 2),
        (&["logs"], 2),
        (&["connect"], 2),
        (&["agent", "logs", "echo"], 2),
        (&["exec", "--", "ls"], 125),
        (&["shell"], 125),
    ] {
        let ran = polis(&[&["--json"], args].concat());
        assert_eq!(ran.code, code, "{args:?}: {}", ran.seen());
        assert!(ran.stdout.contains("\"kind\": \"usage\""), "{}", ran.seen());
        let schema: serde_json::Value =
            serde_json::from_str(include_str!("../../../schemas/polis.schema.json")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let known = schema["properties"]["command"]["enum"].as_array().unwrap();
        assert!(known.contains(&document["command"]), "{}", ran.seen());
        assert!(
            ran.stderr.contains("so `--json` is not available"),
            "{}",
            ran.seen()
        );
    }
}

#[test]
fn exec_without_dashes_explains_where_they_go() {
    expect![[r#"
        exit 2
        --- stderr
        error: unexpected argument 'ls' found

          tip: the command comes after `--`: polis exec --root -- ls -la

        Usage: polis exec [OPTIONS] -- <CMD>...

        For more information, try '--help'.
    "#]]
    .assert_eq(&polis(&["exec", "--root", "ls", "-la"]).seen());
}

#[test]
fn the_help_lists_every_command() {
    let ran = polis(&["--help"]);
    expect![[r#"
        exit 0
        --- stdout
        Gives AI coding agents a safe machine

        Usage: polis [OPTIONS] <COMMAND>

        Commands:
          start        Start the workspace, or resume an interrupted start
          stop         Stop the VM, and keep everything in it
          status       Show the state of the workspace, and each setting; changes nothing
          list         List the workspaces of this user, and the state of their VMs; changes nothing
          delete       Delete the VM
          doctor       Check what polis needs on this machine; without --fix changes nothing
          exec         Run a command in the workspace
          shell        Open a shell in the workspace
          cp           Copy a file or a directory into the workspace or out of it
          sync         Copy a directory into the workspace, and bring its changes back as a diff
          ssh-config   Set up OpenSSH for the workspace, so that `ssh polis` works
          connect      Open the workspace in an editor, or log in over SSH
          logs         Show the logs of the services
          security     Approve or deny blocked requests, and set the security level
          agent        Add, list and remove the agents that run in the workspace
          snapshot     Take, restore and delete snapshots of the VM
          port         Open, list and close ports that lead from the VM's address into the workspace
          update       Update polis to the newest release
          version      Print the version, and the digests of the files built into this program
          completions  Print a completion script for a shell
          man          Print a man page

        Options:
          -h, --help     Print help
          -V, --version  Print version

        Global options:
              --name <NAME>   The workspace; each one has its own VM, keys and settings [default: default]
                              [env: POLIS_NAME]
              --json          Print one JSON document, described by schemas/polis.schema.json
          -q, --quiet         Show no progress and no notes
          -v, --verbose       Show every call of Multipass
              --color <WHEN>  When to use colours; `auto` respects NO_COLOR [default: auto] [possible
                              values: auto, always, never]

        Examples:
          polis doctor      # what this machine lacks
          polis start       # creates or starts the workspace
          polis shell       # opens a shell in it

        Environment:
          POLIS_NAME            the workspace, as `--name`
          POLIS_CPUS            CPUs of a new VM
          POLIS_MEMORY          memory of a new VM
          POLIS_DISK            disk of a new VM
          POLIS_TIMEOUT         seconds for launch and provisioning together
          POLIS_PULL_TIMEOUT    seconds for pulling the images
          POLIS_HEALTH_TIMEOUT  seconds until every service is healthy
          POLIS_CALL_TIMEOUT    seconds for one short call of Multipass
          POLIS_COPY_SIZE       the maximum size of a copy
          POLIS_COPY_ENTRIES    the maximum number of files, directories and links in a copy
          POLIS_COPY_TIMEOUT    seconds for each of packing, transferring and unpacking a copy
          POLIS_DELIVERY        how Multipass gets its input: auto, pipe or file
          POLIS_RELEASE_URL     where `polis update` looks for releases
          POLIS_UPDATE_TIMEOUT  seconds for each file that `polis update` downloads
          POLIS_HTTP_PROXY      the proxy for http://
          POLIS_HTTPS_PROXY     the proxy for https://
          POLIS_NO_PROXY        hosts that are reached without a proxy
          POLIS_CA_FILE         a file with additional certificate authorities to trust
          POLIS_CLOUD_INIT      a file with custom user-data for a new VM
          POLIS_AGENT           the directory of an agent, as `polis start --agent`
          NO_COLOR              if set, no colours, and plain output instead of progress lines
          CI                    if set, plain output instead of progress lines
          TERM                  `dumb`: plain output instead of progress lines

        Exit codes:
          0    done
          1    something unexpected; for `doctor`, a check that failed
          2    usage: the command line, the environment or the configuration file
          3    Multipass is not installed
          4    Multipass is older than 1.16.0
          5    Multipass's daemon does not answer
          6    Multipass does not let this user in
          7    the VM is deleted, but not purged
          8    the provisioning of the VM failed
          9    out of time; `polis start` continues where it stopped
          10   a transfer into the VM or out of it failed
          11   could not pull an image
          12   a service is not healthy
          13   the workspace is not running
          14   another polis is running
          15   Multipass could not launch or start the VM, or handle its snapshots
          16   polis could not be updated, and is unchanged
          130  interrupted; `polis start` continues where it stopped
        `exec` and `shell` end with the code of the command; when polis itself fails there, with 125,
        and with 141 when the reader of the output has closed the pipe.
    "#]].assert_eq(&ran.seen());
}

#[test]
fn the_documentation_lists_every_exit_code_and_setting() {
    let page = include_str!("../../../docs/polis.md");
    let help = polis(&["--help"]).stdout;
    let codes = help.split("Exit codes:\n").nth(1).unwrap_or_default();
    let codes = codes
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once(' '));
    let mut count = 0;
    for (code, meaning) in codes {
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(page.contains(&row), "{row}");
        count += 1;
    }
    assert_eq!(count, 18);
    let words = help
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let variables: Vec<&str> = words.filter(|word| word.starts_with("POLIS_")).collect();
    assert_eq!(variables.len(), 20, "{variables:?}");
    for variable in variables {
        let name = variable["POLIS_".len()..].to_lowercase().replace('_', "-");
        let row = format!("| `{name}` | `{variable}` | ");
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn shellcheck_accepts_the_guest_scripts() {
    if !xtask_testkit::has_part("shellcheck") {
        return;
    }
    let guest = xtask_testkit::repository().join("cli/src/guest");
    let mut scripts: Vec<String> = std::fs::read_dir(guest)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".sh"))
        .collect();
    for name in ["job.sh", "stack.sh"] {
        let path = xtask_testkit::repository()
            .join("compose/scripts")
            .join(name);
        scripts.push(path.display().to_string());
    }
    assert!(scripts.len() > 8, "{scripts:?}");
    let options = ["--shell=bash", "--severity=warning"].map(str::to_owned);
    let args = [options.to_vec(), scripts].concat();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = Tree::data().run("shellcheck", &args);
    assert_eq!(ran.code, 0, "{}", ran.seen());
}
