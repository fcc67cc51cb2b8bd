//! `update`: moves pins to another version. What the new version hashes to is found out here, by
//! downloading it or asking for it, and never taken from anybody's word.

use futures_util::future::join_all;
use polis_base::{Digest, ImageRef};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use xtask::cli::{UpdateArgs, UpdateSomeArgs, UpdateVerb};
use xtask::error::{Error, Outcome, Result};
use xtask::pins::edit::{self, Edit};
use xtask::pins::{Action, Download, Files, Inventory, Pin, What, update};
use xtask::report::Report;
use xtask::verbs::docs;
use xtask::write;
use xtask_online::download::hash_url;
use xtask_online::github::Tags;
use xtask_online::registry::Registry;

use crate::context::Context;
use crate::failure;

/// How many days old a version of a tool or an action must be.
const MIN_AGE: u16 = 7;

/// One pin that moves.
struct Move {
    kind: &'static str,
    name: String,
    from: Option<String>,
    to: String,
    edits: Vec<Edit>,
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
            images(context, &inventory, some).await?,
        ),
    };
    report(context, verb, args, &files, &moves)
}

/// Makes the edits of all `moves`, or shows them.
fn report(
    context: &Context,
    verb: &'static str,
    args: &UpdateArgs,
    files: &Files,
    moves: &[Move],
) -> Result<Report> {
    let edits: Vec<Edit> = moves.iter().flat_map(|one| one.edits.clone()).collect();
    let changes = edit::apply(files.all(), &edits)?;
    let changes = docs::with_page(&context.workspace, files, changes)?;
    if !args.check {
        write::changes(&context.workspace.root, &changes)?;
    }
    let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    let diff = edit::diff(&changes);
    let mut text: String = moves.iter().map(Move::line).collect();
    text.push_str(&diff);
    text.push_str(&match args.check {
        _ if changes.is_empty() => {
            "nothing to move: every pin is that version, or newer".to_owned()
        }
        true => format!("would change; run `cargo xtask {verb}`"),
        false => format!("written to {}", paths.join(", ")),
    });
    let data = json!({
        "files": paths,
        "written": !args.check && !changes.is_empty(),
        "diff": diff,
        "updates": moves.iter().map(Move::to_json).collect::<Vec<_>>(),
    });
    let mut report = Report::new(verb, data, text);
    if args.check && !changes.is_empty() {
        report.outcome = Outcome::Drift;
    }
    Ok(report)
}

impl Move {
    fn line(&self) -> String {
        let from = self.from.as_deref().unwrap_or("no version");
        format!("{}: {from} -> {}\n", self.name, self.to)
    }

    fn to_json(&self) -> Value {
        json!({"kind": self.kind, "name": self.name, "from": self.from, "to": self.to})
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
        .filter_map(|pin| match &pin.what {
            What::Download(download) if download.tool == tool => Some((pin, download)),
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
            let sha256 = hash(context, download, to).await?;
            Ok(Move {
                kind: "download",
                name: [Some(tool), download.architecture.as_deref()]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" "),
                from: download.version.clone(),
                to: to.clone(),
                edits: update::download(pin, download, to, sha256),
            })
        }
    });
    whole(join_all(moves).await)
}

/// The version to move to: the one that is named, else the newest that is old enough.
async fn target(
    tags: &Tags,
    repository: &str,
    name: &str,
    current: &str,
    args: &UpdateArgs,
) -> Result<Option<String>> {
    let wanted = args.version.as_deref();
    if wanted.is_some() {
        return update::target(name, current, wanted, []);
    }
    let latest = before(args.min_age.unwrap_or(MIN_AGE));
    let mut published = tags.versions(repository).await?;
    published.retain(|version| version.published.as_ref().is_none_or(|date| *date < latest));
    // GitHub's tags have a `v` also where the version that is pinned has none.
    let spelt = |tag: &str| match current.starts_with('v') {
        true => tag.to_owned(),
        false => tag.trim_start_matches('v').to_owned(),
    };
    loop {
        let names: Vec<String> = published
            .iter()
            .map(|version| spelt(&version.tag))
            .collect();
        let names = names.iter().map(String::as_str);
        let Some(to) = update::target(name, current, None, names)? else {
            return Ok(None);
        };
        let chosen = published
            .iter()
            .position(|version| spelt(&version.tag) == to);
        let Some(chosen) = chosen else {
            return Ok(Some(to));
        };
        // A tag without a release is as old as its commit.
        if published[chosen].published.is_some()
            || tags.committed(repository, &published[chosen].tag).await? < latest
        {
            return Ok(Some(to));
        }
        published.remove(chosen);
    }
}

