//! What a real release requires before it changes anything.

use xtask::error::{Error, Outcome, Result};
use xtask::finding::Severity;
use xtask::pins::{Inventory, Pin, judge};
use xtask::process::Run as Process;
use xtask::waivers;
use xtask_dist::sign::{PUBLIC_KEY, SigningKey};
use xtask_online::github::{GitHub, Token};

use super::{OWNER, REPO, Run};

impl Run {
    pub(super) fn require_clean_tree(&mut self) -> Result<()> {
        let root = &self.context.workspace.root;
        let git = |args: &[&str]| Process::new("git").args(args).cwd(root).output();
        let changed = git(&["status", "--porcelain"])?;
        if !changed.is_empty() {
            return Err(Error::findings("the work tree has uncommitted changes")
                .because(changed)
                .hint("commit them or take them back: a release is a commit"));
        }
        self.commit = git(&["rev-parse", "HEAD"])?;
        Ok(())
    }

    pub(super) fn require_no_waivers(&self) -> Result<()> {
        let root = &self.context.workspace.root;
        let inventory = Inventory::read(root)?;
        let mut wrong = judge(&inventory, waivers::today(None)?);
        wrong.retain(|finding| finding.severity == Severity::Error);
        if !wrong.is_empty() {
            return Err(Error {
                findings: wrong,
                ..Error::findings("what is pinned is not whole")
            }
            .hint("run `cargo xtask verify-pins --offline` until it finds nothing"));
        }
        let unpinned: Vec<String> = inventory
            .images()
            .filter(|pin| pin.pinned().is_none())
            .map(Pin::name)
            .collect();
        if unpinned.is_empty() {
            return Ok(());
        }
        Err(
            Error::findings(format!("{} images are not pinned", unpinned.len()))
                .because(unpinned.join("\n"))
                .hint("run `cargo xtask pin`, delete the waivers and commit"),
        )
    }

    pub(super) fn require_signing_key(&mut self) -> Result<()> {
        let key = SigningKey::from_env()?;
        let public = self.context.workspace.root.join(PUBLIC_KEY);
        let file = std::fs::read_to_string(&public).map_err(|error| {
            Error::findings(format!("`{}` cannot be read", public.display()))
                .because(error.to_string())
                .hint("commit the public half of the signing key there: users verify releases with it")
        })?;
        if !key.matches(&file) {
            return Err(Error::new(Outcome::Network, format!("the signing key is not the one of `{}`", public.display()))
                .hint("sign with the key whose public half is committed, or commit the new one and announce it"));
        }
        self.key = Some(key);
        Ok(())
    }

    pub(super) fn require_token(&mut self) -> Result<()> {
        let token = Token::from_env()?;
        self.github = Some(GitHub::new(&self.context.endpoints, OWNER, REPO, &token)?);
        Ok(())
    }
}
