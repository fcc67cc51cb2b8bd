//! The first stage: every check that is possible before anything is built or changed.

use polis_base::ImageRef;

use xtask_dist::ReleaseKind;
use xtask_dist::sign::{PUBLIC_KEY, SigningKey, UNPROTECTED};
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::finding::Severity;
use xtask_online::args::Until;
use xtask_online::github::{GitHub, Token};
use xtask_online::images::Subject;
use xtask_online::registry::{Logins, Registry};
use xtask_pins::compose::Compose;

use super::observed::Observed;
use super::order::{Clients, Order};
use super::plan::{Plan, Wanted};
use super::tree;
use crate::context::{Context, REPOSITORY};
use crate::failure;
use crate::verbs::verify_images::{self, Examined};

/// A tree that can be released, by all checks that are possible before building.
pub(super) struct Ready {
    pub(super) clients: Clients,
    /// The desired result; its files are not built yet.
    pub(super) wanted: Wanted,
    /// The signing key; `None` for a release that ends before its files.
    pub(super) key: Option<SigningKey>,
    /// The text of `minisign.pub`.
    pub(super) public_key: String,
}

/// Checks the tree, the credentials, GitHub and the registry, and reports all problems at once.
///
/// # Errors
/// Every reason why the release cannot start.
pub(super) async fn ready(context: &Context, order: &Order) -> Result<Ready> {
    let mut problems = Problems::default();
    let workspace = &context.workspace;
    let commit = problems.ask(tree::clean_commit(workspace));
    if let Some(commit) = &commit {
        problems.ask(tree::require_local_tag(workspace, &order.tag(), commit));
    }
    problems.ask(tree::require_pinned(workspace));
    // If the tree is not clean, check the rest at its HEAD.
    let commit = commit.or_else(|| tree::head(workspace).ok());
    let commit = commit.unwrap_or_default();
    let fields = tree::fields(workspace, order.kind, &order.version, &commit);
    let fields = problems.ask(fields);
    let public_key = problems.ask(public_key(context));
    let key = match order.until {
        Until::Pushed => None,
        Until::Published => problems.ask(signing_key(order, public_key.as_deref())),
    };
    if key
        .as_ref()
        .is_some_and(|key| order.kind == ReleaseKind::Release && !key.is_protected())
    {
        context.progress.note(&format!("note: {UNPROTECTED}"));
    }
    let images = problems.ask(built_images(context));
    let clients = problems.ask(clients(context, order));
    if let Some(clients) = &clients {
        // Anonymously, as users pull them. Images that we build are verified after the push.
        let pulled = |subject: &Subject<'_>| !subject.built;
        let examined = verify_images::examine(context, &clients.anonymous, &pulled).await;
        problems.add(problems_of(examined));
    }
    if let (Some(clients), Some(fields), Some(images)) = (&clients, &fields, &images) {
        let wanted = Wanted {
            version: order.version.clone(),
            fields: fields.clone(),
            images: images.clone(),
            assets: None,
        };
        if let Some(observed) = problems.ask(observe(clients, &wanted).await) {
            problems.add(Plan::new(&observed, &wanted, order.until).refusals);
        }
    }
    problems.end()?;
    // There was no problem, so all of these exist.
    let (Some(clients), Some(fields), Some(images), Some(public_key)) =
        (clients, fields, images, public_key)
    else {
        return Err(Error::machine(
            "the preflight found neither a releasable tree nor a problem",
        ));
    };
    Ok(Ready {
        clients,
        wanted: Wanted {
            version: order.version.clone(),
            fields,
            images,
            assets: None,
        },
        key,
        public_key,
    })
}

/// The contract violations of images as errors, each with its outcome.
fn problems_of(examined: Result<Examined>) -> Vec<Error> {
    let findings = match examined {
        Ok(examined) => examined.findings,
        Err(error) => return vec![error],
    };
    let broken = findings
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error);
    let errors = broken.map(|finding| {
        let place = finding.place.as_ref();
        let place = place.map_or_else(String::new, |at| format!("{}:{}: ", at.path, at.line));
        let error = Error::new(finding.outcome, format!("{place}{}", finding.message));
        match &finding.help {
            Some(help) => error.hint(help.clone()),
            None => error,
        }
    });
    errors.collect()
}

/// Observes the state of GitHub and the registry for `wanted`.
pub(super) async fn observe(clients: &Clients, wanted: &Wanted) -> Result<Observed> {
    let images: Vec<ImageRef> = wanted.images.iter().map(ImageRef::unpinned).collect();
    Observed::observe(
        &clients.github,
        &clients.registry,
        &wanted.fields.tag,
        &images,
    )
    .await
}

/// The images that the compose file builds, with their pins.
pub(super) fn built_images(context: &Context) -> Result<Vec<ImageRef>> {
    let compose = Compose::load(&context.workspace.root)?;
    let built = compose.built()?;
    let mut images: Vec<ImageRef> = Vec::new();
    for image_use in compose.readable_images()? {
        let Ok(image) = image_use.image else { continue };
        let ours = built
            .iter()
            .any(|built| built.image.unpinned() == image.unpinned());
        if ours && !images.contains(&image) {
            images.push(image);
        }
    }
    Ok(images)
}

/// The text of `minisign.pub`.
pub(super) fn public_key(context: &Context) -> Result<String> {
    xtask_host::tree::text(&context.workspace.root, PUBLIC_KEY).map_err(|error| {
        error.hint("commit the public half of the signing key there: users verify releases with it")
    })
}

/// The signing key, which must match `public_key`.
pub(super) fn signing_key(order: &Order, public_key: Option<&str>) -> Result<SigningKey> {
    let key = match &order.sandbox {
        Some(sandbox) => sandbox.signing_key(),
        None => SigningKey::from_env()?,
    };
    match public_key {
        Some(file) if !key.matches(file) => Err(Error::new(
            Outcome::Network,
            format!("the signing key does not match `{PUBLIC_KEY}`"),
        )
        .hint("sign with the key whose public half is committed, or commit the new one and announce it")),
        _ => Ok(key),
    }
}

fn clients(context: &Context, order: &Order) -> Result<Clients> {
    let (token, logins) = match (&order.sandbox, order.kind) {
        (Some(sandbox), _) => (sandbox.token(), Logins::none()),
        (None, ReleaseKind::Rehearsal) => {
            return Err(Error::machine("a rehearsal has no sandbox"));
        }
        (None, ReleaseKind::Release) => (Token::from_env()?, Logins::from_env()?),
    };
    Ok(Clients {
        github: GitHub::new(&context.endpoints, REPOSITORY, Some(&token))?,
        registry: Registry::new(&context.endpoints, logins)?,
        anonymous: Registry::new(&context.endpoints, Logins::none())?,
    })
}

/// Collects problems.
#[derive(Default)]
pub(super) struct Problems {
    errors: Vec<Error>,
}

impl Problems {
    /// The value, or `None` after recording the problem.
    pub(super) fn ask<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    /// Records more problems.
    pub(super) fn add(&mut self, errors: Vec<Error>) {
        self.errors.extend(errors);
    }

    /// Fails with all problems, if there are any.
    pub(super) fn end(self) -> Result<()> {
        let message = "the release cannot start; nothing was changed".to_owned();
        failure::all(message, self.errors).map_or(Ok(()), Err)
    }
}
