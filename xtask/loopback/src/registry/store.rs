//! The registry's content as plain files:
//!
//! ```text
//! blobs/sha256/HEX                            configurations and layers, shared by all repositories
//! repositories/NAME/_manifests/HEX            a manifest or an index
//! repositories/NAME/_manifests/HEX.type       its media type
//! repositories/NAME/_tags/TAG                 the digest that the tag names
//! uploads/ID                                  unfinished blobs
//! ```
//!
//! No component of a repository name starts with `_`, so names cannot collide with these directories.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use polis_base::{Digest, ImageRef};
use serde_json::Value;

use super::refusal::Refusal;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The files under one root.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
    next: AtomicU64,
}

/// The name of a repository, checked so that it cannot lead out of the root.
#[derive(Debug, Clone)]
pub(super) struct Name(String);

/// How a request names a manifest.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Its digest.
    Digest(Digest),
    /// A tag.
    Tag(String),
}

/// A stored manifest.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: String,
    pub(super) digest: Digest,
}

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        // The project's reference type knows valid repository names.
        match format!("localhost/{text}:x").parse::<ImageRef>() {
            Ok(image) if image.repository() == text => Ok(Self(text.to_owned())),
            _ => Err(Refusal::name_invalid(text)),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.contains(':') {
            return digest(text).map(Self::Digest);
        }
        match format!("localhost/x:{text}").parse::<ImageRef>() {
            Ok(image) if image.tag() == Some(text) => Ok(Self::Tag(text.to_owned())),
            _ => Err(Refusal::tag_invalid(text)),
        }
    }
}

/// Parses a digest from a request.
pub(super) fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse()
        .map_err(|error| Refusal::digest_invalid(format!("`{text}`: {error}")))
}

