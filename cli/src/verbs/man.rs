//! `polis man`: the man page, from the same definitions as `--help`. One page holds all commands, so
//! that an archive has one file to install.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Cli;
use crate::embedded;

/// Writes the page to `out`.
///
/// # Errors
/// When `out` does not take it.
pub(crate) fn write(out: &mut dyn Write) -> io::Result<()> {
    let mut command = Cli::command().subcommand_value_name("command");
    command.build();
    let page = Man::new(command.clone());
    // Not clap_mangen's title: without a date, which a release has none of, its words move up.
    let label = embedded::LABEL;
    writeln!(out, ".TH POLIS 1 \"\" \"polis {label}\" \"Polis\"")?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    writeln!(out, ".SH COMMANDS")?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_command(verb, out)?;
        for inner in verb.get_subcommands() {
            write_command(inner, out)?;
        }
    }
    page.render_options_section(out)?;
    writeln!(out, ".SH \"EXIT STATUS\"\n.nf")?;
    body(out, |section| page.render_extra_section(section))?;
    writeln!(out, ".fi")
}

/// What `verb` does and how it is called, without the options that every command has.
fn write_command(verb: &Command, out: &mut dyn Write) -> io::Result<()> {
    let name = verb.get_bin_name().unwrap_or_else(|| verb.get_name());
    writeln!(out, ".SS \"{name}\"")?;
    let own = verb.clone().mut_args(|arg| {
        let everywhere = arg.is_global_set() || arg.get_id() == "help";
        arg.hide(everywhere)
    });
    let arguments = own.get_arguments().any(|arg| !arg.is_hide_set());
    let page = Man::new(own);
    body(out, |section| page.render_synopsis_section(section))?;
    writeln!(out, ".PP")?;
    body(out, |section| page.render_description_section(section))?;
    if arguments {
        body(out, |section| page.render_options_section(section))?;
    }
    Ok(())
}

/// Writes a section of clap_mangen's without its heading: on our page it is part of another one.
fn body(
    out: &mut dyn Write,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut section = Vec::new();
    render(&mut section)?;
    let mut lines = section.split_inclusive(|byte| *byte == b'\n');
    lines.by_ref().find(|line| line.starts_with(b".SH "));
    lines.try_for_each(|line| out.write_all(line))
}
