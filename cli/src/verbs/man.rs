//! `polis man`: the man pages, from the same definitions as `--help`: one for polis and one for each command.

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::embedded;
use crate::error::{EXIT_CODES, Error, Kind, Result};
use crate::help;
use crate::settings;

/// The exit status of most commands.
const EXIT: &str = "0 on success; polis(1) lists the codes of failures.";
/// The exit status of a command that runs another one.
const EXIT_OF_COMMAND: &str = "That of the command; 125 if polis itself fails, and 141 if the reader of its output has closed the pipe.";

const FILES: [(&str, &str); 2] = [
    (
        "~/.config/polis/config.toml",
        "The settings, as `name = \"value\"`; environment variables and flags take precedence. On Windows in %APPDATA%\\polis.",
    ),
    (
        "~/.local/state/polis",
        "The lock, the keys of ssh-config and the repositories of sync. On macOS in ~/Library/Application Support/polis, on \
         Windows in %USERPROFILE%\\Polis.",
    ),
];

/// The page of the command that `words` name.
///
/// # Errors
/// When there is no such command.
pub(crate) fn page(words: &[String]) -> Result<Vec<u8>> {
    let mut root = help::definition().subcommand_value_name("command");
    root.build();
    let mut command = &root;
    for word in words {
        let inner = command.find_subcommand(word);
        command = inner
            .filter(|inner| !inner.is_hide_set())
            .ok_or_else(|| unknown(words))?;
    }
    // An alias has no separate page.
    let name = command.get_bin_name().unwrap_or("polis").to_owned();
    render(command, &name).map_err(|error| {
        Error::new(Kind::Unexpected, "could not write the man page").caused_by(&error)
    })
}

fn unknown(words: &[String]) -> Box<Error> {
    let command = format!("polis {}", words.join(" "));
    Error::new(Kind::Usage, format!("there is no command `{command}`")).next("polis --help")
}

/// The page of `command`, which is typed as `name`.
fn render(command: &Command, name: &str) -> std::io::Result<Vec<u8>> {
    let whole = name == "polis";
    let title = name.replace(' ', "-");
    let own = own(command, whole);
    let page = Man::new(own.clone());
    let mut out = Vec::new();
    // Not clap_mangen's title: it shifts its fields when there is no date, and a release has none.
    let label = embedded::LABEL;
    let line = format!(
        ".TH {} 1 \"\" \"polis {label}\" \"Polis\"\n",
        title.to_uppercase()
    );
    out.extend(line.into_bytes());
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    if own.has_subcommands() {
        page.render_subcommands_section(&mut out)?;
    }
    if own.get_arguments().any(|arg| !arg.is_hide_set()) {
        page.render_options_section(&mut out)?;
    }
    let mut roff = Roff::new();
    let words = name.strip_prefix("polis").unwrap_or(name).trim_start();
    if let Some(examples) = help::examples(words) {
        heading(&mut roff, "EXAMPLES");
        verbatim(&mut roff, examples);
    }
    heading(&mut roff, "EXIT STATUS");
    if whole {
        let codes = EXIT_CODES.split_once('\n').map_or("", |(_, codes)| codes);
        verbatim(&mut roff, codes);
        heading(&mut roff, "ENVIRONMENT");
        let variables = settings::variables().into_iter();
        let variables = variables.map(|(name, meaning, default)| {
            let default = default.map(|value| format!(" (default: {value})"));
            (name, format!("{meaning}{}", default.unwrap_or_default()))
        });
        list(&mut roff, &variables.collect::<Vec<_>>());
        heading(&mut roff, "FILES");
        list(
            &mut roff,
            &FILES.map(|(name, text)| (name.into(), text.into())),
        );
    } else {
        let enters = ["polis exec", "polis shell"].contains(&name);
        roff.text([roman(if enters { EXIT_OF_COMMAND } else { EXIT })]);
        heading(&mut roff, "SEE ALSO");
        roff.text([roman(parents(name))]);
    }
    roff.to_writer(&mut out)?;
    Ok(out)
}

/// `command` without `--help` and the global options, which polis(1) describes.
fn own(command: &Command, whole: bool) -> Command {
    let everywhere = |arg: &Arg| !whole && (arg.is_global_set() || arg.get_id() == "help");
    command
        .clone()
        .subcommand_help_heading("COMMANDS")
        .mut_args(|arg| {
            let hidden = arg.is_hide_set() || everywhere(&arg);
            arg.hide(hidden)
        })
}

/// The pages of the commands above `name`.
fn parents(name: &str) -> String {
    let mut words: Vec<&str> = name.split(' ').collect();
    let mut pages = Vec::new();
    while words.pop().is_some() && !words.is_empty() {
        pages.push(format!("{}(1)", words.join("-")));
    }
    pages.join(", ")
}

fn heading(roff: &mut Roff, name: &str) {
    roff.control("SH", [name]);
}

/// Adds lines without filling them.
fn verbatim(roff: &mut Roff, text: &str) {
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

fn list(roff: &mut Roff, entries: &[(String, String)]) {
    for (name, text) in entries {
        roff.control("TP", []);
        roff.text([clap_mangen::roff::bold(name)]);
        roff.text([roman(text)]);
    }
}
