//! `update`: updates pins to another version. The digests of the new version are computed from a download or resolved
//! by a registry, never taken from elsewhere.

use futures_util::future::join_all;
use polis_base::{Digest, ImageRef};
use time::{Duration, OffsetDateTime};

use xtask_host::error::{Error, Outcome, Result};
use xtask_host::report::Report;
use xtask_host::reports::network as reports;
use xtask_online::args::{UpdateArgs, UpdateSomeArgs, UpdateVerb};
use xtask_online::download::hash_url;
use xtask_online::github::{PublishedVersion, Tags};
use xtask_online::registry::Registry;
use xtask_pins::edit::{self, Change, Edit};
use xtask_pins::inventory::page;
use xtask_pins::inventory::{Action, Dependency, Download, Files, Inventory, Pin, update};

use crate::context::Context;
use crate::failure;

/// The minimum age of a version of a tool or an action, in days.
pub(crate) const MIN_AGE: u16 = 7;

/// A change of one pin.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    /// `download`, `action` or `image`.
    pub(crate) kind: &'static str,
    /// The name of the pin in messages.
    pub(crate) name: String,
    /// The pinned version, if it has one.
    pub(crate) from: Option<String>,
    /// The version to move to.
    pub(crate) to: String,
    /// When that version was published, as GitHub writes it; `None` if unknown.
    pub(crate) published: Option<String>,
    /// The page with its release notes, if there is one.
    pub(crate) notes: Option<String>,
    pub(crate) edits: Vec<Edit>,
}

/// The version to update to.
struct Target {
    /// In the notation of the pin.
    version: String,
    published: Option<String>,
    /// The tag on GitHub; `None` for a version given by the user.
    tag: Option<String>,
}

impl Target {
    /// The page of the release in `repository`. GitHub also has one for a tag without a release.
    fn notes(&self, repository: &str) -> Option<String> {
        let tag = self.tag.as_ref()?;
        Some(format!(
            "https://github.com/{repository}/releases/tag/{tag}"
        ))
    }
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, verb: &UpdateVerb) -> Result<Report> {
    let files = Files::read(&context.workspace.root)?;
    let inventory = Inventory::extract(&files);
    inventory.require_readable()?;
    let (verb, args, moves) = match verb {
        UpdateVerb::Sysbox(args) => {
            let moves = tool(context, &inventory, "sysbox", args).await?;
            ("update sysbox", args, moves)
        }
        UpdateVerb::Yq(args) => (
            "update yq",
            args,
            tool(context, &inventory, "yq", args).await?,
        ),
        UpdateVerb::Actions(some) => (
            "update actions",
            &some.update,
            actions(context, &inventory, some).await?,
        ),
        UpdateVerb::Images(some) => (
            "update images",
            &some.update,
            images(&context.registry()?, &inventory, some).await?,
        ),
    };
    report(context, verb, args, &files, &moves)
}

/// All updates of tools and actions that are at least `min_age` days old, and of images. Registries are queried without
/// the ambient GitHub token, which identifies the run and grants no right to pull.
///
/// # Errors
/// If a query fails, because omitting it would look as if there were no newer version.
pub(crate) async fn everything(
    context: &Context,
    inventory: &Inventory,
    min_age: Option<u16>,
) -> Result<Vec<Move>> {
    let args = |min_age| UpdateArgs {
        version: None,
        min_age,
        check: true,
    };
    let some = |min_age| UpdateSomeArgs {
        update: args(min_age),
        only: None,
    };
    let dated = args(min_age);
    let mut moves = Vec::new();
    for name in ["sysbox", "yq"] {
        moves.extend(tool(context, inventory, name, &dated).await?);
    }
    moves.extend(actions(context, inventory, &some(min_age)).await?);
    let registry = context.public_registry()?;
    moves.extend(images(&registry, inventory, &some(None)).await?);
    Ok(moves)
}

/// The changes to `files` from `moves`, including the generated documentation.
///
/// # Errors
/// If two moves contradict each other, or the documentation lacks the markers for the table.
pub(crate) fn changes(context: &Context, files: &Files, moves: &[Move]) -> Result<Vec<Change>> {
    let edits: Vec<Edit> = moves.iter().flat_map(|one| one.edits.clone()).collect();
    let changes = edit::apply(files.all(), &edits)?;
    page::follow(&context.workspace, files, changes)
}

