//! The document under test: ours, with the pins of the stand-ins, and with shorter limits for a run that must fail, so that tests
//! do not wait ten minutes for a deadline.

use crate::Result;

/// The pins of the stand-ins, by the names that `pins.env` has for them.
pub type Pins = Vec<(String, String)>;

/// The shorter limits, in the single line of the script that defines them.
const LIMITS: (&str, &str) = (
    "readonly DOWNLOAD_LIMIT=600 LOCK_LIMIT=100 DAEMON_LIMIT=120 RETRY_PAUSE=5",
    "readonly DOWNLOAD_LIMIT=20 LOCK_LIMIT=2 DAEMON_LIMIT=10 RETRY_PAUSE=1",
);

/// Docker's default number of open files, and the number that a container can give to a nested one.
const FILES: (&str, &str) = (
    r#""Soft": 65536, "Hard": 65536"#,
    r#""Soft": 16384, "Hard": 16384"#,
);

/// Returns `text` with other values for `pins`, and with Docker's limit of open files lowered to what a container can give. Keeps the
/// URLs: the names of the real hosts resolve to the stand-ins.
///
/// # Errors
/// When a name, or the limit of open files, does not occur exactly once.
pub fn with_pins(text: &str, pins: &Pins) -> Result<String> {
    let mut text = text.to_owned();
    for (name, value) in pins {
        let start = format!("      {name}=");
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with(&start))
            .collect();
        let &[line] = lines.as_slice() else {
            return Err(format!("{name} occurs {} times", lines.len()));
        };
        text = text.replace(&format!("{line}\n"), &format!("{start}{value}\n"));
    }
    if text.matches(FILES.0).count() != 1 {
        return Err(format!("`{}` does not occur exactly once", FILES.0));
    }
    Ok(text.replace(FILES.0, FILES.1))
}

/// The value of a pin in the document.
///
/// # Errors
/// When it is missing.
pub fn pin(text: &str, name: &str) -> Result<String> {
    let start = format!("      {name}=");
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value
        .map(str::to_owned)
        .ok_or_else(|| format!("the document does not pin {name}"))
}

/// The tools that the document pins: `yq` for `YQ_URL_AMD64`.
pub fn tools(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| line.trim().split_once('='));
    let tools = names.filter_map(|(name, _)| name.strip_suffix("_URL_AMD64"));
    tools.map(str::to_ascii_lowercase).collect()
}

/// The words of the script's list `name`.
///
/// # Errors
/// When it is missing.
pub fn list<'a>(text: &'a str, name: &str) -> Result<Vec<&'a str>> {
    let list = text.split_once(&format!("readonly {name}=("));
    let list = list.and_then(|(_, rest)| rest.split_once(')'));
    let (list, _) = list.ok_or_else(|| format!("the script has no list {name}"))?;
    Ok(list.split_whitespace().collect())
}

/// Returns `text` with these limits, in seconds.
///
/// # Errors
/// When the line with the limits has changed.
pub fn with_short_limits(text: &str) -> Result<String> {
    let (from, to) = LIMITS;
    if text.matches(from).count() != 1 {
        return Err(format!("`{from}` does not occur exactly once"));
    }
    Ok(text.replace(from, to))
}

/// The names below `packages:`.
pub fn packages(text: &str) -> Vec<String> {
    text.lines()
        .skip_while(|line| *line != "packages:")
        .skip(1)
        .map_while(|line| line.strip_prefix("  - "))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "packages:\n  - jq\n  - curl\n\nwrite_files:\n  - path: /p\n    content: |\n      A=1\n      AB=2\n        \"Soft\": 65536, \"Hard\": 65536\n";

    #[test]
    fn only_the_given_pins_change() {
        let changed = with_pins(TEXT, &vec![("A".to_owned(), "3".to_owned())]);
        let wanted = TEXT.replace("A=1", "A=3").replace(FILES.0, FILES.1);
        assert_eq!(changed, Ok(wanted));
        assert!(with_pins(&TEXT.replace("Soft", "soft"), &Vec::new()).is_err());
    }

    #[test]
    fn a_pin_that_does_not_occur_exactly_once_is_an_error() {
        assert!(with_pins(TEXT, &vec![("B".to_owned(), String::new())]).is_err());
        let twice = format!("{TEXT}      A=1\n");
        assert!(with_pins(&twice, &vec![("A".to_owned(), String::new())]).is_err());
    }

    #[test]
    fn missing_limits_are_an_error() {
        assert!(with_short_limits(TEXT).is_err());
    }

    #[test]
    fn packages_are_those_of_the_list() {
        assert_eq!(packages(TEXT), ["jq", "curl"]);
    }
}
