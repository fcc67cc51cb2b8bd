//! Images made entry by entry, and pushed to Docker's registry by plain HTTP, so that none of our clients checks them
//! first.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use polis_base::Digest;
use reqwest::Client;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};
use xtask_online::registry::media;

use crate::support::{command, external_tool};

/// The user of the images.
pub(super) const UID: u64 = 65532;

/// One entry of a layer.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Dir(u32, u64),
    File(u32, u64, Vec<u8>),
    Link(&'static str),
    Symlink(&'static str),
}

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    Plain,
    Gzip,
    Zstd,
    /// Two gzip members, one after the other.
    Twice,
}

/// One layer.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) entries: Vec<(&'static str, Entry)>,
    pub(super) packed: Packed,
    /// Its media type, if it must not match `packed`.
    pub(super) called: Option<&'static str>,
    /// Its bytes, if not a tar of the entries.
    pub(super) bytes: Option<Vec<u8>>,
}

/// An image to push.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) layers: Vec<Layer>,
    pub(super) config: Value,
    /// The platform in the index; `None` to push no index.
    pub(super) index: Option<(&'static str, &'static str)>,
    /// Changes the manifest before it is pushed.
    pub(super) manifest: fn(&mut Value),
}

/// The digests of a pushed image.
#[derive(Debug, Clone)]
pub(super) struct Pushed {
    pub(super) root: Digest,
    pub(super) manifest: Digest,
    pub(super) config: Digest,
    pub(super) layers: Vec<Digest>,
}

pub(super) fn program() -> Entry {
    Entry::File(0o755, 0, b"#!\n".to_vec())
}

pub(super) fn text(text: &str) -> Entry {
    Entry::File(0o644, 0, text.as_bytes().to_vec())
}

impl Layer {
    pub(super) fn of(entries: Vec<(&'static str, Entry)>) -> Self {
        Self {
            entries,
            packed: Packed::Gzip,
            called: None,
            bytes: None,
        }
    }

    fn tar(&self) -> Vec<u8> {
        if let Some(bytes) = &self.bytes {
            return bytes.clone();
        }
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let mut header = Header::new_gnu();
            let (kind, mode, uid, bytes) = match entry {
                Entry::Dir(mode, uid) => (EntryType::Directory, *mode, *uid, &[][..]),
                Entry::File(mode, uid, bytes) => {
                    (EntryType::Regular, *mode, *uid, bytes.as_slice())
                }
                Entry::Link(_) => (EntryType::Link, 0o644, 0, &[][..]),
                Entry::Symlink(_) => (EntryType::Symlink, 0o777, 0, &[][..]),
            };
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(uid);
            header.set_gid(uid);
            header.set_mtime(0);
            header.set_size(bytes.len() as u64);
            match entry {
                Entry::Link(target) | Entry::Symlink(target) => {
                    builder.append_link(&mut header, path, target).unwrap();
                }
                // The library rejects `..`, rightly, so write the name directly.
                _ if path.contains("..") && !path.contains(".wh.") => {
                    header.as_gnu_mut().unwrap().name[..path.len()]
                        .copy_from_slice(path.as_bytes());
                    header.set_cksum();
                    builder.append(&header, bytes).unwrap();
                }
                _ => builder.append_data(&mut header, path, bytes).unwrap(),
            }
        }
        builder.into_inner().unwrap()
    }

    fn pack(&self, tar: &[u8]) -> (&'static str, Vec<u8>) {
        let (kind, bytes) = match self.packed {
            Packed::Plain => ("application/vnd.oci.image.layer.v1.tar", tar.to_vec()),
            Packed::Gzip => ("application/vnd.oci.image.layer.v1.tar+gzip", gzip(tar)),
            Packed::Zstd => ("application/vnd.oci.image.layer.v1.tar+zstd", zstd(tar)),
            Packed::Twice => {
                let (one, other) = tar.split_at(tar.len() / 2);
                let both = [gzip(one), gzip(other)].concat();
                ("application/vnd.docker.image.rootfs.diff.tar.gzip", both)
            }
        };
        (self.called.unwrap_or(kind), bytes)
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Two frames by the real `zstd`, as clients write that compress in chunks, and an empty frame between them.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let program = external_tool("zstd").expect("zstd");
    let pack = |bytes: &[u8]| {
        let mut command = command(&program);
        command
            .arg("-q")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let (one, other) = bytes.split_at(bytes.len() / 2);
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    [pack(one), skipped.to_vec(), pack(other)].concat()
}

/// Pushes by plain HTTP.
pub(super) struct Pusher {
    client: Client,
    runtime: tokio::runtime::Runtime,
    /// `http://127.0.0.1:PORT/v2/`.
    base: String,
}

impl Pusher {
    /// For the registry at `host`. One of our servers must already run, because it selects the crypto provider.
    pub(super) fn new(host: &str) -> Self {
        Self {
            client: Client::builder().no_proxy().build().unwrap(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            base: format!("http://{host}/v2/"),
        }
    }

    /// Pushes `image` into `repository`.
    pub(super) fn push(&self, repository: &str, image: &Image) -> Pushed {
        let (mut layers, mut unpacked, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        for layer in &image.layers {
            let tar = layer.tar();
            let (kind, bytes) = layer.pack(&tar);
            unpacked.push(Digest::of(&tar).to_string());
            digests.push(self.blob(repository, &bytes));
            layers.push(described(kind, &bytes));
        }
        let mut config = image.config.clone();
        if config["rootfs"].is_null() {
            config["rootfs"] = json!({"type": "layers", "diff_ids": unpacked});
        }
        let config = config.to_string().into_bytes();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers,
        });
        (image.manifest)(&mut manifest);
        let config = self.blob(repository, &config);
        let manifest = self.manifest(repository, media::OCI_MANIFEST, &manifest);
        let root = match image.index {
            None => manifest.0,
            Some((os, architecture)) => {
                let mut child = described(media::OCI_MANIFEST, &manifest.1);
                child["platform"] = json!({"os": os, "architecture": architecture});
                let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": [child]});
                self.manifest(repository, media::OCI_INDEX, &index).0
            }
        };
        Pushed {
            root,
            manifest: manifest.0,
            config,
            layers: digests,
        }
    }

    fn blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.runtime.block_on(async {
            let start = self
                .client
                .post(format!("{}{repository}/blobs/uploads/", self.base));
            let started = start.send().await.unwrap();
            assert_eq!(started.status(), 202);
            let place = started.headers()["location"].to_str().unwrap().to_owned();
            let sign = if place.contains('?') { '&' } else { '?' };
            let put = self.client.put(format!("{place}{sign}digest={digest}"));
            let put = put.body(bytes.to_vec()).send().await.unwrap();
            assert_eq!(put.status(), 201);
        });
        digest
    }

    fn manifest(&self, repository: &str, kind: &str, manifest: &Value) -> (Digest, Vec<u8>) {
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        self.runtime.block_on(async {
            let put = self
                .client
                .put(format!("{}{repository}/manifests/{digest}", self.base));
            let put = put.header("content-type", kind).body(bytes.clone());
            let answer = put.send().await.unwrap();
            let status = answer.status();
            assert_eq!(status, 201, "{}", answer.text().await.unwrap());
        });
        (digest, bytes)
    }
}

fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

/// The file in which Docker's registry at `dir` stores a blob or a manifest.
pub(super) fn stored(dir: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    let blobs = dir.join("data/docker/registry/v2/blobs/sha256");
    let file = blobs.join(&hex[..2]).join(&hex).join("data");
    assert!(fs::metadata(&file).is_ok(), "{}", file.display());
    file
}
