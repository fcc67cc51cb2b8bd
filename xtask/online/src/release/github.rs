//! The stages on GitHub and after: draft, upload, verify, publish, promote.

use polis_base::{Digest, ImageRef};
use semver::Version;
use serde::Deserialize;

use xtask::error::{Error, Outcome, Result};
use xtask::oci;
use xtask::versions;
use xtask_dist::{Asset, Kind, SIGNATURE, SUMS};
use xtask_online::github::{self, GitHub, NewRelease, Release};
use xtask_online::registry::{Logins, Registry};

use super::{Run, out_of_order};

impl Run {
    pub(super) async fn draft(&mut self, tag: &str) -> Result<()> {
        let task = self.context.progress.task(format!("draft {tag}"));
        let new = self.new_release(tag)?;
        let github = self.github()?;
        let (release, how) = match github.find(tag).await? {
            Some(release) => (release, "taken up"),
            None => (github.create_draft(&new).await?, "created"),
        };
        task.done(how);
        self.release = Some(release);
        Ok(())
    }

    /// What the draft says: the changelog's section, under a warning in a rehearsal.
    fn new_release(&self, tag: &str) -> Result<NewRelease> {
        let version = &self.plan.version;
        let changelog = self.context.workspace.read("CHANGELOG.md")?;
        let notes = versions::changelog_section(&changelog.text, version).ok_or_else(|| {
            Error::findings(format!("`CHANGELOG.md` has no section for {version}"))
        })?;
        let label = self.kind().label(version);
        Ok(NewRelease {
            tag: tag.to_owned(),
            commit: self.commit.clone(),
            name: format!("Polis {label}"),
            body: match self.kind() {
                Kind::Release => notes,
                Kind::Rehearsal => format!("This is a rehearsal, not a release.\n\n{notes}"),
            },
            prerelease: !version.pre.is_empty(),
        })
    }

    pub(super) async fn upload(&mut self) -> Result<()> {
        let release = self.release()?.clone();
        if !release.draft {
            // Published before: nothing is touched, and the next step proves that it is ours.
            return Ok(());
        }
        let github = self.github()?;
        for there in github.assets(release.id).await? {
            if !self.assets.iter().any(|ours| same(ours, &there)) {
                github.delete_asset(there.id).await?;
            }
        }
        let there = github.assets(release.id).await?;
        for asset in &self.assets {
            let task = self.context.progress.task(format!("upload {}", asset.name));
            if there.iter().any(|there| same(asset, there)) {
                task.done("is there already");
                continue;
            }
            github
                .upload(release.id, &self.dist.join(&asset.name))
                .await?;
            task.done(&format!("{} bytes", asset.size));
        }
        Ok(())
    }

    pub(super) async fn verify_assets(&mut self) -> Result<()> {
        let release = self.release()?.clone();
        let there = self.github()?.assets(release.id).await?;
        let names = |mut names: Vec<String>| {
            names.sort();
            names.join("\n")
        };
        let ours = names(self.assets.iter().map(|asset| asset.name.clone()).collect());
        let theirs = names(there.iter().map(|asset| asset.name.clone()).collect());
        if ours != theirs {
            return Err(Error::new(
                Outcome::Drift,
                format!("the release {} holds other files than dist/", release.tag),
            )
            .because(format!("dist/:\n{ours}"))
            .because(format!("release:\n{theirs}")));
        }
        for asset in &there {
            let task = self.context.progress.task(format!("verify {}", asset.name));
            let bytes = self.github()?.download(asset).await?;
            task.done(self.judge(asset, &bytes)?);
        }
        Ok(())
    }

