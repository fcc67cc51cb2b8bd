//! The context of every online verb: the tree, the endpoints and the progress output.

use std::time::Duration;

use xtask_host::error::{Error, Result};
use xtask_host::options::ENDPOINTS;
use xtask_host::program;
use xtask_host::progress::Progress;
use xtask_host::workspace::Workspace;
use xtask_host::{say, secrets};
use xtask_online::args::Verb;
use xtask_online::github::Token;
use xtask_online::registry::{Logins, Registry};
use xtask_online::{Cosign, Endpoints, RetryPolicy, Verifier};
use xtask_pins::contract;

/// How long a verb that only asks may use the network, unless the command line says otherwise.
const DEADLINE: Duration = Duration::from_secs(900);
/// The same for a verb that reads all layers of the images: gigabytes, but within the timeout of the nightly job.
const DEADLINE_OF_IMAGES: Duration = Duration::from_secs(1500);

type Cli = program::Cli<Verb>;

/// The repository whose releases these are.
pub(crate) const REPOSITORY: &str = "odralabshq/polis";

/// The surroundings of a verb.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The tree.
    pub(crate) workspace: Workspace,
    /// Where hosts are reached.
    pub(crate) endpoints: Endpoints,
    /// Whether `--endpoint` moved any of them; what the environment says is another matter.
    pub(crate) moved: bool,
    /// Where progress goes.
    pub(crate) progress: Progress,
}

impl Context {
    /// The surroundings that the command line and the environment describe.
    pub(crate) fn new(cli: &Cli, workspace: &Workspace) -> Result<Self> {
        let endpoints = endpoints(cli)?.with_extra_ca_from_env()?;
        let default = endpoints.retry_policy();
        let delay = cli.global.retry_delay.map(Duration::from_millis);
        let endpoints = endpoints.with_retry_policy(RetryPolicy {
            delay: delay.unwrap_or(default.delay),
            ..default
        });
        let endpoints = match deadline(cli) {
            Some(limit) => endpoints.with_time_limit(limit),
            None => endpoints,
        };
        Ok(Self {
            workspace: workspace.clone(),
            endpoints,
            moved: !cli.global.endpoints.is_empty() && !cli.global.endpoints_from_env,
            progress: Progress::new(cli.global.quiet),
        })
    }

    /// A registry client with the logins of the environment.
    pub(crate) fn registry(&self) -> Result<Registry> {
        Ok(Registry::new(&self.endpoints, Logins::from_env()?)?)
    }

    /// The token for GitHub, where one is set: without one it still tells what is public, less
    /// often. An unusable one is an error.
    pub(crate) fn github_token(&self) -> Result<Option<Token>> {
        let set = secrets::get(secrets::GITHUB_TOKEN).is_some();
        Ok(set.then(Token::from_env).transpose()?)
    }

    /// A registry client without the ambient GitHub token, which says who runs this and not who may pull.
    pub(crate) fn public_registry(&self) -> Result<Registry> {
        let logins = Logins::from_env()?.without_ambient();
        Ok(Registry::new(&self.endpoints, logins)?)
    }

    /// Who is asked about pins. Registries are asked as users ask them: the ambient GitHub token
    /// says who runs this and not who may pull, so it only goes to GitHub's API.
    pub(crate) fn verifier(&self) -> Result<Verifier> {
        let (logins, token) = (Logins::from_env()?.without_ambient(), self.github_token()?);
        let verifier = Verifier::new(&self.endpoints, logins, token.as_ref(), self.progress)?;
        Ok(verifier.with_contracts(contract::load(&self.workspace.root)?))
    }

    /// `cosign`, which logs in at registries as [`Self::verifier`] does.
    pub(crate) fn cosign(&self) -> Result<Cosign> {
        let (root, logins) = (&self.workspace.root, Logins::from_env()?.without_ambient());
        let contracts = contract::load(root)?;
        Cosign::find(root, &self.endpoints, logins, contracts, self.progress)
    }
}

/// Where hosts are reached. Whoever set a variable long ago is told what it does: this run may hold
/// credentials. A rehearsal brings its own servers, so the variable means nothing to it.
fn endpoints(cli: &Cli) -> Result<Endpoints> {
    let global = &cli.global;
    let rehearsal = matches!(&cli.verb, Verb::Release(args) if args.rehearse);
    if global.endpoints_from_env && rehearsal {
        say::note(&format!(
            "{ENDPOINTS} is not used: a rehearsal brings its own servers"
        ));
        return Ok(Endpoints::public());
    }
    let from = match global.endpoints_from_env {
        true => ENDPOINTS,
        false => "--endpoint",
    };
    let endpoints = Endpoints::parse(&global.endpoints).map_err(|error| {
        Error::usage(format!("{from} is not acceptable")).because(error.to_string())
    })?;
    if global.endpoints_from_env {
        say::note(&format!(
            "{ENDPOINTS} leads elsewhere: {}",
            global.endpoints.join(", ")
        ));
    }
    Ok(endpoints)
}

/// How long the verb may use the network. What releases or pushes may take its time: to stop
/// half-way would help nobody.
fn deadline(cli: &Cli) -> Option<Duration> {
    let given = cli.global.deadline.map(Duration::from_secs);
    match cli.verb {
        Verb::Release(_) | Verb::Images(_) => given,
        Verb::VerifyImages(_) | Verb::Drift(_) => given.or(Some(DEADLINE_OF_IMAGES)),
        _ => given.or(Some(DEADLINE)),
    }
}
