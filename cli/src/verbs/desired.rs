//! The state that the settings and the arguments describe.

use std::path::Path;

use crate::agent::{self, Agent, Keys};
use crate::args::GivenArgs;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::multipass::call::Payload;
use crate::plan::Desired;
use crate::proxy::Proxies;
use crate::{embedded, platform};

/// The state that the settings and `given` describe; with `agents`, the installed agents are part of it.
///
/// # Errors
/// When a file that a setting names cannot be used.
pub(super) fn desired(context: &Context, given: &GivenArgs, agents: bool) -> Result<Desired> {
    let settings = &context.settings;
    let proxies = Proxies::read(settings)?;
    let (user_data, marker) = match &settings.cloud_init {
        Some(path) => (own_user_data(&path.value)?, None),
        None => (
            proxies.merged_into(embedded::user_data())?,
            Some(embedded::marker()),
        ),
    };
    let dir = settings.agent.as_ref().filter(|_| agents);
    let agent = dir.map(|dir| agent(context, &dir.value, given));
    let agent = agent.transpose()?;
    if agent.is_none() && !(given.keys.is_empty() && given.env_file.is_none()) {
        return Err(Error::new(Kind::Usage, "keys were given without an agent")
            .next("polis start --agent DIR -e KEY"));
    }
    Ok(Desired {
        cpus: settings.cpus.value,
        memory: settings.memory.value.clone(),
        disk: settings.disk.value.clone(),
        timeout: settings.timeout.duration(),
        user_data,
        marker,
        proxies,
        bundle: embedded::bundle(),
        agent,
        agents,
        architecture: platform::architecture().to_owned(),
        offered: embedded::ARCHITECTURES.to_owned(),
        recreate_workspace: false,
    })
}

/// The user's own user-data. polis only checks that it is cloud-config, because Multipass accepts nothing else and reports that late.
fn own_user_data(path: &Path) -> Result<Payload> {
    let refused = |reason: String| {
        Error::new(
            Kind::Usage,
            format!("`{}` is not valid user-data", path.display()),
        )
        .because(reason)
    };
    let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let bytes = polis_base::archive::without_cr(&bytes);
    if !bytes.starts_with(b"#cloud-config\n") {
        let reason = "its first line is not `#cloud-config`".to_owned();
        return Err(refused(reason).next("make that its first line"));
    }
    Ok(Payload::new("cloud-init.yaml", bytes))
}

/// Reads the agent in `dir` with the given keys; shows a trusted Compose file.
///
/// # Errors
/// As [`agent::read`] and [`Keys::gather`].
pub(super) fn agent(context: &Context, dir: &Path, given: &GivenArgs) -> Result<Agent> {
    let mut agent = agent::read(dir, given.trust_compose)?;
    if let Some(compose) = &agent.compose {
        context.output.ask(&format!(
            "this file is trusted, and can remove every protection of the VM and of the services:\n{compose}"
        ));
    }
    let env = |name: &str| std::env::var(name).ok();
    agent.keys = Keys::gather(
        &given.keys,
        given.env_file.as_deref(),
        agent.manifest.as_ref(),
        env,
    )?;
    Ok(agent)
}
