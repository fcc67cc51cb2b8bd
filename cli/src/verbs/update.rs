//! `polis update`: replaces this program with the newest release, which is verified with the key built into the program.

use std::time::Duration;

use polis_base::Digest;
use polis_base::facts::NO_KEY;
use polis_base::release::{self, SIGNATURE, SUMS};
use semver::Version;

use crate::args::UpdateArgs;
use crate::context::Context;
use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::instance::named;
use crate::output::Done;
use crate::process::{self, Failure};
use crate::proxy::Proxies;
use crate::release::archive;
use crate::release::fetch::{ReleaseRef, Releases, interrupted};
use crate::release::place::{Installation, Staged};
use crate::release::statement::{self, Statement, Verdict};
use crate::reports::program::Update;
use crate::store::Store;
use crate::view::View;

/// The maximum size of a signature and of a checksum list; a release has some twenty files.
const MOST_SIGNATURE: usize = 4 << 10;
const MOST_SUMS: usize = 64 << 10;
/// The maximum size of an archive.
const MOST_ARCHIVE: usize = 64 << 20;
/// How long the new program may take to print its version.
const SELF_TEST: Duration = Duration::from_secs(20);

/// Runs `polis update`.
pub(crate) fn run(context: &Context, args: &UpdateArgs) -> Result<Done> {
    let key = key()?;
    let current = Version::parse(embedded::LABEL).map_err(|error| {
        Error::new(Kind::Unexpected, "this program is damaged").caused_by(&error)
    })?;
    let settings = &context.settings;
    let proxies = Proxies::read(settings)?;
    let releases = Releases::at(
        &settings.release_url.value,
        settings.update_timeout.duration(),
        &proxies,
    )?;
    let mut view = View::new(context.output, context.verbose);
    if args.check {
        let statement = fetch_statement(&releases, &key, args.version.as_ref(), &mut view)?;
        let verdict = compare(&current, &statement, args)?;
        return Ok(report(&current, &statement.version, verdict, None));
    }
    let place = Installation::find()?;
    // All workspaces share the program.
    let _lock = Store::new(context.store.state().to_owned()).lock()?;
    let staged = place.stage()?;
    let statement = fetch_statement(&releases, &key, args.version.as_ref(), &mut view)?;
    let verdict = compare(&current, &statement, args)?;
    if verdict == Verdict::Newer {
        install(&releases, &statement, staged, &mut view)?;
    }
    Ok(report(&current, &statement.version, verdict, Some(&place)))
}

/// The key that verifies releases.
fn key() -> Result<String> {
    let facts = embedded::facts().map_err(|error| {
        Error::new(Kind::Unexpected, "this program is damaged").caused_by(&error)
    })?;
    if facts.key == NO_KEY {
        return Err(Error::new(Kind::Update, "this program cannot be updated")
            .because("it was built without the key that verifies releases")
            .next(format!("install a release: {}", embedded::INSTALL)));
    }
    Ok(facts.key)
}

/// Fetches and verifies the statement of the newest release, or of the requested one.
fn fetch_statement(
    releases: &Releases<'_>,
    key: &str,
    asked: Option<&Version>,
    view: &mut View,
) -> Result<Statement> {
    view.step("Looking for a release");
    let forged = |why: String| {
        Error::new(Kind::Update, "the signature of the release is not valid")
            .because(why)
            .next(
                "do not install these files by hand; run this again; if it fails again, report it",
            )
    };
    let name = asked.map(Version::to_string);
    let of = name
        .as_deref()
        .map_or(ReleaseRef::Latest, ReleaseRef::Version);
    let signature = releases.get(of, SIGNATURE, MOST_SIGNATURE, |_| {})?;
    // Only to find its checksum list: a newer release may have been published in the meantime.
    let claimed = statement::claimed(&signature).map_err(forged)?;
    if let Some(asked) = asked
        && *asked != claimed
    {
        return Err(forged(format!("it is for {claimed}, expected {asked}")));
    }
    let of = claimed.to_string();
    let sums = releases.get(ReleaseRef::Version(&of), SUMS, MOST_SUMS, |_| {})?;
    let statement = statement::verify(key, &signature, &sums).map_err(forged)?;
    view.done();
    Ok(statement)
}

