//! Decides how to build a Dockerfile.
//!
//! A `FROM scratch` image that only copies files needs no engine: its layer is a tar and its configuration is JSON. All
//! others are built by `docker buildx build`.

use std::collections::BTreeMap;

use serde::Deserialize;

use xtask_host::source::{Place, Source};

pub mod reader;

use reader::Instruction;

/// How an image is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// Without Docker.
    Native(Native),
    /// By Docker; holds the first instruction that needs it.
    Docker(String),
}

/// A `FROM scratch` image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Native {
    /// The copied files, in order.
    pub copies: Vec<Copy>,
    /// `ENTRYPOINT`, exec form.
    pub entrypoint: Vec<String>,
    /// `CMD`, exec form.
    pub cmd: Vec<String>,
    /// `LABEL`s.
    pub labels: BTreeMap<String, String>,
    /// `USER`.
    pub user: Option<String>,
}

/// A `COPY` of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Path in the build context; may hold `${TARGETARCH}`.
    pub source: String,
    /// Absolute path in the image.
    pub target: String,
    /// Its mode in the image.
    pub mode: u32,
}

/// Why a Dockerfile is refused.
#[derive(Debug)]
pub struct DockerfileError {
    /// The place.
    pub place: Place,
    /// The problem and the expectation.
    pub message: String,
}

/// Reads a Dockerfile.
///
/// # Errors
/// If it has no `FROM`, or when a `FROM scratch` image copies without `--chmod`: then the mode would depend on the
/// machine.
pub fn parse(source: &Source) -> Result<Recipe, DockerfileError> {
    let mut native = Native::default();
    let mut from = None;
    let dockerfile = reader::read(&source.text);
    for line in &dockerfile.instructions {
        let failed = |message: &str| DockerfileError {
            place: source.place(line.start..line.start + line.keyword.len()),
            message: message.to_owned(),
        };
        let rest = line.rest.text();
        let plain = line.flags.is_empty() || line.keyword == "COPY";
        let understood = match line.keyword.as_str() {
            _ if !plain || !line.documents.is_empty() => false,
            "FROM" if from.is_some() => false,
            "FROM" => {
                from = Some(rest.to_owned());
                rest == "scratch"
            }
            "ARG" => matches!(rest, "TARGETARCH" | "TARGETOS" | "TARGETPLATFORM"),
            "COPY" => match copy(line).map_err(failed)? {
                Some(copy) => {
                    native.copies.push(copy);
                    true
                }
                None => false,
            },
            "ENTRYPOINT" => exec_form(rest).is_some_and(|words| {
                native.entrypoint = words;
                true
            }),
            "CMD" => exec_form(rest).is_some_and(|words| {
                native.cmd = words;
                true
            }),
            "LABEL" => labels(rest).is_some_and(|more| {
                native.labels.extend(more);
                true
            }),
            "USER" => {
                native.user = Some(rest.to_owned());
                !rest.is_empty()
            }
            _ => false,
        };
        if !understood {
            return Ok(Recipe::Docker(format!("{} {rest}", line.keyword)));
        }
    }
    // Another frontend may have other instructions.
    if let Some(syntax) = dockerfile.syntax {
        return Ok(Recipe::Docker(format!("# syntax={}", &source.text[syntax])));
    }
    match from {
        Some(_) => Ok(Recipe::Native(native)),
        None => Err(DockerfileError {
            place: source.place(0..0),
            message: "the Dockerfile has no `FROM`".to_owned(),
        }),
    }
}

fn copy(line: &Instruction) -> Result<Option<Copy>, &'static str> {
    let words = line.rest.words();
    let [source, target] = words.as_slice() else {
        return Ok(None);
    };
    let (source, target) = (source.text(), target.text());
    let [flag] = line.flags.as_slice() else {
        return if line.flags.is_empty() {
            Err("add `--chmod`: without it the mode depends on the machine that builds")
        } else {
            Ok(None)
        };
    };
    let mode = Some(flag.value.text()).filter(|_| flag.name == "chmod");
    let mode = mode.and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let plain = target.starts_with('/') && !target.ends_with('/') && !source.contains('*');
    Ok(mode.filter(|_| plain).map(|mode| Copy {
        source: source.to_owned(),
        target: target.to_owned(),
        mode,
    }))
}

fn exec_form(rest: &str) -> Option<Vec<String>> {
    serde_json::from_str(rest).ok()
}

/// `key="value" key=value ...`, quoted the way JSON quotes.
fn labels(rest: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let mut rest = rest.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = if after.starts_with('"') {
            let mut stream = serde_json::Deserializer::from_str(after);
            let value = String::deserialize(&mut stream).ok()?;
            (value, &after[closing_quote(after)? + 1..])
        } else {
            let end = after.find(' ').unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        labels.insert(key.to_owned(), value);
        rest = after.trim_start();
    }
    Some(labels)
}

/// The offset of the quote that closes the one at the start.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| match c {
        _ if escaped => {
            escaped = false;
            None
        }
        '\\' => {
            escaped = true;
            None
        }
        '"' => Some(at),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(text: &str) -> Result<Recipe, DockerfileError> {
        parse(&Source {
            path: "Dockerfile".to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn a_scratch_image_is_native() {
        let text = "# why\nFROM scratch\nARG TARGETARCH\nLABEL a=\"x \\\"y\\\"\" \\\n      b=z\nCOPY --chmod=0755 bin/${TARGETARCH}/p /p\nUSER 1:1\nENTRYPOINT [\"/p\"]\nCMD [\"--help\"]\n";
        let Recipe::Native(native) = recipe(text).unwrap() else {
            panic!("native")
        };
        assert_eq!(native.copies[0].mode, 0o755);
        assert_eq!(native.labels["a"], "x \"y\"");
        assert_eq!(native.labels["b"], "z");
        assert_eq!(native.entrypoint, ["/p"]);
        assert_eq!(native.user.as_deref(), Some("1:1"));
    }

    #[test]
    fn everything_else_needs_docker() {
        for text in [
            "FROM debian:12\n",
            "FROM scratch AS x\n",
            "FROM scratch\nRUN true\n",
            "FROM scratch\nCOPY --from=x --chmod=0755 /a /b\n",
            "FROM scratch\nCOPY --chmod=0755 a b c /d/\n",
            "FROM scratch\nENTRYPOINT /p\n",
        ] {
            assert!(matches!(recipe(text).unwrap(), Recipe::Docker(_)), "{text}");
        }
    }

    #[test]
    fn a_copy_without_a_mode_is_refused() {
        let error = recipe("FROM scratch\nCOPY a /a\n").expect_err("no mode");
        assert_eq!(error.place.line, 2);
        assert!(error.message.contains("--chmod"));
        assert!(
            recipe("# empty\n")
                .expect_err("no FROM")
                .message
                .contains("no `FROM`")
        );
    }
}
