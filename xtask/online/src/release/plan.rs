//! The plan of a release: every decision, in the order in which the stages carry them out.

use polis_base::ImageRef;
use semver::Version;

use xtask_dist::ReleaseFile;
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::reports::release::PlanStep;
use xtask_online::args::Until;
use xtask_online::github::{self, Release, ReleaseFields, Setting};

use super::decide::{
    Draft, Promotion, Push, Put, draft, is_latest, no_foreign, promote, push, put, readable_latest,
};
use super::observed::{LatestTag, Observed, PublishedImage, require_tag};

/// The desired result of a release.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The version.
    pub(crate) version: Version,
    /// The fields of the release on GitHub.
    pub(crate) fields: ReleaseFields,
    /// Its images, pinned; in a dry run, some may lack a digest.
    pub(crate) images: Vec<ImageRef>,
    /// Its files; `None` before they are built.
    pub(crate) assets: Option<Vec<ReleaseFile>>,
}

/// What a release does with an image, a file, a tag or a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Already as desired.
    Skip,
    /// Does not exist yet.
    Create,
    /// Exists and changes.
    Replace,
    /// Exists, differs and must not change, so the release does not start.
    Refuse,
    /// The published state could not be read.
    Unknown,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Refuse => "refuse",
            Self::Unknown => "unknown",
        }
    }
}

/// One decision and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The stage that carries it out.
    pub(crate) stage: &'static str,
    /// Its subject.
    pub(crate) what: String,
    /// The decision.
    pub(crate) action: Action,
    /// Why, or what it was.
    pub(crate) why: String,
}

/// The decisions of a release.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The decisions, in the order in which they are carried out.
    pub(crate) lines: Vec<Line>,
    /// Why the release does not start.
    pub(crate) refusals: Vec<Error>,
    /// What `--execute` needs and a plan does not, if missing: the tag, keys, a token.
    pub(crate) lacking: Vec<String>,
    /// Remarks for the user.
    pub(crate) notes: Vec<String>,
}

impl Plan {
    /// Decides everything for `wanted`, given the state `observed`.
    pub(crate) fn new(observed: &Observed, wanted: &Wanted, until: Until) -> Self {
        let mut plan = Self::default();
        let tag = wanted.fields.tag.as_str();
        plan.ask(require_tag(
            observed.tag.as_ref(),
            tag,
            &wanted.fields.commit,
        ));
        if observed.may_write == Some(false) && until == Until::Published {
            plan.refusals.push(
                Error::new(
                    Outcome::Network,
                    "the token may not write to the repository",
                )
                .hint("it needs contents: write, and packages: write for the registry"),
            );
        }
        if observed.immutable == Setting::Off {
            plan.notes.push("releases of this repository are not immutable: published files can still be changed (RELEASING.md)".to_owned());
        }
        plan.ask(readable_latest(observed.latest.as_ref()));
        let decided = draft(&observed.releases, tag);
        let (release, notes) = plan.ask(decided).unwrap_or((Draft::Create, Vec::new()));
        plan.notes.extend(notes);
        let public = matches!(release, Draft::Public(_));
        plan.images(observed, wanted, public);
        plan.release(observed, wanted, &release);
        plan.publish(observed, wanted, public);
        plan
    }

    /// The plan if nothing could be observed: everything is created.
    pub(crate) fn unobserved(wanted: &Wanted) -> Self {
        let mut plan = Self::default();
        for image in &wanted.images {
            plan.line(
                "push",
                image.unpinned().to_string(),
                Action::Unknown,
                "not checked",
            );
        }
        for (stage, what) in [("draft", "draft "), ("publish", "")] {
            plan.line(
                stage,
                format!("{what}{}", wanted.fields.tag),
                Action::Unknown,
                "not checked",
            );
        }
        plan
    }

    fn ask<T>(&mut self, decision: Result<T>) -> Option<T> {
        decision.map_err(|refusal| self.refusals.push(refusal)).ok()
    }

    fn line(
        &mut self,
        stage: &'static str,
        what: impl Into<String>,
        action: Action,
        why: impl Into<String>,
    ) {
        self.lines.push(Line {
            stage,
            what: what.into(),
            action,
            why: why.into(),
        });
    }

    fn images(&mut self, observed: &Observed, wanted: &Wanted, public: bool) {
        for image in &wanted.images {
            let name = image.unpinned();
            let held = observed.images.get(&name).and_then(|held| held.version);
            let decided = push(image, held, public);
            let now = image
                .digest()
                .map_or_else(|| "what is built".to_owned(), |digest| digest.to_string());
            let (action, why) = match self.ask(decided) {
                Some(Push::Skip) => (Action::Skip, format!("already {now}")),
                Some(Push::Create) => (Action::Create, now),
                Some(Push::Replace(was)) => (Action::Replace, format!("was {was}, now {now}")),
                None => (Action::Refuse, "belongs to a public release".to_owned()),
            };
            self.line("push", name.to_string(), action, why);
        }
    }

