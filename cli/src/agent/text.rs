//! The values of a manifest, valid once constructed. They end up in a systemd unit, a Compose file and files that a script
//! reads line by line, so none contains a control character, and paths contain only plain characters.

use serde::Deserialize;

/// The maximum length of a command and of a variable's value.
const MOST_CHARACTERS: usize = 4096;

/// A type for a text that has passed `check`.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident($inner:ty), $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        pub(crate) struct $name(pub(crate) $inner);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                $check(text).map(Self)
            }
        }
    };
}

checked! {
    /// The name of an agent or a volume, used in names of files, units and volumes.
    Name(String), name
}
checked! {
    /// One line of text.
    Line(String), line
}
checked! {
    /// The value of an environment variable; may be empty.
    Value(String), value
}
checked! {
    /// A command line, split into words as by a shell; the first is the program's path.
    Command(Vec<String>), command
}
checked! {
    /// An absolute path in the workspace.
    Place(String), place
}
checked! {
    /// A path below the agent's own directory.
    Inside(String), inside
}
checked! {
    /// The mount point of a volume, below `/home/polis`.
    Volume(String), volume
}
checked! {
    /// The name of an environment variable.
    Key(String), key
}
checked! {
    /// A user of the workspace.
    Account(String), account
}
checked! {
    /// A length of time in seconds.
    Seconds(u32), seconds
}
checked! {
    /// An amount of memory in MiB.
    Memory(u32), memory
}
checked! {
    /// A share of the processor in percent.
    Percent(u32), percent
}

/// A port that needs no privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "u16")]
pub(crate) struct Port(pub(crate) u16);

impl TryFrom<u16> for Port {
    type Error = String;

    fn try_from(port: u16) -> Result<Self, String> {
        match port {
            1024.. => Ok(Self(port)),
            _ => Err(format!("invalid port {port}: expected 1024 to 65535")),
        }
    }
}

impl Default for Account {
    /// The agent's user in the workspace's image.
    fn default() -> Self {
        Self("polis".to_owned())
    }
}

impl Seconds {
    pub(crate) fn thirty() -> Self {
        Self(30)
    }
}

/// Names of the workspace's own units.
const TAKEN: [&str; 9] = [
    "cron",
    "containerd",
    "dbus",
    "docker",
    "getty",
    "networking",
    "ssh",
    "sshd",
    "sysbox",
];

fn name(text: String) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !first || !rest || text.len() > 40 || text.ends_with('-') {
        return Err(format!(
            "invalid name `{text}`: expected up to 40 of a-z, 0-9 and -, starting with a letter"
        ));
    }
    if TAKEN.contains(&text.as_str()) || text.starts_with("polis") || text.starts_with("systemd") {
        return Err(format!(
            "the name `{text}` is reserved for a part of the workspace"
        ));
    }
    Ok(text)
}

/// Refuses control characters, and characters that are displayed misleadingly.
fn printable(text: String, most: usize) -> Result<String, String> {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    if text.chars().any(hidden) {
        return Err("it contains a control character; expected one line of text".to_owned());
    }
    if text.chars().count() > most {
        return Err(format!("it is longer than {most} characters"));
    }
    Ok(text)
}

fn value(text: String) -> Result<String, String> {
    printable(text, MOST_CHARACTERS)
}

fn line(text: String) -> Result<String, String> {
    let text = printable(text.trim_end_matches('\n').to_owned(), 1000)?;
    match text.trim().is_empty() {
        true => Err("it is empty; expected a line of text".to_owned()),
        false => Ok(text),
    }
}

fn command(text: String) -> Result<Vec<String>, String> {
    let text = printable(text.trim_end_matches('\n').to_owned(), MOST_CHARACTERS)?;
    let words = shlex::split(&text).ok_or("it has an unclosed quotation mark")?;
    // systemd interprets a prefix of the path: `+/bin/sh` runs as root.
    match words.first() {
        Some(program) => {
            place(program.clone()).map_err(|reason| format!("the program {reason}"))?
        }
        None => return Err("it is empty; expected a program and its arguments".to_owned()),
    };
    Ok(words)
}

