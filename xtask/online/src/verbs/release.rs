//! `release --execute` and `release --rehearse`: runs the plan and tells what was released.

use serde_json::json;

use xtask::cli::ReleaseArgs;
use xtask::compose::Compose;
use xtask::error::{Error, Result};
use xtask::report::Report;
use xtask::rust_build;
use xtask::verbs::verify_pins;
use xtask::versions;
use xtask::workspace::Workspace;
use xtask_dist::{Archives, Kind};

use crate::context::Context;
use crate::release::Run;
use crate::release::plan::{self, Inputs, Mode, Plan};

/// Runs the verb.
pub(crate) async fn run(context: Context, args: &ReleaseArgs) -> Result<Report> {
    if !args.execute && !args.rehearse {
        let plan = plan(&context.workspace, args, Mode::Execute)?;
        let text = format!(
            "{}\nThis is the plan; nothing was changed. --execute runs it, --rehearse runs it against loopback.",
            plan.to_text()
        );
        return Ok(Report::new("release", plan.to_json(), text));
    }
    let mode = if args.rehearse {
        Mode::Rehearse
    } else {
        Mode::Execute
    };
    if mode == Mode::Rehearse && context.moved {
        return Err(Error::usage("--endpoint has no place in a rehearsal")
            .because("it brings its own servers"));
    }
    let plan = plan(&context.workspace, args, mode)?;
    let archives = match (&args.prebuilt, mode) {
        (Some(dir), _) => Archives::Prebuilt(dir.clone()),
        (None, Mode::Rehearse) => Archives::Build,
        (None, Mode::Execute) => {
            return Err(Error::usage("a release needs the CLI of every target")
                .because("this machine builds only its own")
                .hint("build each on its runner with `cargo xtask dist --archive-only --target TRIPLE`, then name their directory with --prebuilt DIR"));
        }
    };
    let mut run = Run::new(context, plan, archives);
    run.execute().await?;
    report(&run)
}

fn plan(workspace: &Workspace, args: &ReleaseArgs, mode: Mode) -> Result<Plan> {
    let version = plan::version(args.version.as_deref(), &versions::of_workspace(workspace)?)?;
    let compose = Compose::load(&workspace.root)?;
    let pins = verify_pins::read_downloads(workspace)?;
    let targets = match (mode, &args.prebuilt) {
        (Mode::Rehearse, None) => Some(vec![rust_build::cli_target(workspace)?]),
        _ => None,
    };
    let inputs = Inputs {
        version: &version,
        compose: &compose,
        downloads: &pins.downloads,
        targets,
    };
    Plan::new(mode, &inputs)
}

fn report(run: &Run) -> Result<Report> {
    let release = run.release()?;
    let mut text = String::new();
    match run.kind() {
        Kind::Release => text.push_str(&format!(
            "Released Polis {}: {}\n",
            run.plan.version, release.page
        )),
        Kind::Rehearsal => text.push_str(&format!(
            "Rehearsed the release of Polis {}. Nothing has left this machine.\n",
            run.plan.version
        )),
    }
    text.push_str("\nimages\n");
    for image in &run.images {
        for line in image.to_text().lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(&format!("\nfiles in {}\n", run.dist.display()));
    for asset in &run.assets {
        text.push_str(&format!("  {}  {}\n", asset.sha256.hex(), asset.name));
    }
    text.push_str(&format!(
        "\nverify\n  cd {} && sha256sum -c SHA256SUMS && minisign -Vm SHA256SUMS -p minisign.pub\n",
        run.dist.display()
    ));
    if let Some(scene) = &run.scene {
        text.push_str(&format!(
            "\nlook\n  registry: {}\n  GitHub releases: {}\n  the tree that was released: {}\n",
            scene.registry_dir().display(),
            scene.github_dir().display(),
            run.context.workspace.root.display()
        ));
        text.push_str(REHEARSED);
    }
    Ok(Report::new("release", data(run, &release.tag), text))
}

const REHEARSED: &str = "
what was not real
  the published service images were placeholders, labelled `io.polis.rehearsal`
  the downloads of the VM were stand-ins from a loopback server; their pins are unproven here
  the signature is by a key made for this rehearsal
";

fn data(run: &Run, tag: &str) -> serde_json::Value {
    json!({
        "version": run.plan.version.to_string(),
        "tag": tag,
        "rehearsal": run.kind() == Kind::Rehearsal,
        "images": run.images.iter().map(xtask::images::Image::to_json).collect::<Vec<_>>(),
        "assets": run.assets.iter().map(xtask_dist::Asset::to_json).collect::<Vec<_>>(),
        "directory": run.dist.display().to_string(),
    })
}