impl Store {
    /// The store in `root`, which is created if it does not exist.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        for dir in ["blobs/sha256", "repositories", "uploads"] {
            fs::create_dir_all(root.join(dir))?;
        }
        Ok(Self {
            root: root.to_owned(),
            next: AtomicU64::new(0),
        })
    }

    /// The file of a blob, and whether it exists.
    pub(super) fn blob(&self, digest: &Digest) -> Result<PathBuf, Refusal> {
        let path = self.blob_path(digest);
        if path.is_file() {
            Ok(path)
        } else {
            Err(Refusal::blob_unknown(digest))
        }
    }

    pub(super) fn delete_blob(&self, digest: &Digest) -> Result<(), Refusal> {
        Ok(fs::remove_file(self.blob(digest)?)?)
    }

    /// Begins an upload and returns its name.
    pub(super) fn begin(&self) -> Result<String, Refusal> {
        let process = std::process::id();
        loop {
            let id = format!(
                "{process:08x}{:08x}",
                self.next.fetch_add(1, Ordering::Relaxed)
            );
            let path = self.root.join("uploads").join(&id);
            match OpenOptions::new().write(true).create_new(true).open(path) {
                Ok(_) => return Ok(id),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The file of an upload, opened to append, and its size.
    pub(super) fn upload(&self, id: &str) -> Result<(File, u64), Refusal> {
        let path = self.upload_path(id)?;
        let file = OpenOptions::new().append(true).open(path)?;
        let held = file.metadata()?.len();
        Ok((file, held))
    }

    pub(super) fn cancel(&self, id: &str) -> Result<(), Refusal> {
        Ok(fs::remove_file(self.upload_path(id)?)?)
    }

    /// Turns an upload into a blob if it has the digest `expected`, and deletes it otherwise.
    pub(super) fn finish(&self, id: &str, expected: &Digest) -> Result<(), Refusal> {
        let path = self.upload_path(id)?;
        let actual = Digest::of_reader(File::open(&path)?)?;
        if actual != *expected {
            fs::remove_file(path)?;
            let message = format!("expected {expected}, the bytes are {actual}");
            return Err(Refusal::digest_invalid(message));
        }
        Ok(fs::rename(path, self.blob_path(expected))?)
    }

    /// Looks up a manifest.
    pub(super) fn manifest(&self, name: &Name, target: &Target) -> Result<Stored, Refusal> {
        let digest = match target {
            Target::Digest(digest) => *digest,
            Target::Tag(tag) => {
                let path = self.repository(name).join("_tags").join(tag);
                let unknown = || Refusal::manifest_unknown(format!("{}:{tag}", name.0));
                let text = read(&path, unknown)?;
                digest(String::from_utf8_lossy(&text).trim())?
            }
        };
        let unknown = || Refusal::manifest_unknown(format!("{}@{digest}", name.0));
        let path = self.manifest_path(name, &digest);
        let bytes = read(&path, unknown)?;
        let media_type = fs::read_to_string(path.with_extension("type"))?;
        Ok(Stored {
            bytes,
            media_type,
            digest,
        })
    }

    /// Stores a manifest once everything that it references exists.
    pub(super) fn put_manifest(
        &self,
        name: &Name,
        target: &Target,
        declared: &str,
        bytes: &[u8],
    ) -> Result<Digest, Refusal> {
        let actual = Digest::of(bytes);
        if let Target::Digest(expected) = target
            && *expected != actual
        {
            let message = format!("expected {expected}, the bytes are {actual}");
            return Err(Refusal::digest_invalid(message));
        }
        let json: Value = serde_json::from_slice(bytes).map_err(Refusal::manifest_invalid)?;
        let media_type = media_type(&json)?;
        if declared != media_type {
            let message = format!("sent as `{declared}`, but it is `{media_type}`");
            return Err(Refusal::manifest_invalid(message));
        }
        self.complete(name, &json)?;
        let path = self.manifest_path(name, &actual);
        self.write(&path.with_extension("type"), media_type.as_bytes())?;
        self.write(&path, bytes)?;
        if let Target::Tag(tag) = target {
            let path = self.repository(name).join("_tags").join(tag);
            self.write(&path, actual.to_string().as_bytes())?;
        }
        Ok(actual)
    }

    /// Refuses a manifest with missing references.
    fn complete(&self, name: &Name, json: &Value) -> Result<(), Refusal> {
        let list = |key: &str| json[key].as_array().cloned().unwrap_or_default();
        let named = |descriptor: &Value| -> Result<Digest, Refusal> {
            match descriptor["digest"].as_str() {
                Some(text) => digest(text),
                None => Err(Refusal::manifest_invalid("a descriptor without a digest")),
            }
        };
        let config = json.get("config").cloned();
        for descriptor in config.into_iter().chain(list("layers")) {
            let digest = named(&descriptor)?;
            // Layers with external URLs are not stored in registries.
            if descriptor.get("urls").is_none() && !self.blob_path(&digest).is_file() {
                return Err(Refusal::manifest_blob_unknown(digest));
            }
        }
        for descriptor in list("manifests") {
            let digest = named(&descriptor)?;
            if !self.manifest_path(name, &digest).is_file() {
                return Err(Refusal::manifest_blob_unknown(digest));
            }
        }
        Ok(())
    }

    /// Deletes a tag, or a manifest and the tags that name it.
    pub(super) fn delete_manifest(&self, name: &Name, target: &Target) -> Result<(), Refusal> {
        let stored = self.manifest(name, target)?;
        let tags = self.repository(name).join("_tags");
        if let Target::Tag(tag) = target {
            return Ok(fs::remove_file(tags.join(tag))?);
        }
        for tag in self.tags(name)? {
            let path = tags.join(tag);
            if fs::read_to_string(&path)? == stored.digest.to_string() {
                fs::remove_file(path)?;
            }
        }
        let path = self.manifest_path(name, &stored.digest);
        fs::remove_file(path.with_extension("type"))?;
        Ok(fs::remove_file(path)?)
    }

    /// The tags of a repository, sorted.
    pub(super) fn tags(&self, name: &Name) -> Result<Vec<String>, Refusal> {
        let repository = self.repository(name);
        if !repository.join("_manifests").is_dir() {
            return Err(Refusal::name_unknown(&name.0));
        }
        let mut tags = Vec::new();
        match fs::read_dir(repository.join("_tags")) {
            Ok(entries) => {
                for entry in entries {
                    tags.push(entry?.file_name().to_string_lossy().into_owned());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        tags.sort_unstable();
        Ok(tags)
    }

    fn repository(&self, name: &Name) -> PathBuf {
        self.root.join("repositories").join(&name.0)
    }

    fn manifest_path(&self, name: &Name, digest: &Digest) -> PathBuf {
        self.repository(name).join("_manifests").join(digest.hex())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    fn upload_path(&self, id: &str) -> Result<PathBuf, Refusal> {
        let path = self.root.join("uploads").join(id);
        let plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit());
        if plain && path.is_file() {
            Ok(path)
        } else {
            Err(Refusal::upload_unknown(id))
        }
    }

    /// Writes a temporary file and renames it, so that no reader sees a partial file.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut file = tempfile::NamedTempFile::new_in(self.root.join("uploads"))?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    }
}

fn read(path: &Path, unknown: impl FnOnce() -> Refusal) -> Result<Vec<u8>, Refusal> {
    fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unknown(),
        _ => error.into(),
    })
}

/// The media type of a manifest or an index; the OCI specification makes the field optional.
fn media_type(json: &Value) -> Result<&str, Refusal> {
    if json["schemaVersion"] != 2 {
        return Err(Refusal::manifest_invalid("`schemaVersion` is not 2"));
    }
    match (&json["mediaType"], &json["manifests"], &json["config"]) {
        (Value::String(media_type), ..) => Ok(media_type),
        (Value::Null, Value::Array(_), Value::Null) => Ok(OCI_INDEX),
        (Value::Null, Value::Null, Value::Object(_)) => Ok(OCI_MANIFEST),
        _ => Err(Refusal::manifest_invalid(
            "neither of an image nor of an index",
        )),
    }
}