/// Whether a path has only plain characters: `%`, `*`, `:` and blanks are special where systemd allows no quotes.
fn plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/+@-".contains(&byte);
    let parts = text.split('/').filter(|part| !part.is_empty());
    text.len() <= 200
        && text.bytes().all(plain)
        && parts.clone().all(|part| part != "." && part != "..")
}

fn place(text: String) -> Result<String, String> {
    match plain(&text) && text.starts_with('/') && !text.contains("//") {
        true => Ok(text),
        false => Err(format!(
            "invalid path `{text}`: expected an absolute path without `..`, of letters, digits, `.`, `_`, `+`, `@` and `-`"
        )),
    }
}

fn inside(text: String) -> Result<String, String> {
    let text = text.strip_prefix("./").map_or(text.clone(), str::to_owned);
    let parts = text
        .split('/')
        .all(|part| !part.is_empty() && !part.starts_with('-'));
    match plain(&text) && parts {
        true => Ok(text),
        false => Err(format!(
            "invalid path `{text}`: expected a path below the agent's directory"
        )),
    }
}

/// Directories for the user's own credentials.
const PRIVATE: [&str; 6] = [
    ".ssh",
    ".aws",
    ".gnupg",
    ".kube",
    ".docker",
    ".config/gcloud",
];

fn volume(text: String) -> Result<String, String> {
    let path = place(text)?;
    let path = path.trim_end_matches('/');
    let below = path.strip_prefix("/home/polis/").unwrap_or_default();
    let private = |of: &str| below == of || below.starts_with(&format!("{of}/"));
    if below.is_empty() {
        return Err(format!(
            "invalid path `{path}`: expected a path below /home/polis"
        ));
    }
    if PRIVATE.iter().any(|of| private(of)) || [".config", ".local", ".cache"].contains(&below) {
        return Err(format!(
            "invalid path `{path}`: it is shared with other programs"
        ));
    }
    Ok(path.to_owned())
}

fn key(text: String) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match first && rest && text.len() <= 100 {
        true => Ok(text),
        false => Err(format!("invalid variable name `{text}`")),
    }
}

fn account(text: String) -> Result<String, String> {
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest = text
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    match first && rest && text.len() <= 31 {
        true => Ok(text),
        false => Err(format!("invalid user name `{text}`")),
    }
}

/// Splits a number from its unit.
fn measured(text: &str) -> Option<(u32, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn seconds(text: String) -> Result<u32, String> {
    let wrong =
        || format!("invalid duration `{text}`: expected 1s to 1h, such as `30s` or `2m30s`");
    let (mut rest, mut total) = (text.as_str(), 0_u32);
    while !rest.is_empty() {
        let (number, unit) = measured(rest).ok_or_else(wrong)?;
        let letters = unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit.len());
        let factor = match &unit[..letters] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => return Err(wrong()),
        };
        let more = number.checked_mul(factor).ok_or_else(wrong)?;
        total = total.checked_add(more).ok_or_else(wrong)?;
        rest = &unit[letters..];
    }
    match total {
        1..=3600 => Ok(total),
        _ => Err(wrong()),
    }
}

fn memory(text: String) -> Result<u32, String> {
    let wrong =
        || format!("invalid memory size `{text}`: expected 16M to 1024G, such as `512M` or `2G`");
    let (number, unit) = measured(&text).ok_or_else(wrong)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "m" | "mb" | "mib" => 1,
        "g" | "gb" | "gib" => 1024,
        _ => return Err(wrong()),
    };
    match number.checked_mul(factor) {
        Some(amount @ 16..=1_048_576) => Ok(amount),
        _ => Err(wrong()),
    }
}

fn percent(text: String) -> Result<u32, String> {
    match measured(&text) {
        Some((share @ 1..=10_000, "%")) => Ok(share),
        _ => Err(format!(
            "invalid share of the processor `{text}`: expected percent, such as `150%`"
        )),
    }
}
