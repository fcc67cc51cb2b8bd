//! `polis start`: looks at what is, does what is missing, says what it did.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::args::StartArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::probe::Guest;
use crate::multipass::call::Payload;
use crate::multipass::state::State;
use crate::multipass::{Multipass, list_call};
use crate::output::Done;
use crate::plan::{self, Wish, World};
use crate::reconcile::Reconciler;
use crate::reconcile::stack::RECREATE;
use crate::{agent, embedded, guest, platform};

/// How often what is can change under our hands before we give up: once for a VM that has to
/// start, once more for what was in the way.
const ROUNDS: usize = 8;

/// Runs `polis start`.
pub(crate) fn run(context: &Context, args: &StartArgs) -> Result<Done> {
    let mut wish = wish(context)?;
    wish.recreate_workspace = args.recreate_workspace;
    let multipass = context.multipass()?;
    let _lock = if args.dry_run {
        None
    } else {
        Some(context.store.lock()?)
    };
    let (_, warning) = multipass.version()?;
    if let Some(warning) = warning {
        context.output.note(&warning);
    }
    let world = look(&multipass)?;
    if args.dry_run {
        return dry_run(&world, &wish);
    }
    let started = reconcile(context, &multipass, world, &wish)?;
    if !started.differs {
        return Ok(started.done);
    }
    let outside = multipass.call(&guest::outside(), Kind::Unexpected)?;
    if !may_recreate(context, &outside) {
        return Ok(started.done);
    }
    wish.recreate_workspace = true;
    let world = look(&multipass)?;
    Ok(reconcile(context, &multipass, world, &wish)?.done)
}

/// What is to be known of a workspace that an earlier version made.
pub(crate) const DIFFERS: &str = "the workspace's container was made by an earlier version";

/// Says what would be lost with the workspace's container, and asks for it where somebody can be asked.
fn may_recreate(context: &Context, outside: &str) -> bool {
    let lost: Vec<String> = outside
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(count, folder)| format!("\n  {folder}  ({count})"))
        .collect();
    let lost = match lost.is_empty() {
        true => "nothing outside its volumes would be lost".to_owned(),
        false => format!(
            "outside its volumes these folders have changed, and would be lost: {}",
            lost.concat()
        ),
    };
    let note = format!("{DIFFERS}, and was left as it is; {lost}");
    if !super::can_ask(context) {
        context
            .output
            .note(&format!("{note}\n{RECREATE}   (makes it anew)"));
        return false;
    }
    context.output.note(&note);
    super::asked("Make it anew now?")
}

/// A workspace that runs, and whether it was made by an earlier version.
struct Started {
    done: Done,
    differs: bool,
}

/// What is, in one or two calls, none of which changes anything.
fn look(multipass: &Multipass) -> Result<World> {
    let machine = multipass.state()?;
    let guest = match machine {
        Some(State::Running) => Some(probe(multipass)?),
        _ => None,
    };
    Ok(World { machine, guest })
}

fn probe(multipass: &Multipass) -> Result<Guest> {
    Guest::parse(&multipass.call(&guest::probe(), Kind::Unexpected)?)
}

/// The steps, or the refusal with what was asked.
fn steps(world: &World, wish: &Wish) -> Result<Vec<plan::Step>> {
    let asked = || list_call().to_text();
    plan::steps(world, wish).map_err(|error| error.while_at(asked))
}

fn dry_run(world: &World, wish: &Wish) -> Result<Done> {
    let steps = steps(world, wish)?;
    let looking: Vec<_> = plan::looking().iter().map(|call| call.to_json()).collect();
    let data = json!({"dry_run": true, "looked": looking, "plan": plan::to_json(&steps)});
    Ok(Done::new(plan::to_text(&steps), data))
}

fn reconcile(
    context: &Context,
    multipass: &Multipass,
    mut world: World,
    wish: &Wish,
) -> Result<Started> {
    let begun = Instant::now();
    let mut reconciler = Reconciler::new(context, multipass, wish);
    for _ in 0..ROUNDS {
        let steps = steps(&world, wish)?;
        if !reconciler.run(&steps)? {
            return Ok(report(context, &reconciler, &world, begun.elapsed()));
        }
        world = look(multipass)?;
    }
    Err(Error::new(Kind::Machine, "the VM does not come to rest")
        .because(format!(
            "after {ROUNDS} rounds something is still to be done"
        ))
        .next("polis status"))
}

fn report(context: &Context, reconciler: &Reconciler, world: &World, took: Duration) -> Started {
    let did: Vec<_> = reconciler
        .did
        .iter()
        .map(|(step, time)| json!({"step": step, "seconds": time.as_secs()}))
        .collect();
    let seen = reconciler.seen.as_ref().or(world.guest.as_ref());
    let services = seen.map_or_else(Vec::new, super::services_json);
    let text = match did.len() {
        0 => "The workspace is running; nothing was to be done.\n".to_owned(),
        count => format!(
            "The workspace is running: {count} steps, {} s. Next: polis shell\n",
            took.as_secs()
        ),
    };
    let data = json!({
        "dry_run": false,
        "did": did,
        "seconds": took.as_secs(),
        "services": services,
        "workspace_differs": seen.is_some_and(|guest| guest.workspace_differs),
        "settings": context.settings,
    });
    Started {
        done: Done::new(text, data),
        differs: seen.is_some_and(|guest| guest.workspace_differs),
    }
}

fn wish(context: &Context) -> Result<Wish> {
    let settings = &context.settings;
    let (user_data, marker) = match settings.path("cloud-init") {
        Some(path) => (own_user_data(&path)?, None),
        None => (embedded::user_data(), Some(embedded::marker())),
    };
    let agent = settings
        .path("agent")
        .map(|dir| agent::read(&dir))
        .transpose()?;
    Ok(Wish {
        cpus: settings.text("cpus").to_owned(),
        memory: settings.text("memory").to_owned(),
        disk: settings.text("disk").to_owned(),
        timeout: settings.text("timeout").to_owned(),
        user_data,
        marker,
        bundle: embedded::bundle(),
        agent,
        architecture: platform::architecture().to_owned(),
        offered: embedded::ARCHITECTURES.to_owned(),
        recreate_workspace: false,
    })
}

/// User-data of the user. What is in it is theirs to know; only that it is cloud-config is checked,
/// because Multipass takes no other and says so late.
fn own_user_data(path: &Path) -> Result<Payload> {
    let refused = |reason: String| {
        Error::new(
            Kind::Usage,
            format!("`{}` cannot be used as user-data", path.display()),
        )
        .because(reason)
    };
    let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let bytes = polis_base::archive::without_cr(&bytes);
    if !bytes.starts_with(b"#cloud-config\n") {
        let reason = "its first line is not `#cloud-config`".to_owned();
        return Err(refused(reason).next("begin it with that line"));
    }
    Ok(Payload {
        name: "cloud-init.yaml",
        bytes: bytes.into(),
    })
}
