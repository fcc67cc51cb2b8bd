//! `release`: plans, executes or rehearses a release.

use xtask_build::rust_build;
use xtask_dist::{Archives, RELEASE_TARGETS, ReleaseKind};
use xtask_host::error::{Error, Outcome, Result};
use xtask_host::report::Report;
use xtask_host::reports::release as reports;
use xtask_host::workspace::Workspace;
use xtask_online::args::{ReleaseArgs, Until};
use xtask_pins::versions;

use super::dry::dry_run;
use super::lock::Lock;
use super::order::{Order, Released};
use super::plan::Plan;
use super::times::Times;
use super::{run, sandbox};
use crate::context::Context;

/// Runs the verb.
pub(crate) async fn release(context: Context, args: &ReleaseArgs) -> Result<Report> {
    let version = version(
        args.version.as_deref(),
        &versions::of_workspace(&context.workspace)?,
    )?;
    if args.rehearse && context.moved {
        return Err(
            Error::usage("--endpoint cannot be combined with --rehearse")
                .because("a rehearsal starts its own servers"),
        );
    }
    let mut order = Order {
        kind: if args.rehearse {
            ReleaseKind::Rehearsal
        } else {
            ReleaseKind::Release
        },
        version,
        targets: targets(&context.workspace, args)?,
        archives: archives(args)?,
        layout: args.images.clone(),
        dist: context.workspace.root.join("dist"),
        until: args.until,
        sandbox: None,
    };
    if !args.execute && !args.rehearse {
        return Ok(plan_report(&order, &dry_run(&context, &order).await));
    }
    let _lock = Lock::take(&context.workspace)?;
    let mut times = Times::new(context.progress);
    let mut context = context;
    if args.rehearse {
        let (inner, sandbox) = times.stage("sandbox", sandbox::prepare(&context)).await?;
        context = inner;
        order.sandbox = Some(sandbox);
    }
    let released = run(&context, &order, &mut times).await?;
    Ok(report(&context, &order, &released, &times))
}

/// The version to release: that of the tree, which `given` must match.
fn version(given: Option<&str>, tree: &semver::Version) -> Result<semver::Version> {
    let Some(text) = given else {
        return Ok(tree.clone());
    };
    let given: semver::Version = text.trim_start_matches('v').parse().map_err(|error| {
        Error::usage(format!("invalid version `{text}`")).because(format!("{error}"))
    })?;
    if given == *tree {
        Ok(given)
    } else {
        Err(
            Error::usage(format!("this tree is version {tree}, not {given}")).hint(format!(
                "set the version in Cargo.toml and write a section `## {given}` into CHANGELOG.md"
            )),
        )
    }
}

/// The targets of the release: those given, or else all, or this machine's for a rehearsal.
fn targets(workspace: &Workspace, args: &ReleaseArgs) -> Result<Vec<String>> {
    let mut targets = match (
        args.targets.is_empty(),
        args.rehearse && args.prebuilt.is_none() && args.assembled.is_none(),
    ) {
        (false, _) => args.targets.clone(),
        (true, true) => vec![of_a_release(rust_build::cli_target(workspace)?)?],
        (true, false) => RELEASE_TARGETS.map(str::to_owned).to_vec(),
    };
    targets.sort();
    targets.dedup();
    Ok(targets)
}

/// `target`, if a release includes it. Without the static target installed, Linux builds for a different one.
fn of_a_release(target: String) -> Result<String> {
    if RELEASE_TARGETS.contains(&target.as_str()) {
        return Ok(target);
    }
    let missing = target.replace("-linux-gnu", "-linux-musl");
    Err(Error::machine(format!(
        "the CLI is not released for `{target}`, so it cannot be rehearsed"
    ))
    .hint(format!("rustup target add {missing}"))
    .hint("or name another target with --targets"))
}

fn archives(args: &ReleaseArgs) -> Result<Archives> {
    match (&args.prebuilt, &args.assembled) {
        (Some(dir), _) => Ok(Archives::Prebuilt(dir.clone())),
        (None, Some(dir)) => Ok(Archives::Assembled(dir.clone())),
        (None, None) if args.execute && args.targets.is_empty() => {
            Err(Error::usage("a release needs the CLI of every target")
                .because("one machine cannot build them all")
                .hint("build each on its runner with `cargo xtask dist --archive-only --target TRIPLE`, then name their directory with --prebuilt DIR; or narrow the release with --targets"))
        }
        (None, None) => Ok(Archives::Build),
    }
}

