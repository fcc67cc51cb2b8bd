//! What a release would do, without doing any of it: the tree is judged, and GitHub and the registry
//! are read as far as credentials or public access allow.

use xtask::error::Result;
use xtask_online::github::{GitHub, Setting, TagRef};
use xtask_online::registry::Registry;

use super::plan::{Plan, Wanted};
use super::preflight::{built_images, observe};
use super::world::World;
use super::{Clients, Order, REPOSITORY, tree};
use crate::context::Context;

/// The plan of the release of `order`. What stands against it is in the plan as well.
pub(crate) async fn dry_run(context: &Context, order: &Order) -> Plan {
    let mut refusals = Vec::new();
    let mut ask = |result: Result<()>| refusals.extend(result.err());
    let workspace = &context.workspace;
    let clean = tree::clean_commit(workspace);
    let commit = match clean {
        Ok(commit) => commit,
        Err(error) => {
            ask(Err(error));
            tree::head(workspace).unwrap_or_default()
        }
    };
    let mut notes = Vec::new();
    match tree::local_tag(workspace, &order.tag()) {
        // Whoever reads the plan makes the tag afterwards.
        Ok(None) => notes.push(format!("the tag {} is not made yet", order.tag())),
        found => ask(found.and_then(|_| tree::require_local_tag(workspace, &order.tag(), &commit))),
    }
    ask(tree::require_pinned(workspace));
    let fields = tree::fields(workspace, order.kind, &order.version, &commit);
    let (fields, images) = match (fields, built_images(context)) {
        (Ok(fields), Ok(images)) => (fields, images),
        (fields, images) => {
            refusals.extend(fields.err());
            refusals.extend(images.err());
            return Plan {
                refusals,
                ..Plan::default()
            };
        }
    };
    let wanted = Wanted {
        version: order.version.clone(),
        fields,
        images,
        assets: None,
    };
    let seen = look(context, &wanted).await;
    let mut plan = match seen {
        Ok((mut world, unseen)) => {
            notes.extend(unseen);
            if world.tag.is_none() {
                notes.push(format!("the tag {} is not on GitHub yet", order.tag()));
                world.tag = Some(TagRef {
                    object: String::new(),
                    commit: wanted.fields.commit.clone(),
                });
            }
            Plan::new(&world, &wanted, order.until)
        }
        Err(error) => Plan {
            notes: vec![format!(
                "GitHub and the registry were not read, so it is not known what they hold: {}",
                error.message
            )],
            ..Plan::of_nothing(&wanted)
        },
    };
    plan.notes.append(&mut notes);
    refusals.append(&mut plan.refusals);
    plan.refusals = refusals;
    plan
}

/// What there is to see, and what could not be seen.
async fn look(context: &Context, wanted: &Wanted) -> Result<(World, Vec<String>)> {
    let token = context.github_token()?;
    let mut notes = Vec::new();
    if token.is_none() {
        notes.push("drafts were not looked for: GITHUB_TOKEN is not set".to_owned());
    }
    let registry = context.registry()?;
    let clients = Clients {
        github: GitHub::new(&context.endpoints, REPOSITORY, token.as_ref())?,
        anonymous: Registry::new(&context.endpoints, xtask_online::registry::Logins::none())?,
        registry,
    };
    let world = observe(&clients, wanted).await?;
    if world.immutable == Setting::Unknown {
        notes
            .push("whether releases are immutable is not known: this token may not ask".to_owned());
    }
    Ok((world, notes))
}
