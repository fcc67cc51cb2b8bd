//! `verify-pins`: do the registries still serve what is pinned?

use futures_util::{StreamExt as _, stream};
use polis_base::ImageRef;
use serde_json::json;

use xtask::cli::VerifyPinsArgs;
use xtask::compose::Compose;
use xtask::error::{Error, Outcome, Result};
use xtask::pins::{self, PinState};
use xtask::report::Report;
use xtask::waivers;
use xtask_online::registry::Registry;

use crate::context::Context;

/// How many look-ups are under way at once.
const AT_ONCE: usize = 8;

/// What a registry says about a pin.
enum Served {
    /// The tag still names the pinned digest.
    Same,
    /// It names another one.
    Other(String),
    /// The image is built here and this version is not published yet.
    NotYet,
    /// It could not be told.
    Failed(Error),
}

impl Served {
    fn word(&self) -> &'static str {
        match self {
            Self::Same => "ok",
            Self::Other(_) => "drifted",
            Self::NotYet => "not published",
            Self::Failed(error) => match error.outcome {
                Outcome::Drift => "gone",
                _ => "unreachable",
            },
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Same | Self::NotYet => Outcome::Ok,
            Self::Other(_) => Outcome::Drift,
            Self::Failed(error) => error.outcome,
        }
    }
}

/// Runs the verb: the offline findings, and the state of each pin in its registry.
pub(crate) async fn run(context: &Context, args: &VerifyPinsArgs) -> Result<Report> {
    let today = waivers::today(args.today.as_deref())?;
    let workspace = &context.workspace;
    let compose = Compose::load(&workspace.root)?;
    let (states, _) = pins::verify(&compose, &waivers::load(&workspace.root)?, today);
    let offline = xtask::verbs::verify_pins::run(workspace, args)?;
    let registry = context.registry()?;
    let registry = &registry;
    let served: Vec<(PinState, Served)> = stream::iter(states)
        .filter(|state| std::future::ready(state.image.digest().is_some()))
        .map(|state| async move {
            let served = ask(registry, &state).await;
            (state, served)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut report = Report::new(
        "verify-pins",
        json!({"pins": offline.data, "served": json_of(&served)}),
        text(&offline.text, &served),
    );
    report.outcome = served
        .iter()
        .map(|(_, served)| served.outcome())
        .max()
        .unwrap_or(Outcome::Ok);
    Ok(report.with_findings(offline.findings))
}

async fn ask(registry: &Registry, state: &PinState) -> Served {
    let tag: ImageRef = state.image.unpinned();
    match registry.resolve(&tag).await {
        Ok(found) if Some(found) == state.image.digest() => Served::Same,
        Ok(found) => Served::Other(found.to_string()),
        Err(error) if error.is_not_found() && state.built => Served::NotYet,
        Err(error) => Served::Failed(Error::from(error)),
    }
}

fn json_of(served: &[(PinState, Served)]) -> serde_json::Value {
    served
        .iter()
        .map(|(state, served)| {
            json!({
                "image": state.image.unpinned().to_string(),
                "pinned": state.image.digest().map(|digest| digest.to_string()),
                "served": match served { Served::Other(found) => Some(found), _ => None },
                "state": served.word(),
                "reason": match served { Served::Failed(error) => Some([vec![error.message.clone()], error.causes.clone()].concat().join(": ")), _ => None },
            })
        })
        .collect()
}

fn text(offline: &str, served: &[(PinState, Served)]) -> String {
    let mut text = format!("{offline}\n");
    for (state, served) in served {
        text.push_str(&format!("{:<13}  {}\n", served.word(), state.image));
        match served {
            Served::Other(found) => text.push_str(&format!(
                "               the tag now names {found}; review it, then run `cargo xtask pin`\n"
            )),
            Served::Failed(error) => text.push_str(&format!(
                "               {}\n",
                [vec![error.message.clone()], error.causes.clone()]
                    .concat()
                    .join(": ")
            )),
            Served::Same | Served::NotYet => {}
        }
    }
    text
}
