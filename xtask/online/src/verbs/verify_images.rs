//! `verify-images`: reads every layer of the pinned images of the compose file and checks them against their contracts.

use xtask_host::error::{Error, Result};
use xtask_host::finding::Finding;
use xtask_host::report::Report;
use xtask_host::report::markdown::{self, cell_text, code};
use xtask_host::reports::network as reports;
use xtask_host::source::Place;
use xtask_online::args::VerifyImagesArgs;
use xtask_online::images::{ImageStatus, Images, Problem, Subject, Verdict, uses_in};
use xtask_online::registry::Registry;
use xtask_pins::compose::Compose;
use xtask_pins::contract::{self, Contract};
use xtask_pins::inventory::{Inventory, judge};
use xtask_pins::waivers;

use crate::context::Context;

/// The results for all images.
pub(crate) struct Examined {
    /// Every contract violation, and the platforms that no contract lists.
    pub(crate) findings: Vec<Finding>,
    rows: Vec<reports::ReadImage>,
    table: String,
    text: String,
}

/// Runs the verb: the offline findings about the images, and the state of the registries.
pub(crate) async fn run(context: &Context, args: &VerifyImagesArgs) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    let offline = judge(&inventory(context)?, today);
    // Whether other files need a waiver is not known here.
    let offline = offline
        .into_iter()
        .filter(|finding| finding.rule != "stale-waiver");
    let only = &args.images;
    known(context, only)?;
    let named = |subject: &Subject<'_>| {
        let name = subject.contract.map(Contract::name);
        only.is_empty() || only.iter().any(|only| Some(only.as_str()) == name)
    };
    let examined = examine(context, &context.public_registry()?, &named).await?;
    let none = reports::ReadImages { images: Vec::new() };
    let report = Report::new("verify-images", none, String::new());
    Ok(examined.join(report.with_findings(offline.collect())))
}

/// Requires that a contract exists for each of `names`.
fn known(context: &Context, names: &[String]) -> Result<()> {
    let contracts = contract::load(&context.workspace.root)?;
    let known: Vec<&str> = contracts.iter().map(Contract::name).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Error::usage(format!(
            "unknown image `{unknown}`: {} has no such contract",
            contract::DIR
        ))
        .hint(format!("known images: {}", known.join(", ")))),
    }
}

impl Examined {
    /// Adds all results to `report`.
    pub(crate) fn join(self, mut report: Report) -> Report {
        report.add(reports::ReadImages { images: self.rows });
        report.text.push_str(&self.text);
        let tables = [report.table.take(), Some(self.table)]
            .into_iter()
            .flatten();
        let table = tables.collect::<Vec<_>>().join("\n");
        report.with_table(table).with_findings(self.findings)
    }
}

/// Selects the images to read.
pub(crate) type Wanted<'a> = &'a (dyn Fn(&Subject<'_>) -> bool + Sync);

/// Reads the `wanted` images of the compose file through `registry`.
///
/// # Errors
/// If the files cannot be read.
pub(crate) async fn examine(
    context: &Context,
    registry: &Registry,
    wanted: Wanted<'_>,
) -> Result<Examined> {
    let contracts = contract::load(&context.workspace.root)?;
    let inventory = inventory(context)?;
    let mut subjects = subjects(context, &inventory, &contracts)?;
    subjects.retain(wanted);
    let verdicts = Images::new(registry, context.progress)
        .verify(&subjects)
        .await;
    let both = || subjects.iter().zip(&verdicts);
    Ok(Examined {
        findings: both()
            .flat_map(|(subject, verdict)| findings(subject, verdict))
            .collect(),
        rows: both()
            .map(|(subject, verdict)| row(subject, verdict))
            .collect(),
        table: table(both()),
        text: both()
            .map(|(subject, verdict)| line(subject, verdict))
            .collect(),
    })
}

fn inventory(context: &Context) -> Result<Inventory> {
    let root = &context.workspace.root;
    Ok(Inventory::of_stack(
        &Compose::load(root)?,
        waivers::load(root)?,
    ))
}

/// The images that services run, without duplicates.
fn subjects<'a>(
    context: &Context,
    inventory: &Inventory,
    contracts: &'a [Contract],
) -> Result<Vec<Subject<'a>>> {
    let root = &context.workspace.root;
    let mut uses = uses_in(root, &Compose::load(root)?);
    let mut subjects = Vec::new();
    for pin in &inventory.pins {
        let Some(image) = pin.image() else { continue };
        // No service runs an image that only a build or a volume names.
        let Some(uses) = uses.remove(image) else {
            continue;
        };
        subjects.push(Subject {
            image: image.clone(),
            place: pin.place().clone(),
            built: pin.built,
            waived: pin.waiver.as_ref().map(|waiver| waiver.reason.clone()),
            contract: contract::of_image(contracts, &image.name()),
            uses,
        });
    }
    Ok(subjects)
}