/// The report of a dry run.
fn plan_report(order: &Order, plan: &Plan) -> Report {
    let mut text = format!("Release {} of Polis\n", order.version);
    text.push_str(&format!(
        "\nbuild\n  images, and the CLI for {}\n",
        order.targets.join(", ")
    ));
    text.push_str(&narrowed(order));
    text.push_str(&plan.to_text());
    for refusal in &plan.refusals {
        text.push_str(&format!("\n{refusal}\n"));
    }
    let blockers = plan.blockers();
    if !blockers.is_empty() {
        text.push_str("\nThe release would be refused, before anything is changed:\n");
        for blocker in &blockers {
            text.push_str(&format!("  - {blocker}\n"));
        }
    }
    text.push_str("\nThis is the plan; nothing was changed. --execute runs it, --rehearse runs it against loopback.");
    let refusals = plan.refusals.iter();
    let data = reports::Plan {
        version: order.version.to_string(),
        targets: order.targets.clone(),
        steps: plan.reported(),
        refusals: refusals.map(|refusal| refusal.message.clone()).collect(),
        blockers: blockers.into_iter().map(str::to_owned).collect(),
        notes: plan.notes.clone(),
    };
    let mut report = Report::new("release", data, text);
    report.outcome = plan
        .refusals
        .iter()
        .map(|refusal| refusal.outcome)
        .fold(Outcome::Ok, Outcome::max);
    report
}

/// The targets of a full release that this one omits.
fn narrowed(order: &Order) -> String {
    let left_out: Vec<&str> = RELEASE_TARGETS
        .into_iter()
        .filter(|target| !order.targets.iter().any(|ours| ours == target))
        .collect();
    match left_out.is_empty() {
        true => String::new(),
        false => format!("  skipped: {}\n", left_out.join(", ")),
    }
}

fn report(context: &Context, order: &Order, released: &Released, times: &Times) -> Report {
    let mut text = headline(order, released);
    text.push_str("\nimages\n");
    for image in &released.images {
        for line in image.to_text().lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    if order.until == Until::Published {
        text.push_str(&format!("\nfiles in {}\n", order.dist.display()));
        text.push_str(&narrowed(order));
        for asset in &released.assets {
            text.push_str(&format!("  {}  {}\n", asset.sha256.hex(), asset.name));
        }
        text.push_str(&format!(
            "\nverify\n  cd {} && sha256sum -c SHA256SUMS && minisign -Vm SHA256SUMS -p minisign.pub\n",
            order.dist.display()
        ));
    }
    if let Some(sandbox) = &order.sandbox {
        text.push_str(&format!(
            "\nlook\n  registry: {}\n  GitHub releases: {}\n  the tree that was released: {}\n",
            sandbox.registry_dir().display(),
            sandbox.github_dir().display(),
            context.workspace.root.display()
        ));
        text.push_str(REHEARSED);
    }
    for warning in &released.warnings {
        text.push_str(&format!("\nwarning: {warning}\n"));
    }
    text.push_str(&format!("\ntime\n{}", times.to_text()));
    Report::new("release", data(order, released, times), text)
}

fn headline(order: &Order, released: &Released) -> String {
    let version = &order.version;
    match (order.kind, &released.release) {
        (ReleaseKind::Rehearsal, _) => {
            format!("Rehearsed the release of Polis {version}. Nothing has left this machine.\n")
        }
        (ReleaseKind::Release, Some(release)) => {
            format!("Released Polis {version}: {}\n", release.page)
        }
        (ReleaseKind::Release, None) => format!("Pushed the images of Polis {version}.\n"),
    }
}

const REHEARSED: &str = "
what was not real
  the published service images were placeholders, labelled `io.polis.rehearsal`
  the downloads of the VM were stand-ins from a loopback server; their pins are unproven here
  the signature was made with a key generated for this rehearsal
";

fn data(order: &Order, released: &Released, times: &Times) -> reports::Released {
    let (images, assets) = (released.images.iter(), released.assets.iter());
    reports::Released {
        version: order.version.to_string(),
        tag: order.tag(),
        rehearsal: order.kind == ReleaseKind::Rehearsal,
        targets: order.targets.clone(),
        images: images.map(xtask_build::images::Image::reported).collect(),
        assets: assets.map(xtask_dist::ReleaseFile::reported).collect(),
        directory: order.dist.display().to_string(),
        warnings: released.warnings.clone(),
        signing_key_protected: released.protected,
        seconds: times.seconds(),
    }
}

#[cfg(test)]
mod tests {
    use semver::Version;

    use super::*;

    #[test]
    fn a_machine_without_a_released_target_gets_a_hint() {
        let musl = "x86_64-unknown-linux-musl".to_owned();
        assert_eq!(of_a_release(musl.clone()).unwrap(), musl);
        let error = of_a_release("x86_64-unknown-linux-gnu".to_owned()).expect_err("none");
        assert_eq!(error.outcome, Outcome::Machine);
        let hint = "rustup target add x86_64-unknown-linux-musl";
        assert!(error.to_string().contains(hint), "{error}");
    }

    #[test]
    fn only_the_version_of_the_tree_can_be_released() {
        let tree = Version::new(0, 5, 0);
        assert_eq!(version(None, &tree).unwrap(), tree);
        assert_eq!(version(Some("v0.5.0"), &tree).unwrap(), tree);
        let error = version(Some("0.6.0"), &tree).expect_err("another version");
        assert!(error.to_string().contains("not 0.6.0"), "{error}");
        assert!(version(Some("next"), &tree).is_err());
    }
}