/// Applies all `moves`, or shows them.
fn report(
    context: &Context,
    verb: &'static str,
    args: &UpdateArgs,
    files: &Files,
    moves: &[Move],
) -> Result<Report> {
    let changes = changes(context, files, moves)?;
    if !args.check {
        edit::write(&context.workspace.root, &changes)?;
    }
    let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    let diff = edit::diff(&changes);
    let mut text: String = moves.iter().map(Move::line).collect();
    text.push_str(&diff);
    text.push_str(&match args.check {
        _ if changes.is_empty() => {
            "nothing to update: every pin already has that version or a newer one".to_owned()
        }
        true => format!("would change; run `cargo xtask {verb}`"),
        false => format!("written to {}", paths.join(", ")),
    });
    let data = reports::Updated {
        files: paths.iter().map(ToString::to_string).collect(),
        written: !args.check && !changes.is_empty(),
        diff,
        updates: moves.iter().map(Move::reported).collect(),
    };
    let mut report = Report::new(verb, data, text);
    if args.check && !changes.is_empty() {
        report.outcome = Outcome::Drift;
    }
    Ok(report)
}

impl Move {
    /// The move in one line.
    pub(crate) fn line(&self) -> String {
        let from = self.from.as_deref().unwrap_or("no version");
        format!("{}: {from} -> {}\n", self.name, self.to)
    }

    /// The move as it appears in a report.
    pub(crate) fn reported(&self) -> reports::Update {
        let (name, from, to) = (&self.name, &self.from, &self.to);
        reports::Update::of(self.kind, name.clone(), from.clone(), to.clone())
    }
}

fn tags(context: &Context) -> Result<Tags> {
    let token = context.github_token()?;
    Ok(Tags::new(&context.endpoints, token.as_ref())?)
}

/// The files of one tool, for all architectures.
async fn tool(
    context: &Context,
    inventory: &Inventory,
    tool: &str,
    args: &UpdateArgs,
) -> Result<Vec<Move>> {
    let downloads: Vec<(&Pin, &Download)> = inventory
        .pins
        .iter()
        .filter_map(|pin| match &pin.dependency {
            Dependency::Download(download) if download.tool == tool => Some((pin, download)),
            _ => None,
        })
        .collect();
    let [(_, first), ..] = downloads.as_slice() else {
        return Err(Error::findings(format!("nothing pins {tool}")));
    };
    let current = first.version.clone().unwrap_or_default();
    let repository = update::repository(first)?;
    let Some(to) = target(&tags(context)?, repository, tool, &current, args).await? else {
        return Ok(Vec::new());
    };
    let moves = downloads.iter().map(|(pin, download)| {
        let to = &to;
        async move {
            let sha256 = hash(context, download, &to.version).await?;
            Ok(Move {
                kind: "download",
                name: [Some(tool), download.architecture.as_deref()]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" "),
                from: download.version.clone(),
                to: to.version.clone(),
                published: to.published.clone(),
                notes: to.notes(repository),
                edits: update::download(pin, download, &to.version, sha256),
            })
        }
    });
    whole(join_all(moves).await)
}

/// The version to update to: the given one, or else the newest that is old enough.
async fn target(
    tags: &Tags,
    repository: &str,
    name: &str,
    current: &str,
    args: &UpdateArgs,
) -> Result<Option<Target>> {
    let wanted = args.version.as_deref();
    if wanted.is_some() {
        let named = |version| Target {
            version,
            published: None,
            tag: None,
        };
        return Ok(update::target(name, current, wanted, [])?.map(named));
    }
    let latest = before(args.min_age.unwrap_or(MIN_AGE));
    // GitHub's tags may start with `v` even if the pinned version does not.
    let spelt = |tag: &str| match current.starts_with('v') {
        true => tag.to_owned(),
        false => tag.trim_start_matches('v').to_owned(),
    };
    let mut published = tags.versions(repository).await?;
    // Keep the pinned version even if it is younger, because a user chose it.
    published.retain(|version| {
        let date = version.published.as_ref();
        date.is_none_or(|date| *date < latest) || spelt(&version.tag) == current
    });
    loop {
        let names: Vec<String> = published
            .iter()
            .map(|version| spelt(&version.tag))
            .collect();
        let names = names.iter().map(String::as_str);
        let Some(to) = update::target(name, current, None, names)? else {
            return Ok(None);
        };
        let is_chosen = |version: &PublishedVersion| spelt(&version.tag) == to;
        let Some(chosen) = published.iter().position(is_chosen) else {
            return Ok(None);
        };
        let PublishedVersion { tag, published } = published.remove(chosen);
        // The date of a tag without a release is that of its commit.
        let date = match published {
            Some(date) => date,
            None => tags.committed(repository, &tag).await?,
        };
        if date < latest {
            return Ok(Some(Target {
                version: to,
                published: Some(date),
                tag: Some(tag),
            }));
        }
    }
}

