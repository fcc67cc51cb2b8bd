//! Facts about the CLI inside the program itself, as one line of JSON between two fixed marks, so that a release can be checked
//! without running a program of another platform.
//!
//! The idea comes from cargo-auditable, without its linker section: marks work in any object format. Only the build script
//! writes them; a program that searched for them would contain each twice.

use crate::Digest;

/// Precedes the JSON in a program.
const BEGIN: &str = "\npolis-facts-begin:";
/// Follows the JSON.
const END: &str = ":polis-facts-end\n";
/// The maximum length of the JSON; limits the search for the second mark.
const LONGEST: usize = 1024;

/// Replaces the key in a program that was built without one. It is as long as a key, so that the tests of `polis update` can patch
/// one in.
pub const NO_KEY: &str = "--------------------------------------------------------";

/// The key in `file`, a minisign public key file: its second line.
pub fn key(file: &str) -> Option<&str> {
    file.lines().nth(1).filter(|key| is_key(key))
}

/// Whether `key` looks like a minisign key: 42 bytes in Base64.
pub fn is_key(key: &str) -> bool {
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    key.len() == NO_KEY.len() && key.chars().all(base64)
}

/// The version of a program and the digests of its embedded files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The version with the kind of build: `0.5.0`, `0.5.0-dev`, `0.5.0-rehearsal`.
    pub label: String,
    /// The digest of the compose file in the bundle.
    pub compose: Digest,
    /// The digest of the cloud-init file.
    pub cloud_init: Digest,
    /// The digest of the bundle, a tar.
    pub bundle: Digest,
    /// The minisign key with which `polis update` verifies releases, or [`NO_KEY`].
    pub key: String,
}

/// Why a program has no readable facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// The number of marks, which is not one.
    #[error("{}", marks(*.0))]
    Marks(usize),
    /// The text between the marks was not written by [`Facts::to_json`].
    #[error("the marker of the CLI is malformed")]
    Malformed,
}

/// What is wrong with a mark that occurs `count` times.
fn marks(count: usize) -> String {
    match count {
        0 => "it does not carry the marker of the CLI".to_owned(),
        _ => format!("it carries the marker of the CLI {count} times"),
    }
}

impl Facts {
    /// One line of JSON; the order of the fields is fixed.
    pub fn to_json(&self) -> String {
        let fields = self
            .fields()
            .map(|(name, value)| format!("\"{name}\":\"{value}\""));
        format!("{{{}}}", fields.join(","))
    }

    /// The fields as text, in order.
    pub fn fields(&self) -> [(&'static str, String); 5] {
        [
            ("label", self.label.clone()),
            ("compose", self.compose.to_string()),
            ("cloud_init", self.cloud_init.to_string()),
            ("bundle", self.bundle.to_string()),
            ("key", self.key.clone()),
        ]
    }

    /// The JSON between its marks, for the build script that embeds it.
    ///
    /// # Errors
    /// When the label or the key has a character that would need escaping.
    pub fn to_marked(&self) -> Result<String, FactsError> {
        let marked = format!("{BEGIN}{}{END}", self.to_json());
        match Self::find(marked.as_bytes())? == *self {
            true => Ok(marked),
            false => Err(FactsError::Malformed),
        }
    }

    /// Parses exactly the output of [`Self::to_json`].
    ///
    /// # Errors
    /// For anything else, even equivalent JSON.
    pub fn from_json(text: &str) -> Result<Self, FactsError> {
        let parts: Vec<&str> = text.split('"').collect();
        let value = |field: usize| parts.get(field * 4 + 3).copied().unwrap_or_default();
        let digest = |field| value(field).parse().map_err(|_| FactsError::Malformed);
        let facts = Self {
            label: value(0).to_owned(),
            compose: digest(1)?,
            cloud_init: digest(2)?,
            bundle: digest(3)?,
            key: value(4).to_owned(),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let known = !facts.label.is_empty() && facts.label.chars().all(plain);
        match known && facts.to_json() == text {
            true => Ok(facts),
            false => Err(FactsError::Malformed),
        }
    }

    /// Reads the facts of a program of any platform.
    ///
    /// # Errors
    /// When the marks do not occur exactly once, or enclose something else.
    pub fn find(program: &[u8]) -> Result<Self, FactsError> {
        let mut found = program
            .windows(BEGIN.len())
            .enumerate()
            .filter(|(_, window)| *window == BEGIN.as_bytes())
            .map(|(at, _)| at + BEGIN.len());
        let start = match (found.next(), found.count()) {
            (None, _) => return Err(FactsError::Marks(0)),
            (Some(start), 0) => start,
            (Some(_), more) => return Err(FactsError::Marks(more + 1)),
        };
        let rest = &program[start..program.len().min(start + LONGEST)];
        let end = rest
            .windows(END.len())
            .position(|window| window == END.as_bytes())
            .ok_or(FactsError::Malformed)?;
        let json = std::str::from_utf8(&rest[..end]).map_err(|_| FactsError::Malformed)?;
        Self::from_json(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            label: "1.2.3-rc.1+x".to_owned(),
            compose: Digest::of(b"compose"),
            cloud_init: Digest::of(b"cloud-init"),
            bundle: Digest::of(b"bundle"),
            key: NO_KEY.to_owned(),
        }
    }

    #[test]
    fn facts_are_found_between_other_bytes() {
        let marked = facts().to_marked().unwrap();
        let program = [
            &b"\x7fELF\0\0polis-facts-end"[..],
            marked.as_bytes(),
            &[0; 99],
        ]
        .concat();
        assert_eq!(Facts::find(&program), Ok(facts()));
        assert_eq!(Facts::find(b"\x7fELF"), Err(FactsError::Marks(0)));
        let twice = [&program[..], &program[..]].concat();
        assert_eq!(Facts::find(&twice), Err(FactsError::Marks(2)));
        let cut = &program[..program.len() - 110];
        assert_eq!(Facts::find(cut), Err(FactsError::Malformed));
    }

    #[test]
    fn a_key_is_the_second_line_of_its_file() {
        let key_text = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        let file = format!("untrusted comment: minisign public key\n{key_text}\n");
        assert_eq!(key(&file), Some(key_text));
        let quoted = file.replace("RWQf", "RW\"f");
        for other in ["", "one line", key_text, &file[..file.len() - 2], &quoted] {
            assert_eq!(key(other), None, "{other}");
        }
    }

    #[test]
    fn only_its_own_output_is_accepted() {
        let json = facts().to_json();
        assert_eq!(Facts::from_json(&json), Ok(facts()));
        for other in [
            json.replace("\":\"", "\": \""),
            json.replace("label", "name"),
            json.replace("1.2.3", ""),
            json.replacen("sha256:", "sha512:", 1),
            json.replace('}', ",\"more\":\"x\"}"),
            String::new(),
        ] {
            let read = Facts::from_json(&other);
            assert!(read.is_err() || other.contains("-rc.1"), "{other}");
            assert!(read.is_err() || read != Ok(facts()), "{other}");
        }
        let strange = Facts {
            label: "a\"b".to_owned(),
            ..facts()
        };
        assert_eq!(strange.to_marked(), Err(FactsError::Malformed));
    }
}