    /// How the downloaded `bytes` are right: the same as ours, or, for the signature of a
    /// release that an earlier run published, a good one over the same checksums.
    fn judge(&self, asset: &github::Asset, bytes: &[u8]) -> Result<&'static str> {
        let found = Digest::of(bytes);
        let ours = self.assets.iter().find(|ours| ours.name == asset.name);
        if ours.is_some_and(|ours| ours.sha256 == found) {
            return Ok("the same bytes");
        }
        if asset.name == SIGNATURE {
            let path = self.dist.join(SUMS);
            let sums = std::fs::read(&path).map_err(|error| Error::io("read", &path, &error))?;
            let key = self
                .key
                .as_ref()
                .ok_or_else(|| out_of_order("the signing key"))?;
            if key.verifies(&String::from_utf8_lossy(bytes), &sums) {
                return Ok("our signature, from an earlier run");
            }
        }
        let expected = ours.map_or_else(String::new, |ours| ours.sha256.hex());
        let message = format!(
            "`{}` was downloaded with other bytes than were uploaded",
            asset.download
        );
        Err(Error::new(Outcome::Drift, message)
            .because(format!("expected {expected}\nfound    {}", found.hex())))
    }

    pub(super) async fn verify_image(&mut self, image: &ImageRef) -> Result<()> {
        let task = self.context.progress.task(format!("verify {image}"));
        let expected = self.image(image)?.digest();
        // As users pull it: without a login. A package that is still private fails here, before
        // anything is public.
        let anonymous = Registry::new(&self.context.endpoints, Logins::none())?;
        let found = anonymous.resolve(image).await.map_err(|error| {
            Error::from(error).because("users pull without a login; a new package on ghcr.io is private until its visibility is changed")
        })?;
        if expected != Some(found) {
            let expected = expected.map_or_else(String::new, |digest| digest.to_string());
            return Err(Error::new(
                Outcome::Drift,
                format!("`{image}` names another digest than was pushed"),
            )
            .because(format!("expected {expected}\nfound    {found}")));
        }
        task.done("the same digest");
        Ok(())
    }

    pub(super) async fn publish(&mut self, tag: &str) -> Result<()> {
        let task = self.context.progress.task(format!("publish {tag}"));
        let release = self.release()?.clone();
        if !release.draft {
            task.done("was public already");
            return Ok(());
        }
        let latest = self.plan.version.pre.is_empty();
        let published = self.github()?.publish(release.id, latest).await?;
        task.done(&published.page);
        self.release = Some(published);
        Ok(())
    }

    /// Moves `latest`, unless it already stands on a newer version.
    pub(super) async fn promote(&mut self, image: &ImageRef) -> Result<()> {
        let task = self
            .context
            .progress
            .task(format!("promote {}", image.name()));
        let built = self.image(image)?.image.clone();
        let version = self.plan.version.clone();
        let latest = image
            .with_tag("latest")
            .map_err(|error| Error::machine(error.to_string()))?;
        let registry = self.registry()?;
        let newer = match registry.manifest(&latest).await {
            Ok(manifest) => version_of(&manifest.bytes).filter(|there| *there > version),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(newer) = newer {
            task.done(&format!("latest stays on {newer}, which is newer"));
            return Ok(());
        }
        let digest = registry.retag(&built, "latest").await?;
        task.done(&format!("latest is {digest}"));
        Ok(())
    }

    fn github(&self) -> Result<&GitHub> {
        self.github
            .as_ref()
            .ok_or_else(|| out_of_order("the GitHub client"))
    }

    /// The release on GitHub, once there is one.
    pub(crate) fn release(&self) -> Result<&Release> {
        self.release
            .as_ref()
            .ok_or_else(|| out_of_order("the draft"))
    }
}

/// Whether GitHub has all of our file, by the digest that it computed itself.
fn same(ours: &Asset, there: &github::Asset) -> bool {
    there.uploaded && there.name == ours.name && there.digest == Some(ours.sha256)
}

/// The version that an index says it holds.
fn version_of(index: &[u8]) -> Option<Version> {
    #[derive(Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: std::collections::BTreeMap<String, String>,
    }
    let index: Annotated = serde_json::from_slice(index).ok()?;
    index.annotations.get(oci::VERSION)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_index_is_its_annotation() {
        let index = br#"{"annotations": {"org.opencontainers.image.version": "1.2.3"}}"#;
        assert_eq!(version_of(index), Some(Version::new(1, 2, 3)));
        assert_eq!(version_of(b"{}"), None);
        assert_eq!(
            version_of(b"{\"annotations\": {\"org.opencontainers.image.version\": \"x\"}}"),
            None
        );
    }
}
