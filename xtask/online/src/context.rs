//! What every online verb needs: the tree, where hosts are reached, and where progress goes.

use xtask::cli::Cli;
use xtask::error::{Error, Result};
use xtask::progress::Progress;
use xtask::workspace::Workspace;
use xtask_online::Endpoints;
use xtask_online::registry::{Logins, Registry};

/// The surroundings of a verb.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The tree.
    pub(crate) workspace: Workspace,
    /// Where hosts are reached.
    pub(crate) endpoints: Endpoints,
    /// Whether `--endpoint` moved any of them.
    pub(crate) moved: bool,
    /// Where progress goes.
    pub(crate) progress: Progress,
}

impl Context {
    /// The surroundings that the command line and the environment describe.
    pub(crate) fn new(cli: &Cli, workspace: &Workspace) -> Result<Self> {
        let endpoints = Endpoints::parse(&cli.global.endpoints)
            .map_err(|error| {
                Error::usage("--endpoint is not acceptable").because(error.to_string())
            })?
            .with_extra_ca_from_env()?;
        Ok(Self {
            workspace: workspace.clone(),
            endpoints,
            moved: !cli.global.endpoints.is_empty(),
            progress: Progress::new(cli.global.quiet),
        })
    }

    /// A registry client with the logins of the environment.
    pub(crate) fn registry(&self) -> Result<Registry> {
        Ok(Registry::new(&self.endpoints, Logins::from_env()?)?)
    }
}