/// The time `days` ago in GitHub's format, which sorts chronologically.
fn before(days: u16) -> String {
    let then = OffsetDateTime::now_utc() - Duration::days(days.into());
    let date = then.date();
    let (hour, minute, second) = then.time().as_hms();
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The digest of the file in the version `to`.
async fn hash(context: &Context, download: &Download, to: &str) -> Result<Digest> {
    let url = update::moved_url(download, to);
    let task = context.progress.task(format!("download {url}"));
    let (found, size) = hash_url(&context.endpoints, &url, |done, total| {
        task.bytes(done, total)
    })
    .await
    .map_err(Error::from)?;
    task.done(&format!("{size} bytes"));
    if download.version.as_deref() == Some(to) && found != download.sha256 {
        return Err(Error::findings(format!("`{url}` does not match its pin"))
            .because(format!("pinned: {}\nfound:  {found}", download.sha256))
            .hint("a version whose content has changed is never pinned: find out why it changed"));
    }
    Ok(found)
}

/// Updates of actions to the newest version in their repositories.
async fn actions(
    context: &Context,
    inventory: &Inventory,
    args: &UpdateSomeArgs,
) -> Result<Vec<Move>> {
    let actions: Vec<(&Pin, &Action)> = inventory
        .pins
        .iter()
        .filter_map(|pin| match &pin.dependency {
            Dependency::Action(action) => Some((pin, action)),
            _ => None,
        })
        .filter(|(_, action)| {
            args.only
                .as_ref()
                .is_none_or(|only| *only == action.repository)
        })
        .collect();
    require_some(&actions, args, "action")?;
    let tags = &tags(context)?;
    let moves = actions.into_iter().map(|(pin, action)| async move {
        let name = &action.repository;
        let current = action.tag.clone().unwrap_or_default();
        let Some(to) = target(tags, name, name, &current, &args.update).await? else {
            return Ok(None);
        };
        let version = &to.version;
        let commit = tags.commit(name, version).await?;
        let commit = commit.parse().map_err(|error| {
            Error::findings(format!(
                "the tag `{version}` of `{name}` does not name a commit"
            ))
            .because(format!("`{commit}` {error}"))
        })?;
        Ok(Some(Move {
            kind: "action",
            name: name.clone(),
            from: action.tag.clone(),
            edits: update::action(pin, action, version, &commit)?,
            notes: to.notes(name),
            to: to.version,
            published: to.published,
        }))
    });
    Ok(whole(join_all(moves).await)?
        .into_iter()
        .flatten()
        .collect())
}

/// Updates of other projects' images to the newest version in their repositories.
async fn images(
    registry: &Registry,
    inventory: &Inventory,
    args: &UpdateSomeArgs,
) -> Result<Vec<Move>> {
    if args.update.min_age.is_some() {
        return Err(Error::usage(
            "`--min-age` does not apply to images: registries record no dates",
        ));
    }
    let images: Vec<(&Pin, &ImageRef)> = inventory
        .images()
        .filter(|pin| !pin.built)
        .filter_map(|pin| Some((pin, pin.image()?)))
        .filter(|(_, image)| args.only.as_ref().is_none_or(|only| *only == image.name()))
        .collect();
    require_some(&images, args, "image")?;
    let wanted = args.update.version.as_deref();
    let moves = images
        .into_iter()
        .map(|(pin, image)| move_image(registry, pin, image, wanted));
    Ok(whole(join_all(moves).await)?
        .into_iter()
        .flatten()
        .collect())
}

async fn move_image(
    registry: &Registry,
    pin: &Pin,
    image: &ImageRef,
    wanted: Option<&str>,
) -> Result<Option<Move>> {
    let name = image.name();
    let published = match wanted {
        Some(_) => Vec::new(),
        None => registry.tags(image).await?,
    };
    let current = image.tag().unwrap_or_default();
    let published = published.iter().map(String::as_str);
    let Some(to) = update::target(&name, current, wanted, published)? else {
        return Ok(None);
    };
    let tagged = image
        .unpinned()
        .with_tag(&to)
        .map_err(|error| Error::usage(format!("`{to}`: {error}")))?;
    let digest = registry.resolve(&tagged).await?;
    Ok(Some(Move {
        kind: "image",
        name,
        from: image.tag().map(str::to_owned),
        edits: update::image(pin, &tagged.pinned(digest)),
        to,
        published: None,
        notes: None,
    }))
}

fn require_some<T>(found: &[T], args: &UpdateSomeArgs, what: &str) -> Result<()> {
    match (&args.only, found.is_empty()) {
        (Some(only), true) => Err(Error::usage(format!("nothing uses the {what} `{only}`"))
            .hint("`cargo xtask verify-pins --offline --format markdown` lists all pins")),
        _ => Ok(()),
    }
}

/// All results, or one error that lists every failure: several pins are updated together or not at all.
fn whole<T>(results: Vec<Result<T>>) -> Result<Vec<T>> {
    let all = results.len();
    let (mut done, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => done.push(one),
            Err(error) => errors.push(error),
        }
    }
    let message = format!(
        "{} of {all} pins could not be updated; nothing was changed",
        errors.len()
    );
    failure::all(message, errors).map_or(Ok(done), Err)
}