    fn release(&mut self, observed: &Observed, wanted: &Wanted, release: &Draft) {
        let what = format!("draft {}", wanted.fields.tag);
        let there: &[github::Asset] = match release {
            Draft::Create => {
                self.line("draft", what, Action::Create, "does not exist yet");
                &[]
            }
            Draft::TakeUp(draft) if draft.says(&wanted.fields) => {
                self.line(
                    "draft",
                    what,
                    Action::Skip,
                    format!("already exists: {}", draft.page),
                );
                self.there(observed, draft)
            }
            Draft::TakeUp(draft) => {
                self.line(
                    "draft",
                    what,
                    Action::Replace,
                    format!("its title, notes or commit change: {}", draft.page),
                );
                self.there(observed, draft)
            }
            Draft::Public(public) => {
                self.line(
                    "draft",
                    what,
                    Action::Skip,
                    format!("already public: {}", public.page),
                );
                self.there(observed, public)
            }
        };
        let there = there.to_vec();
        let Some(assets) = &wanted.assets else {
            return;
        };
        self.ask(no_foreign(assets, &there, &wanted.fields.tag));
        let public = matches!(release, Draft::Public(_));
        for asset in assets {
            let decided = put(asset, &there).and_then(|put| match put {
                Put::Create | Put::Finish(_) if public => Err(missing(asset, &wanted.fields.tag)),
                put => Ok(put),
            });
            let (action, why) = match self.ask(decided) {
                Some(Put::Skip) => (Action::Skip, "already uploaded".to_owned()),
                Some(Put::Create) => (Action::Create, format!("{} bytes", asset.size)),
                Some(Put::Finish(_)) => {
                    (Action::Replace, "replaces an interrupted upload".to_owned())
                }
                Some(Put::Keep(_)) => (
                    Action::Skip,
                    "a signature exists; it stays if it is valid".to_owned(),
                ),
                None => (Action::Refuse, "see below".to_owned()),
            };
            self.line("upload", asset.name.clone(), action, why);
        }
    }

    fn there<'a>(&self, observed: &'a Observed, release: &Release) -> &'a [github::Asset] {
        observed.assets.get(&release.id).map_or(&[], Vec::as_slice)
    }

    fn publish(&mut self, observed: &Observed, wanted: &Wanted, public: bool) {
        let latest = is_latest(&wanted.version, &observed.releases);
        let how = match latest {
            true => "and GitHub's latest",
            false => "not GitHub's latest",
        };
        let (action, why) = match public {
            true => (Action::Skip, "already public".to_owned()),
            false => (Action::Create, how.to_owned()),
        };
        self.line("publish", wanted.fields.tag.clone(), action, why);
        if !wanted.version.pre.is_empty() {
            return;
        }
        let none = PublishedImage {
            version: None,
            latest: LatestTag::Missing,
        };
        for image in &wanted.images {
            let held = observed.images.get(&image.unpinned()).unwrap_or(&none);
            let decided = promote(image, &wanted.version, image.digest(), &held.latest);
            let what = format!("{}:latest", image.name());
            let (action, why) = match self.ask(decided) {
                Some(Promotion::Stay(why)) => (Action::Skip, why),
                // Only the newest public version moves it.
                Some(Promotion::Move(_)) if !latest => {
                    (Action::Skip, "a newer version is public".to_owned())
                }
                Some(Promotion::Move(Some(was))) => (
                    Action::Replace,
                    format!("was {was}, now {}", wanted.version),
                ),
                Some(Promotion::Move(None)) => (Action::Create, wanted.version.to_string()),
                None => (Action::Refuse, "its version cannot be read".to_owned()),
            };
            self.line("promote", what, action, why);
        }
    }

    /// The decisions as lines of text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut stage = "";
        for line in &self.lines {
            if line.stage != stage {
                stage = line.stage;
                text.push_str(&format!("\n{stage}\n"));
            }
            text.push_str(&format!(
                "  {:<8} {}: {}\n",
                line.action.word(),
                line.what,
                line.why
            ));
        }
        for note in &self.notes {
            text.push_str(&format!("\nnote: {note}\n"));
        }
        text
    }

    /// Everything that currently prevents `--execute`.
    pub(crate) fn blockers(&self) -> Vec<&str> {
        let refusals = self.refusals.iter().map(|refusal| refusal.message.as_str());
        let lacking = self.lacking.iter().map(String::as_str);
        refusals.chain(lacking).collect()
    }

    /// The decisions as they appear in a JSON report.
    pub(crate) fn reported(&self) -> Vec<PlanStep> {
        let steps = self.lines.iter().map(|line| PlanStep {
            stage: line.stage,
            what: line.what.clone(),
            action: line.action.word(),
            why: line.why.clone(),
        });
        steps.collect()
    }
}

/// The error for a public release without the file.
fn missing(asset: &ReleaseFile, tag: &str) -> Error {
    Error::new(
        Outcome::Drift,
        format!(
            "the public release {tag} lacks `{}`, or has only a part of it",
            asset.name
        ),
    )
    .hint("a published release never changes: release the next version")
}

#[cfg(test)]
mod tests;
