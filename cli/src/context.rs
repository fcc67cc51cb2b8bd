//! Shared by all commands: the settings, the state directory and the printer.

use crate::args::Cli;
use crate::error::{Error, Kind, Result};
use crate::instance;
use crate::multipass::{self, Multipass};
use crate::output::Printer;
use crate::platform;
use crate::settings::Settings;
use crate::store::Store;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    /// This workspace's files in the state directory.
    pub(crate) store: Store,
    pub(crate) output: Printer,
    pub(crate) verbose: bool,
}

impl Context {
    /// Reads the settings and chooses the workspace.
    ///
    /// # Errors
    /// When a setting is invalid, or there is no home directory.
    pub(crate) fn read(cli: &Cli, output: Printer) -> Result<Self> {
        let (state, config) = platform::directories().ok_or_else(|| {
            Error::new(Kind::Usage, "this user has no home directory")
                .next("set HOME, and run this again")
        })?;
        if !state.is_absolute() {
            return Err(Error::new(
                Kind::Usage,
                format!("invalid state directory `{}`", state.display()),
            )
            .because("it is a relative path, so it would depend on the current directory")
            .next("set HOME to an absolute path, and run this again"));
        }
        let unreadable = std::env::vars_os().find_map(|(name, value)| {
            let name = name.into_string().ok()?;
            (name.starts_with("POLIS_") && value.to_str().is_none()).then_some(name)
        });
        if let Some(name) = unreadable {
            return Err(Error::new(
                Kind::Usage,
                format!("the environment variable {name} is not UTF-8"),
            )
            .next(format!("unset {name}, and run this again")));
        }
        let env = |name: &str| std::env::var(name).ok();
        let flags = [vec![("name", cli.global.name.clone())], cli.verb.flags()].concat();
        let settings = Settings::read(Some(&config), env, &flags)?;
        instance::choose(settings.instance());
        Ok(Self {
            store: Store::of(state, &settings.name.value),
            settings,
            output,
            verbose: cli.global.verbose,
        })
    }

    /// The installed Multipass.
    ///
    /// # Errors
    /// When it is not installed.
    pub(crate) fn multipass(&self) -> Result<Multipass<'_>> {
        Multipass::find(multipass::Options {
            call_timeout: self.settings.call_timeout.duration(),
            store: &self.store,
            pipes: self.settings.pipes(),
            verbose: self.verbose,
            quiet: self.output.is_quiet(),
        })
    }
}
