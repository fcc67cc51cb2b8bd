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

/// The default deadline of verbs that only query servers.
const DEADLINE: Duration = Duration::from_secs(900);
/// The default deadline of a verb that reads all layers of the images: gigabytes, but within the timeout of the nightly
/// job.
const DEADLINE_OF_IMAGES: Duration = Duration::from_secs(1500);

type Cli = program::Cli<Verb>;

/// The repository that publishes the releases.
pub(crate) const REPOSITORY: &str = "odralabshq/polis";

/// The context of a verb.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The tree.
    pub(crate) workspace: Workspace,
    /// The addresses of hosts.
    pub(crate) endpoints: Endpoints,
    /// Whether `--endpoint` redirects any of them; does not count endpoints from the environment.
    pub(crate) moved: bool,
    /// The progress output.
    pub(crate) progress: Progress,
}

impl Context {
    /// The context for a command line and the environment.
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

    /// A registry client with the credentials of the environment.
    pub(crate) fn registry(&self) -> Result<Registry> {
        Ok(Registry::new(&self.endpoints, Logins::from_env()?)?)
    }

    /// The GitHub token, if set. Without one, GitHub still serves public data, but with a lower rate limit. An unusable
    /// token is an error.
    pub(crate) fn github_token(&self) -> Result<Option<Token>> {
        let set = secrets::get(secrets::GITHUB_TOKEN).is_some();
        Ok(set.then(Token::from_env).transpose()?)
    }

    /// A registry client without the ambient GitHub token, which identifies the run and grants no right to pull.
    pub(crate) fn public_registry(&self) -> Result<Registry> {
        let logins = Logins::from_env()?.without_ambient();
        Ok(Registry::new(&self.endpoints, logins)?)
    }

    /// The verifier of pins. Registries are queried as users query them: the ambient GitHub token identifies the run
    /// and grants no right to pull, so it is only sent to GitHub's API.
    pub(crate) fn verifier(&self) -> Result<Verifier> {
        let (logins, token) = (Logins::from_env()?.without_ambient(), self.github_token()?);
        let verifier = Verifier::new(&self.endpoints, logins, token.as_ref(), self.progress)?;
        Ok(verifier.with_contracts(contract::load(&self.workspace.root)?))
    }

    /// `cosign`, with the same registry credentials as [`Self::verifier`].
    pub(crate) fn cosign(&self) -> Result<Cosign> {
        let (root, logins) = (&self.workspace.root, Logins::from_env()?.without_ambient());
        let contracts = contract::load(root)?;
        Cosign::find(root, &self.endpoints, logins, contracts, self.progress)
    }
}

/// The addresses of hosts. If they come from the environment, prints a note, because the variable may have been set
/// long ago and this run may hold credentials. A rehearsal brings its own servers and ignores the variable.
fn endpoints(cli: &Cli) -> Result<Endpoints> {
    let global = &cli.global;
    let rehearsal = matches!(&cli.verb, Verb::Release(args) if args.rehearse);
    if global.endpoints_from_env && rehearsal {
        say::note(&format!(
            "ignoring {ENDPOINTS}: a rehearsal has its own servers"
        ));
        return Ok(Endpoints::public());
    }
    let from = match global.endpoints_from_env {
        true => ENDPOINTS,
        false => "--endpoint",
    };
    let endpoints = Endpoints::parse(&global.endpoints)
        .map_err(|error| Error::usage(format!("invalid {from}")).because(error.to_string()))?;
    if global.endpoints_from_env {
        say::note(&format!(
            "{ENDPOINTS} redirects hosts: {}",
            global.endpoints.join(", ")
        ));
    }
    Ok(endpoints)
}

/// The time limit for the network. Verbs that release or push have none, because stopping halfway would not help.
fn deadline(cli: &Cli) -> Option<Duration> {
    let given = cli.global.deadline.map(Duration::from_secs);
    match cli.verb {
        Verb::Release(_) | Verb::Images(_) => given,
        Verb::VerifyImages(_) | Verb::Drift(_) => given.or(Some(DEADLINE_OF_IMAGES)),
        _ => given.or(Some(DEADLINE)),
    }
}