fn findings(subject: &Subject<'_>, verdict: &Verdict) -> Vec<Finding> {
    let name = subject.image.unpinned().to_string();
    // A missing digest is already an offline finding.
    let problems = verdict
        .problems
        .iter()
        .filter(|problem| problem.kind != ImageStatus::Unpinned);
    let mut findings: Vec<Finding> = problems
        .map(|problem| problem.finding(&name, &subject.place))
        .collect();
    if let (Some(contract), false) = (subject.contract, verdict.more.is_empty()) {
        let place = contract
            .platforms
            .first()
            .map_or(&contract.place, |fact| &fact.place);
        let message = format!(
            "`{name}` is also published for {}, which its contract does not list",
            verdict.more.join(", ")
        );
        let finding = Finding::warning("image-more-platforms", place.clone(), message);
        findings.push(finding.help(
            "add it to the contract: `polis` refuses machines whose platform no contract lists",
        ));
    }
    findings
}

fn place<'a>(subject: &'a Subject<'_>, problem: &'a Problem) -> &'a Place {
    problem.place.as_deref().unwrap_or(&subject.place)
}

fn row(subject: &Subject<'_>, verdict: &Verdict) -> reports::ReadImage {
    let platforms = verdict.platforms.iter().map(|seen| reports::ReadPlatform {
        platform: seen.platform.clone(),
        layers: seen.layers,
        bytes: seen.bytes,
    });
    let problems = verdict.problems.iter().map(|problem| {
        let place = place(subject, problem);
        reports::Problem {
            state: reports::ImageState(problem.kind.word()),
            platform: problem.platform.clone(),
            about: problem.about.clone(),
            path: place.path.clone(),
            line: place.line,
        }
    });
    let services = services(subject).into_iter().map(str::to_owned);
    reports::ReadImage {
        image: subject.image.unpinned().to_string(),
        pinned: subject.image.digest().map(|digest| digest.to_string()),
        built: subject.built,
        services: services.collect(),
        contract: subject
            .contract
            .map(|contract| contract.source.path.clone()),
        waived: subject.waived.clone(),
        state: reports::ImageState(verdict.kind.word()),
        reason: verdict.reason.clone(),
        platforms: platforms.collect(),
        problems: problems.collect(),
    }
}

fn services<'a>(subject: &'a Subject<'_>) -> Vec<&'a str> {
    subject
        .uses
        .iter()
        .map(|used| used.service.as_str())
        .collect()
}

/// One line of the plain report, in the form of `verify-pins`.
fn line(subject: &Subject<'_>, verdict: &Verdict) -> String {
    let read = verdict.platforms.iter().map(|seen| {
        format!(
            " {} ({} layers, {} bytes)",
            seen.platform, seen.layers, seen.bytes
        )
    });
    format!(
        "{:<18}  image {}{}\n",
        verdict.kind.word(),
        subject.image.unpinned(),
        read.collect::<String>()
    )
}

fn table<'a>(rows: impl Iterator<Item = (&'a Subject<'a>, &'a Verdict)>) -> String {
    let rows = rows.map(|(subject, verdict)| {
        let pinned = subject
            .image
            .digest()
            .map_or_else(String::new, |digest| code(&digest.to_string()));
        let mut state = vec![verdict.kind.word().to_owned()];
        state.extend(verdict.reason.as_deref().map(cell_text));
        state.extend(
            verdict
                .problems
                .iter()
                .map(|problem| cell_text(&format!("{}: {}", problem.kind.word(), problem.about))),
        );
        vec![
            code(&subject.image.unpinned().to_string()),
            pinned,
            services(subject).join(", "),
            state.join("<br>"),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    markdown::table(&["image", "pinned to", "services", "state"], &rows)
}
