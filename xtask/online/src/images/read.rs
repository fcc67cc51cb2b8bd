//! Fetches the manifests, the configuration and the layers of an image.

use std::io::{self, Read};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use polis_base::{Digest, ImageRef};
use tokio::sync::mpsc;

use super::document::{Child, Descriptor, parse};
use super::judge::Config;
use super::layer::{self, Layer};
use super::{ImageStatus, Images, Known, Problem, Result};
use crate::error::NetError;
use crate::registry::{RawManifest, Received, media};

/// How many chunks of a layer may be queued for the unpacker.
const WAITING: usize = 8;

impl Images<'_> {
    /// The manifest behind an entry of an index.
    pub(super) async fn child(&self, image: &ImageRef, child: &Child) -> Result<RawManifest> {
        let pinned = image.pinned(digest(image, &child.digest)?);
        let manifest = self.registry.manifest(&pinned).await;
        let manifest =
            manifest.map_err(|error| Problem::failed(&error, ImageStatus::MissingManifest))?;
        sized(
            "manifest",
            &child.digest,
            child.size,
            manifest.bytes.len() as u64,
        )?;
        match media::is_index(manifest.media_type) {
            true => Err(Problem::new(
                ImageStatus::Unreadable,
                "the index lists another index, which engines do not follow",
            )),
            false => Ok(manifest),
        }
    }

    pub(super) async fn config(&self, image: &ImageRef, descriptor: &Descriptor) -> Result<Config> {
        let digest = digest(image, &descriptor.digest)?;
        let bytes = self.registry.blob(image, digest).await.map_err(|error| {
            let mut problem = Problem::failed(&error, ImageStatus::MissingBlob);
            problem.about = format!("configuration {digest}: {}", problem.about);
            problem
        })?;
        sized(
            "configuration",
            &descriptor.digest,
            descriptor.size,
            bytes.len() as u64,
        )?;
        parse(image, &bytes)
    }

    /// The layer behind `descriptor`, read now or before.
    pub(super) async fn layer(
        &self,
        image: &ImageRef,
        descriptor: &Descriptor,
        name: &str,
    ) -> Result<Arc<Layer>> {
        if !descriptor.media_type.contains(".layer.")
            && !descriptor.media_type.contains(".rootfs.diff.tar")
        {
            let about = format!(
                "{}: `{}` is not the media type of a layer",
                descriptor.digest, descriptor.media_type
            );
            return Err(Problem::new(ImageStatus::Unreadable, about));
        }
        let digest = digest(image, &descriptor.digest)?;
        let slot = {
            let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(layers.entry(digest).or_default())
        };
        let mut known = slot.lock().await;
        let repository = image.name();
        if let Some(known) = known.as_mut() {
            sized("layer", &descriptor.digest, descriptor.size, known.size)?;
            if !known.repositories.contains(&repository) {
                match self.registry.blob_exists(image, &digest).await {
                    Ok(true) => known.repositories.push(repository),
                    Ok(false) => {
                        return Err(Problem::new(
                            ImageStatus::MissingBlob,
                            format!("layer {digest}: not found"),
                        ));
                    }
                    Err(error) => return Err(Problem::failed(&error, ImageStatus::MissingBlob)),
                }
            }
            return Ok(Arc::clone(&known.layer));
        }
        let layer = Arc::new(self.read(image, digest, descriptor.size, name).await?);
        *known = Some(Known {
            layer: Arc::clone(&layer),
            size: descriptor.size,
            repositories: vec![repository],
        });
        Ok(layer)
    }

    /// Reads a layer: it is fetched and hashed here, and unpacked on its own thread, a few chunks behind.
    async fn read(&self, image: &ImageRef, digest: Digest, size: u64, name: &str) -> Result<Layer> {
        let task = self.progress.task(name);
        let (send, receive) = mpsc::channel(WAITING);
        let unpacker = tokio::task::spawn_blocking(|| layer::read(Pieces::new(receive)));
        let progress = |done| task.bytes(done, Some(size));
        let received = self
            .registry
            .stream_blob(image, (digest, size), send, progress)
            .await;
        let layer = unpacker.await;
        let wrong = match received.map_err(|error| absent(&error, digest))? {
            Received::Whole => None,
            Received::Size(found) => {
                let about = format!("layer {digest}: {found}, the manifest says {size} bytes");
                Some(Problem::new(ImageStatus::WrongSize, about))
            }
            Received::Digest(found) => {
                let about = format!("layer {digest}: the content has digest {found}");
                Some(Problem::new(ImageStatus::WrongDigest, about))
            }
        };
        if let Some(problem) = wrong {
            return Err(problem);
        }
        let unreadable = |reason: String| {
            Problem::new(ImageStatus::Unreadable, format!("layer {digest}: {reason}"))
        };
        let layer = layer.map_err(|error| unreadable(error.to_string()))?;
        let layer = layer.map_err(unreadable)?;
        task.done(&format!("{size} bytes"));
        Ok(layer)
    }
}

impl Child {
    /// As `linux/amd64`; `None` for entries that are not images, such as attestations.
    pub(super) fn platform(&self) -> Option<String> {
        let says = self.platform.as_ref().filter(|says| says.os != "unknown")?;
        Some(format!("{}/{}", says.os, says.architecture))
    }
}

/// The chunks of a layer that another task fetches, as a reader.
struct Pieces {
    source: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Pieces {
    fn new(source: mpsc::Receiver<Bytes>) -> Self {
        Self {
            source,
            piece: Bytes::new(),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.source.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let some = self.piece.split_to(buffer.len().min(self.piece.len()));
        buffer[..some.len()].copy_from_slice(&some);
        Ok(some.len())
    }
}

fn absent(error: &NetError, digest: Digest) -> Problem {
    let mut problem = Problem::failed(error, ImageStatus::MissingBlob);
    problem.about = format!("layer {digest}: {}", problem.about);
    problem
}

fn sized(what: &str, digest: &str, promised: u64, found: u64) -> Result<()> {
    if promised == found {
        return Ok(());
    }
    let about = format!("{what} {digest}: {found} bytes, its descriptor says {promised}");
    Err(Problem::new(ImageStatus::WrongSize, about))
}

fn digest(image: &ImageRef, text: &str) -> Result<Digest> {
    text.parse().map_err(|error| {
        Problem::new(
            ImageStatus::Unreadable,
            format!("{}: `{text}`: {error}", image.unpinned()),
        )
    })
}