/// Compares the release with this program; an older one is an error.
fn compare(current: &Version, statement: &Statement, args: &UpdateArgs) -> Result<Verdict> {
    let found = &statement.version;
    let verdict = statement::judge(current, found, args.version.is_some());
    if verdict == Verdict::Older {
        return Err(Error::new(
            Kind::Update,
            format!("the release {found} is older than this program, {current}"),
        )
        .because("polis never downgrades: otherwise an attacker could serve an old release in place of a new one")
        .next(format!("to downgrade anyway, install it with its script: {}", embedded::INSTALL)));
    }
    Ok(verdict)
}

/// Downloads, verifies and tests the release, and installs it.
fn install(
    releases: &Releases<'_>,
    statement: &Statement,
    mut staged: Staged<'_>,
    view: &mut View,
) -> Result<()> {
    let version = statement.version.to_string();
    let name = release::archive_name(&version, embedded::TARGET);
    let path = archive::path(&version, embedded::TARGET);
    let wrong = |why: String| {
        Error::new(Kind::Update, format!("`{name}` cannot be installed")).because(why)
    };
    let expected = statement.digest(&name).map_err(|why| {
        wrong(why).next(format!(
            "to see the systems that {version} supports: {}",
            embedded::INSTALL
        ))
    })?;
    view.step(&format!("Downloading polis {version}"));
    let bytes = releases.get(
        ReleaseRef::Version(&version),
        &name,
        MOST_ARCHIVE,
        |count| {
            view.bytes(count);
        },
    )?;
    let found = Digest::of(&bytes);
    if found != expected {
        return Err(wrong(format!(
            "it hashes to {}, expected {}",
            found.hex(),
            expected.hex()
        ))
        .next("run this again; if it fails again, the download was tampered with"));
    }
    let program = archive::program(&bytes, &path)
        .map_err(|why| wrong(why).next("the old program was kept; report this"))?;
    view.step("Testing the new program");
    staged.fill(&program)?;
    try_out(&staged, &version)?;
    if crate::signals::came() {
        return Err(interrupted());
    }
    staged.swap()?;
    view.done();
    Ok(())
}

/// Runs the new program once: it must start on this machine and report the expected version.
fn try_out(staged: &Staged<'_>, version: &str) -> Result<()> {
    let broken = |why: String| {
        Error::new(Kind::Update, "the new program does not run on this machine")
            .because(why)
            .next("the old program was kept; report this, with your system and its version")
    };
    let output = match process::run(staged.path(), &["version".to_owned()], SELF_TEST) {
        Ok(output) => output,
        Err(Failure::Interrupted) => return Err(interrupted()),
        Err(Failure::Start(error)) => return Err(broken(error.to_string())),
        Err(Failure::TimedOut(limit)) => {
            return Err(broken(format!("it took more than {} s", limit.as_secs())));
        }
        Err(_) => return Err(broken("it printed too much output".to_owned())),
    };
    let reported = output.stdout.lines().next().unwrap_or_default();
    match output.code {
        Some(0) if reported == format!("polis {version}") => Ok(()),
        Some(0) => Err(broken(format!(
            "it reports `{reported}`, expected `polis {version}`"
        ))),
        code => {
            let code = code.map_or("killed by a signal".to_owned(), |code| {
                format!("exit code {code}")
            });
            let said = output.stderr.lines().last().unwrap_or_default();
            Err(broken(format!("`polis version` failed ({code}): {said}")))
        }
    }
}

/// The report about the release `found`; `place` is the program that was to be updated.
fn report(
    current: &Version,
    found: &Version,
    verdict: Verdict,
    place: Option<&Installation>,
) -> Done {
    let text = match (verdict, place) {
        (Verdict::Newer, Some(_)) => format!(
            "polis is now {found}; it was {current}. Next: {}, which updates the VM\n",
            named("polis start")
        ),
        (Verdict::Newer, None) => {
            format!("polis {found} is available; this is {current}. Next: polis update\n")
        }
        (Verdict::Preview, _) => format!(
            "polis {found} is a preview; this is {current}. To install it: polis update --version {found}\n"
        ),
        _ => format!("polis {current} is the newest release.\n"),
    };
    let report = Update {
        current: current.to_string(),
        release: found.to_string(),
        newer: matches!(verdict, Verdict::Newer | Verdict::Preview),
        updated: verdict == Verdict::Newer && place.is_some(),
        program: place.map(|place| place.program().display().to_string()),
    };
    Done::new(text, report)
}
