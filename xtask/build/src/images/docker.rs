//! Images that only Docker can build, because their Dockerfiles do more than copy.

use std::io::Read;

use polis_base::Digest;

use crate::oci::{self, Blobs, Descriptor};
use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;
use xtask_pins::compose::BuiltImage;

/// Builds the image for both architectures with Docker, and imports its layout.
pub(super) fn docker(
    workspace: &Workspace,
    built: &BuiltImage,
    reason: &str,
    blobs: &mut Blobs,
    progress: Progress,
) -> Result<Descriptor> {
    let task = progress.task(format!("docker buildx build {}", built.image));
    std::fs::create_dir_all(&workspace.target)
        .map_err(|error| Error::io("create", &workspace.target, &error))?;
    let scratch = tempfile::tempdir_in(&workspace.target)
        .map_err(|error| Error::io("create a directory in", &workspace.target, &error))?;
    let tar = scratch.path().join("image.tar");
    let why = format!(
        "only Docker can build `{}`, which does more than copy files to `FROM scratch` (`{reason}`)",
        built.build.dockerfile
    );
    // Without the plugin, Docker's only complaint is about an unknown option.
    let plugin = Run::new("docker").args(["buildx", "version"]).output();
    plugin.map_err(|error| {
        Error::machine("`docker buildx` is not installed")
            .because(error.to_string())
            .because(why.clone())
            .hint("install Docker's buildx plugin (the package docker-buildx-plugin), then run this again")
    })?;
    Run::new("docker")
        .args([
            "buildx",
            "build",
            "--platform",
            "linux/amd64,linux/arm64",
            "--provenance=false",
        ])
        .arg("--file")
        .arg(workspace.root.join(&built.build.dockerfile))
        .arg("--output")
        .arg(format!(
            "type=oci,rewrite-timestamp=true,dest={}",
            tar.display()
        ))
        .arg(workspace.root.join(&built.build.context))
        .env("SOURCE_DATE_EPOCH", "0")
        // Docker's own credentials, for base images.
        .passing(&["DOCKER_AUTH_CONFIG"])
        .output()
        .map_err(|error| error.because(why))?;
    let file = std::fs::File::open(&tar).map_err(|error| Error::io("read", &tar, &error))?;
    let entry = import(file, blobs).map_err(|why| {
        Error::machine(format!(
            "Docker's output for `{}` is not an OCI layout",
            built.image
        ))
        .because(why)
    })?;
    task.done(&entry.digest);
    Ok(entry)
}

/// Imports the only image of an OCI layout in a tar.
fn import(tar: impl Read, blobs: &mut Blobs) -> std::result::Result<Descriptor, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut index = None;
    for entry in tar::Archive::new(tar).entries().map_err(text)? {
        let mut entry = entry.map_err(text)?;
        let path = entry.path().map_err(text)?.display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(text)?;
        if let Some(hex) = path
            .strip_prefix("blobs/sha256/")
            .filter(|hex| !hex.is_empty())
        {
            let found = Digest::of(&bytes);
            if found.hex() != hex {
                return Err(format!("blob {hex} hashes to {}", found.hex()));
            }
            blobs.keep(found, bytes);
        } else if path == "index.json" {
            index = Some(
                serde_json::from_slice::<oci::Index>(&bytes).map_err(|error| error.to_string())?,
            );
        }
    }
    let mut manifests = index.ok_or("it has no index.json")?.manifests;
    match (manifests.pop(), manifests.is_empty()) {
        (Some(mut one), true) => {
            one.annotations.clear();
            Ok(one)
        }
        _ => Err("its index.json does not list exactly one image".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use polis_base::archive::Files;

    use super::*;
    use crate::oci::{Execution, Platform};

    fn layout(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
        let mut blobs = Blobs::default();
        let platform = Platform {
            architecture: "arm64".to_owned(),
            os: "linux".to_owned(),
        };
        let manifest = blobs.add_image(&platform, &Execution::default(), &[0; 1024]);
        let index = blobs.add_index(vec![manifest], BTreeMap::new());
        let dir = tempfile::tempdir().unwrap();
        blobs.write_layout(dir.path(), vec![index]).unwrap();
        let mut files = Files::new();
        let mut add = |path: String, full: &Path| {
            let bytes = change(&path, std::fs::read(full).unwrap());
            files.add(&path, 0o644, bytes);
        };
        add("index.json".to_owned(), &dir.path().join("index.json"));
        for blob in std::fs::read_dir(dir.path().join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap();
            add(
                format!("blobs/sha256/{}", blob.file_name().display()),
                &blob.path(),
            );
        }
        files.to_tar().unwrap()
    }

    #[test]
    fn the_output_of_docker_is_imported_and_verified() {
        let mut blobs = Blobs::default();
        let entry = import(layout(|_, bytes| bytes).as_slice(), &mut blobs).unwrap();
        assert_eq!(blobs.platforms(&entry), ["linux/arm64"]);
        let broken = layout(|path, bytes| {
            if path.starts_with("blobs") {
                b"x".to_vec()
            } else {
                bytes
            }
        });
        assert!(
            import(broken.as_slice(), &mut Blobs::default())
                .expect_err("broken")
                .contains("hashes to")
        );
        let empty = layout(|path, bytes| {
            if path == "index.json" {
                b"{\"schemaVersion\":2,\"manifests\":[]}".to_vec()
            } else {
                bytes
            }
        });
        assert!(
            import(empty.as_slice(), &mut Blobs::default())
                .expect_err("empty")
                .contains("exactly one")
        );
    }
}
