//! Whether a source of `ADD` is a URL, after expanding the variables of the Dockerfile.

use std::collections::BTreeMap;

/// Variables that BuildKit sets. They hold names of platforms, not URLs.
const PLATFORM: [&str; 8] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
];
/// The limit of expansions for one word. A word with more counts as a URL.
const MOST: usize = 64;

/// All values that variables have anywhere in a Dockerfile.
#[derive(Debug, Default)]
pub(super) struct Values(BTreeMap<String, Vec<String>>);

impl Values {
    /// Adds a value of `name`.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.0
            .entry(name.to_owned())
            .or_default()
            .push(value.to_owned());
    }

    /// Whether `word` is or may become a URL. An unknown variable may have any value, and so may one that is
    /// `set_elsewhere`.
    pub(super) fn may_be_remote(&self, word: &str, set_elsewhere: impl Fn(&str) -> bool) -> bool {
        let mut texts = vec![String::new()];
        let mut rest = word;
        while let Some(at) = rest.find('$') {
            let fixed = &rest[..at];
            texts.iter_mut().for_each(|text| text.push_str(fixed));
            // After the first `/` of a path, no URL can begin.
            if texts.iter().all(|text| text.contains('/')) {
                break;
            }
            let (name, default, after) = variable(&rest[at + 1..]);
            let mut values: Vec<&str> = self
                .0
                .get(name)
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect();
            values.extend(default);
            if PLATFORM.contains(&name) {
                values.push("platform");
            }
            let unknown = values.is_empty() || values.iter().any(|value| value.contains('$'));
            if unknown || set_elsewhere(name) || texts.len() * values.len() > MOST {
                return true;
            }
            let with = |text: &String| {
                values
                    .iter()
                    .map(move |value| format!("{text}{value}"))
                    .collect::<Vec<_>>()
            };
            texts = texts.iter().flat_map(with).collect();
            rest = after;
        }
        texts.iter().any(|text| is_remote(&format!("{text}{rest}")))
    }
}

/// The name after a `$`, its default, and the text after it.
fn variable(text: &str) -> (&str, Option<&str>, &str) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (inside, after) = match text.strip_prefix('{') {
        Some(inside) => inside.split_once('}').unwrap_or((inside, "")),
        None => text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len())),
    };
    let (name, rest) = inside.split_at(inside.find(|c| !is_name(c)).unwrap_or(inside.len()));
    match rest.strip_prefix(":-").or(rest.strip_prefix('-')) {
        Some(default) => (name, Some(default), after),
        None if rest.is_empty() => (name, None, after),
        // Pattern substitution is not supported.
        None => ("", None, after),
    }
}

/// Whether `text` is a URL, `user@host:path` or BuildKit's short form of GitHub.
pub(super) fn is_remote(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let scp = text.split_once('@').is_some_and(|(user, host)| {
        !user.contains(['/', ':'])
            && host
                .split('/')
                .next()
                .is_some_and(|host| host.contains(':'))
    });
    text.contains("://") || text.starts_with("github.com/") || scp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_and_unknown_ones_suspected() {
        let mut values = Values::default();
        for (name, value) in [
            ("U", "https://a/b"),
            ("D", "dir"),
            ("D", "other"),
            ("R", "$D"),
        ] {
            values.add(name, value);
        }
        for (word, remote) in [
            ("a", false),
            ("$U", true),
            ("${U}", true),
            ("$D/x", false),
            ("$D", false),
            ("$E", true),
            ("./$E", false),
            ("/a$E", false),
            ("$R", true),
            ("${X:-dir}", false),
            ("${X:-https://a}/b", true),
            ("${U%x}", true),
            ("root-${TARGETARCH}.tar", false),
            ("https://$E/a", true),
            ("x@host:p", true),
            ("x@host", false),
            ("$SET", true),
        ] {
            assert_eq!(
                values.may_be_remote(word, |name| name == "SET"),
                remote,
                "{word}"
            );
        }
    }
}
