//! A dry run: checks the tree, and reads GitHub and the registry with the available credentials or anonymously.

use xtask_host::error::{Error, Result};
use xtask_online::args::Until;
use xtask_online::github::{GitHub, Setting, TagRef};
use xtask_online::registry::Registry;

use super::observed::Observed;
use super::order::{Clients, Order};
use super::plan::{Plan, Wanted};
use super::preflight::{built_images, observe, public_key, signing_key};
use super::tree;
use crate::context::{Context, REPOSITORY};

/// The plan of the release of `order`, including everything that prevents it.
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
        // The tag is usually created after reading the plan.
        Ok(None) => notes.push(format!("the tag {} does not exist yet", order.tag())),
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
                lacking: lacking(context, order),
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
        Ok((mut observed, unseen)) => {
            notes.extend(unseen);
            if observed.tag.is_none() {
                notes.push(format!("the tag {} is not on GitHub yet", order.tag()));
                observed.tag = Some(TagRef {
                    object: String::new(),
                    commit: wanted.fields.commit.clone(),
                });
            }
            Plan::new(&observed, &wanted, order.until)
        }
        Err(error) => Plan {
            notes: vec![format!(
                "GitHub and the registry could not be read, so their content is unknown: {}",
                error.message
            )],
            ..Plan::unobserved(&wanted)
        },
    };
    plan.notes.append(&mut notes);
    refusals.append(&mut plan.refusals);
    plan.refusals = refusals;
    plan.lacking = lacking(context, order);
    plan
}

/// What `--execute` needs and a plan does not.
fn lacking(context: &Context, order: &Order) -> Vec<String> {
    let key = public_key(context);
    let signing = match order.until {
        Until::Pushed => Ok(()),
        Until::Published => signing_key(order, key.as_deref().ok()).map(drop),
    };
    let token = context.github_token().and_then(|token| match token {
        Some(_) => Ok(()),
        None => Err(Error::usage("`GITHUB_TOKEN` is not set")),
    });
    let local = tree::local_tag(&context.workspace, &order.tag()).and_then(|tag| match tag {
        Some(_) => Ok(()),
        None => Err(Error::findings(format!(
            "there is no tag `{}` in this repository",
            order.tag()
        ))),
    });
    let all = [local, key.map(drop), signing, token];
    all.into_iter()
        .filter_map(Result::err)
        .map(|error| error.message)
        .collect()
}

/// The observed state, and notes about what could not be observed.
async fn look(context: &Context, wanted: &Wanted) -> Result<(Observed, Vec<String>)> {
    let token = context.github_token()?;
    let mut notes = Vec::new();
    if token.is_none() {
        notes.push("drafts were not checked: GITHUB_TOKEN is not set".to_owned());
    }
    let registry = context.registry()?;
    let clients = Clients {
        github: GitHub::new(&context.endpoints, REPOSITORY, token.as_ref())?,
        anonymous: Registry::new(&context.endpoints, xtask_online::registry::Logins::none())?,
        registry,
    };
    let observed = observe(&clients, wanted).await?;
    if observed.immutable == Setting::Unknown {
        notes.push(
            "cannot tell whether releases are immutable: the token may not read that setting"
                .to_owned(),
        );
    }
    Ok((observed, notes))
}
