//! The man pages of `polis`, for archives, installers and the program itself. A test compares the list with the commands.

/// The pages, by the words of their commands; the first is that of polis itself.
pub const PAGES: [&str; 43] = [
    "",
    "agent",
    "agent add",
    "agent check",
    "agent list",
    "agent logs",
    "agent remove",
    "agent restart",
    "agent show",
    "completions",
    "connect",
    "cp",
    "delete",
    "doctor",
    "exec",
    "list",
    "logs",
    "man",
    "port",
    "port add",
    "port list",
    "port remove",
    "security",
    "security allow",
    "security approve",
    "security deny",
    "security level",
    "security log",
    "security pending",
    "security status",
    "shell",
    "snapshot",
    "snapshot create",
    "snapshot delete",
    "snapshot list",
    "snapshot restore",
    "ssh-config",
    "start",
    "status",
    "stop",
    "sync",
    "update",
    "version",
];

/// The file name of a page, such as `polis-agent-add.1`.
pub fn file(words: &str) -> String {
    let separator = if words.is_empty() { "" } else { "-" };
    format!("polis{separator}{}.1", words.replace(' ', "-"))
}
