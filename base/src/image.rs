//! Image references: `registry/repository:tag@digest`.
//!
//! The registry is required, and Docker's short forms are refused: in a file that decides what machines pull, `nginx` must not
//! silently mean `docker.io/library/nginx:latest`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// A fully qualified image reference with a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an accepted image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// It names no registry host.
    #[error("names no registry host; write it in full, as in `ghcr.io/owner/name:tag`")]
    NoRegistry,
    /// The registry is not `HOST` or `HOST:PORT`.
    #[error("`{0}` is not a registry host: expected `HOST` or `HOST:PORT`")]
    Registry(String),
    /// It has neither a tag nor a digest.
    #[error("has neither a tag nor a digest")]
    NoTag,
    /// It contains a variable (`$`), so the file alone does not determine the image.
    #[error("holds a variable; the file alone must determine the image")]
    Variable,
    /// The repository is empty or has a character outside the distribution specification's set.
    #[error("`{0}` is not a repository name")]
    Repository(String),
    /// The tag is not `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
    #[error("`{0}` is not a tag")]
    Tag(String),
    /// The text after `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl ImageRef {
    /// The registry host, with its port if given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository inside the registry, as `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// `registry/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same image and tag, pinned to `digest`.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The same image and tag without the digest.
    #[must_use]
    pub fn unpinned(&self) -> Self {
        Self {
            digest: None,
            ..self.clone()
        }
    }

    /// The same repository and digest under another tag.
    ///
    /// # Errors
    /// When `tag` is not a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ImageRefError> {
        check_tag(tag)?;
        Ok(Self {
            tag: Some(tag.to_owned()),
            ..self.clone()
        })
    }

    /// The same image in another registry, as used by a rehearsal.
    #[must_use]
    pub fn with_registry(&self, registry: &str) -> Self {
        Self {
            registry: registry.to_owned(),
            ..self.clone()
        }
    }
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, ImageRefError> {
        if text.contains('$') {
            return Err(ImageRefError::Variable);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(ImageRefError::Digest)?)),
            None => (text, None),
        };
        let (registry, path) = rest.split_once('/').ok_or(ImageRefError::NoRegistry)?;
        if !(registry.contains(['.', ':']) || registry == "localhost") {
            return Err(ImageRefError::NoRegistry);
        }
        check_registry(registry)?;
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        check_repository(repository)?;
        if let Some(tag) = tag {
            check_tag(tag)?;
        } else if digest.is_none() {
            return Err(ImageRefError::NoTag);
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// It becomes the authority of a URL, so it must not contain a user or a character that ends it.
fn check_registry(registry: &str) -> Result<(), ImageRefError> {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, port.strip_prefix(':').or(Some(""))),
            None => ("", None),
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let label = |label: &str| {
        let ends = |c: char| c.is_ascii_alphanumeric();
        label.starts_with(ends)
            && label.ends_with(ends)
            && label.chars().all(|c| ends(c) || c == '-')
    };
    let host = match registry.starts_with('[') {
        true => host.parse::<Ipv6Addr>().is_ok(),
        false => host.len() <= 253 && host.split('.').all(label),
    };
    let port = port.is_none_or(|port| {
        port.chars().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    match host && port {
        true => Ok(()),
        false => Err(ImageRefError::Registry(registry.to_owned())),
    }
}

fn check_repository(repository: &str) -> Result<(), ImageRefError> {
    let component = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
    };
    if repository.split('/').all(component) {
        Ok(())
    } else {
        Err(ImageRefError::Repository(repository.to_owned()))
    }
}

fn check_tag(tag: &str) -> Result<(), ImageRefError> {
    let ok = (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if ok {
        Ok(())
    } else {
        Err(ImageRefError::Tag(tag.to_owned()))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parsing_reverses_printing() {
        for text in [
            "ghcr.io/odralabshq/polis-gate-oss:v0.4.0".to_owned(),
            "127.0.0.1:5000/x:1".to_owned(),
            format!("ghcr.io/a/b:v1@sha256:{HEX}"),
            format!("localhost/a@sha256:{HEX}"),
        ] {
            let image: ImageRef = text.parse().expect(&text);
            assert_eq!(image.to_string(), text);
        }
    }

    #[test]
    fn a_registry_is_only_a_host_and_a_port() {
        for host in [
            "ghcr.io",
            "Registry.Example",
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "[::1]:5000",
            "a-b.c--d.example:65535",
        ] {
            let image = format!("{host}/a/b:v1").parse::<ImageRef>().expect(host);
            assert_eq!(image.registry(), host);
        }
        for host in [
            "ghcr.io?x=",
            "ghcr.io#x",
            "user:pass.word",
            "ghcr.io:",
            "ghcr.io:0",
            "ghcr.io:65536",
            "ghcr.io:+80",
            ".ghcr.io",
            "ghcr..io",
            "ghcr.io.",
            "-a.io",
            "a-.io",
            "ghcr.io\\x",
            "ghcr.io%2f",
            "ghcr .io",
            "ghcr.io\u{1b}[2J",
            "\u{430}.io",
            "[::1",
            "[x.y]",
            "::1",
        ] {
            let text = format!("{host}/a/b:v1");
            assert!(text.parse::<ImageRef>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn pinning_keeps_the_tag() {
        let image: ImageRef = "ghcr.io/a/b:v1".parse().unwrap();
        let pinned = image.pinned(Digest::of(b""));
        assert_eq!(pinned.to_string(), format!("ghcr.io/a/b:v1@sha256:{HEX}"));
        assert_eq!(pinned.unpinned(), image);
    }

    #[test]
    fn refuses_references_that_do_not_determine_the_image() {
        for (text, message) in [
            (
                "nginx",
                "names no registry host; write it in full, as in `ghcr.io/owner/name:tag`",
            ),
            (
                "library/nginx:1",
                "names no registry host; write it in full, as in `ghcr.io/owner/name:tag`",
            ),
            ("ghcr.io/a/b", "has neither a tag nor a digest"),
            (
                "ghcr.io?x=/a/b:v1",
                "`ghcr.io?x=` is not a registry host: expected `HOST` or `HOST:PORT`",
            ),
            (
                "ghcr.io:99999/a/b:v1",
                "`ghcr.io:99999` is not a registry host: expected `HOST` or `HOST:PORT`",
            ),
            (
                "ghcr.io/a/b:${V}",
                "holds a variable; the file alone must determine the image",
            ),
            ("ghcr.io/A/b:1", "`A/b` is not a repository name"),
            ("ghcr.io/a//b:1", "`a//b` is not a repository name"),
            ("ghcr.io/a/b:.1", "`.1` is not a tag"),
            (
                "ghcr.io/a/b:1@sha256:00",
                "a SHA-256 has 64 hex digits, this one has 2",
            ),
        ] {
            let error = text.parse::<ImageRef>().expect_err(text);
            assert_eq!(error.to_string(), message, "{text}");
        }
    }
}
