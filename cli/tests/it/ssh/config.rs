//! The changes of `polis ssh-config` to the user's own OpenSSH configuration.

use std::fs;
use std::os::unix::fs::symlink;

use expect_test::expect;
use fake_multipass::Sandbox;

use super::{installed, mode, openssh, with_sshd};
use crate::copy::{names, write};
use crate::support::{document, seen};

/// `text` without keys and paths, which differ from run to run.
fn same(sandbox: &Sandbox, text: &str) -> String {
    let text = text.replace(env!("CARGO_BIN_EXE_polis"), "[POLIS]");
    let text = text.replace(&sandbox.dir().display().to_string(), "[SANDBOX]");
    let words = text.split_inclusive([' ', '\n']);
    let word = |word: &str| match word.starts_with("AAAA") {
        true => format!("[KEY]{}", &word[word.trim_end().len()..]),
        false => word.to_owned(),
    };
    words.map(word).collect()
}

#[test]
fn the_include_is_added_once_and_removed_again() {
    let Some(sandbox) = with_sshd() else { return };
    let ran = sandbox.polis(&["ssh-config"]);
    expect![[r#"
        exit 0
        --- stdout
        # Written by polis.
        Host polis
            HostName polis
            HostKeyAlias polis
            User polis
            ProxyCommand "[POLIS]" --name default _ssh-proxy ssh-ed25519 [KEY]
            IdentityFile "[SANDBOX]/home/.local/state/polis/ssh_key"
            IdentitiesOnly yes
            IdentityAgent none
            AddKeysToAgent no
            UserKnownHostsFile "[SANDBOX]/home/.local/state/polis/ssh_known_hosts"
            GlobalKnownHostsFile /dev/null
            StrictHostKeyChecking yes
            UpdateHostKeys no
            PreferredAuthentications publickey
            ForwardAgent no
            ForwardX11 no
            PermitLocalCommand no
    "#]]
    .assert_eq(&same(&sandbox, &ran.seen()));
    assert!(!sandbox.home().join(".ssh").exists());
    let state = sandbox.home().join(".local/state/polis");
    let files = ["lock", "ssh_config", "ssh_key", "ssh_known_hosts"];
    assert_eq!(names(&state), files);
    assert_eq!(files.map(|name| mode(&state.join(name))), [0o600; 4]);

    let config = sandbox.home().join(".ssh/config");
    let theirs = "Host *\n    ForwardAgent yes\n    User me\n    ProxyJump elsewhere\n";
    write(&config, theirs.as_bytes(), 0o644);
    let key = fs::read(state.join("ssh_key")).unwrap();
    for changed in [true, false] {
        let ran = sandbox.polis(&["ssh-config", "--install", "--json"]);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        let result = document(&ran)["result"].clone();
        assert_eq!(
            (&result["changed"], &result["installed"]),
            (&changed.into(), &true.into())
        );
        let state = state.display();
        let line = format!("Include \"{state}/ssh_config\" \"{state}/workspaces/*/ssh_config\"\n");
        assert_eq!(fs::read_to_string(&config).unwrap(), line + theirs);
    }
    assert_eq!(fs::read(state.join("ssh_key")).unwrap(), key);
    assert_eq!(names(&sandbox.home().join(".ssh")), ["config"]);
    // The user's settings for every host do not override ours.
    let ran = openssh(&sandbox, "ssh", &["-G", "polis"]);
    for line in [
        "user polis\n",
        "forwardagent no\n",
        "stricthostkeychecking true\n",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.seen());
    }
    assert!(!ran.stdout.contains("elsewhere"), "{}", ran.seen());

    for changed in [true, false] {
        let ran = sandbox.polis(&["ssh-config", "--remove", "--json"]);
        assert_eq!(document(&ran)["result"]["changed"], changed);
        assert_eq!(fs::read_to_string(&config).unwrap(), theirs);
    }
    assert_eq!(names(&state), ["lock"]);
}

#[test]
fn a_symlinked_configuration_is_not_changed() {
    let Some(sandbox) = with_sshd() else { return };
    let ssh = sandbox.home().join(".ssh");
    write(&sandbox.home().join("dotfiles/config"), b"Host a\n", 0o644);
    symlink(sandbox.home().join("dotfiles"), &ssh).unwrap();
    let ran = sandbox.polis(&["ssh-config", "--install"]);
    expect![[r#"
        exit 2
        --- stderr
        error: `[SANDBOX]/home/.ssh` was not changed
          caused by: it is a link
          hint: make this its first line: Include "[SANDBOX]/home/.local/state/polis/ssh_config" "[SANDBOX]/home/.local/state/polis/workspaces/*/ssh_config"
    "#]]
    .assert_eq(&seen(&ran));
    fs::remove_file(&ssh).unwrap();
    fs::create_dir(&ssh).unwrap();
    symlink("../dotfiles/config", ssh.join("config")).unwrap();
    let ran = sandbox.polis(&["ssh-config", "--install"]);
    assert_eq!(ran.code, Some(2), "{}", ran.seen());
    assert_eq!(fs::read(ssh.join("config")).unwrap(), b"Host a\n");
    assert_eq!(names(&ssh), ["config"]);
}

#[test]
fn on_a_terminal_the_line_is_shown_first() {
    let Some(sandbox) = with_sshd() else { return };
    let ran = sandbox.polis_on_terminal(&["ssh-config", "--install"], "n\n");
    assert!(
        ran.stdout.contains("will be added at the top of `"),
        "{}",
        ran.seen()
    );
    assert!(
        ran.stdout.contains("Nothing was installed."),
        "{}",
        ran.seen()
    );
    assert!(!sandbox.home().join(".ssh").exists());
    let ran = sandbox.polis_on_terminal(&["ssh-config", "--install"], "y\n");
    assert!(
        ran.stdout.contains("is set up for the workspace"),
        "{}",
        ran.seen()
    );
    assert!(sandbox.home().join(".ssh/config").exists());
}

#[test]
fn one_line_includes_every_workspace() {
    let Some(sandbox) = installed() else { return };
    let config = sandbox.home().join(".ssh/config");
    // The line of earlier releases works until it is replaced.
    let state = sandbox.home().join(".local/state/polis");
    let old = format!("Include \"{}/ssh_config\"\n", state.display());
    fs::write(&config, old + "Host other\n").unwrap();
    let known = document(&sandbox.polis(&["ssh-config", "--json"]));
    assert_eq!(known["result"]["installed"], true);
    let new = document(&sandbox.polis(&["ssh-config", "--json", "--name", "two"]));
    assert_eq!(new["error"]["next"][0], "polis --name two start");

    // Another workspace, which has the same guest.
    sandbox.set(|state| {
        let mut two = state.instances[0].clone();
        two.name = "polis-two".to_owned();
        state.instances.push(two);
    });
    symlink(
        sandbox.dir().join("guest"),
        sandbox.dir().join("guest-polis-two"),
    )
    .unwrap();
    let ran = sandbox.polis(&["--name", "two", "ssh-config", "--install"]);
    assert_eq!(
        ran.stdout,
        "OpenSSH is set up for the workspace. Next: ssh polis-two\n",
        "{}",
        ran.seen()
    );
    let text = fs::read_to_string(&config).unwrap();
    assert_eq!(text.matches("Include").count(), 1, "{text}");
    assert!(text.ends_with("\nHost other\n"), "{text}");
    let key = |dir: &str| fs::read(state.join(dir).join("ssh_key")).unwrap();
    assert_ne!(key("."), key("workspaces/two"));
    sandbox.forget_calls();
    for host in ["polis", "polis-two"] {
        let ran = openssh(&sandbox, "ssh", &[host, "whoami"]);
        assert_eq!(ran.stdout, "polis\n", "{host}: {}", ran.seen());
    }
    let entered = |vm: &str| {
        sandbox
            .calls_of("exec")
            .iter()
            .filter(|call| call.args[2] == vm)
            .count()
    };
    assert!(entered("polis") > 0 && entered("polis-two") > 0);

    // Removing the last workspace's block also removes the line.
    let gone = document(&sandbox.polis(&["ssh-config", "--remove", "--json"]));
    assert_eq!(gone["result"]["changed"], false);
    let ran = openssh(&sandbox, "ssh", &["polis-two", "whoami"]);
    assert_eq!(ran.stdout, "polis\n", "{}", ran.seen());
    let gone = document(&sandbox.polis(&["ssh-config", "--remove", "--json", "--name", "two"]));
    assert_eq!(gone["result"]["changed"], true);
    assert_eq!(fs::read_to_string(&config).unwrap(), "Host other\n");
}