/// The time `days` ago, as GitHub writes times: these texts sort as what they stand for.
fn before(days: u16) -> String {
    let then = OffsetDateTime::now_utc() - Duration::days(days.into());
    let date = then.date();
    let (hour, minute, second) = then.time().as_hms();
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The digest of the file of the version `to`.
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
        return Err(Error::findings(format!("`{url}` is not what is pinned"))
            .because(format!("pinned: {}\nfound:  {found}", download.sha256))
            .hint("a version whose bytes have changed is not taken over: find out why they have"));
    }
    Ok(found)
}

/// The actions, each to the newest version of its repository.
async fn actions(
    context: &Context,
    inventory: &Inventory,
    args: &UpdateSomeArgs,
) -> Result<Vec<Move>> {
    let actions: Vec<(&Pin, &Action)> = inventory
        .pins
        .iter()
        .filter_map(|pin| match &pin.what {
            What::Action(action) => Some((pin, action)),
            _ => None,
        })
        .filter(|(_, action)| {
            args.only
                .as_ref()
                .is_none_or(|only| *only == action.repository)
        })
        .collect();
    some_of(&actions, args, "action")?;
    let tags = &tags(context)?;
    let moves = actions.into_iter().map(|(pin, action)| async move {
        let name = &action.repository;
        let current = action.tag.clone().unwrap_or_default();
        let Some(to) = target(tags, name, name, &current, &args.update).await? else {
            return Ok(None);
        };
        let commit = tags.commit(name, &to).await?;
        let commit = commit.parse().map_err(|error| {
            Error::findings(format!("the tag `{to}` of `{name}` names no commit"))
                .because(format!("`{commit}` {error}"))
        })?;
        Ok(Some(Move {
            kind: "action",
            name: name.clone(),
            from: action.tag.clone(),
            edits: update::action(pin, action, &to, &commit)?,
            to,
        }))
    });
    Ok(whole(join_all(moves).await)?
        .into_iter()
        .flatten()
        .collect())
}

/// The images that others publish, each to the newest version in its repository.
async fn images(
    context: &Context,
    inventory: &Inventory,
    args: &UpdateSomeArgs,
) -> Result<Vec<Move>> {
    if args.update.min_age.is_some() {
        return Err(Error::usage(
            "`--min-age` is not for images: registries tell no dates",
        ));
    }
    let images: Vec<(&Pin, &ImageRef)> = inventory
        .images()
        .filter(|pin| !pin.built)
        .filter_map(|pin| Some((pin, pin.image()?)))
        .filter(|(_, image)| args.only.as_ref().is_none_or(|only| *only == image.name()))
        .collect();
    some_of(&images, args, "image")?;
    let registry = &context.registry()?;
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
    }))
}

fn some_of<T>(found: &[T], args: &UpdateSomeArgs, what: &str) -> Result<()> {
    match (&args.only, found.is_empty()) {
        (Some(only), true) => Err(Error::usage(format!("nothing uses the {what} `{only}`"))
            .hint("`cargo xtask verify-pins --offline --format markdown` lists all pins")),
        _ => Ok(()),
    }
}

/// All results, or one error that names every failure: several pins move together or not at all.
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
        "{} of {all} pins could not be moved; nothing was changed",
        errors.len()
    );
    failure::all(message, errors).map_or(Ok(done), Err)
}
