//! Runs `shellcheck` on every script of a release. Findings have their place in the file that contains the script.

use std::ops::Range;

use serde::Deserialize;

use xtask_host::error::Result;
use xtask_host::finding::{Finding, Severity};
use xtask_host::process::Run;
use xtask_host::source::Source;
use xtask_host::tools;
use xtask_host::workspace::Workspace;
use xtask_host::write;
use xtask_pins::yaml::Node;

/// The directories with scripts.
const SCRIPT_DIRS: [&str; 2] = ["compose/config", "compose/scripts"];

/// The rule for a missing shellcheck.
pub const MISSING: &str = "shellcheck-missing";

/// A script with its place.
struct Script<'a> {
    /// The file that contains it.
    source: &'a Source,
    /// Its path, for messages.
    name: String,
    /// The bytes of each of its lines in the file.
    lines: Vec<Range<usize>>,
}

#[derive(Deserialize)]
struct Answer {
    comments: Vec<Comment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Comment {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    level: String,
    code: u32,
    message: String,
}

/// Checks the scripts in the cloud-init file.
///
/// # Errors
/// If the output of shellcheck cannot be parsed.
pub fn in_cloud_init(source: &Source, root: &Node) -> Result<Vec<Finding>> {
    if !tools::installed("shellcheck") {
        return Ok(vec![missing(source)]);
    }
    let judged: Result<Vec<_>> = embedded(source, root).iter().map(judge).collect();
    Ok(judged?.concat())
}

/// Checks the scripts beside the compose file `beside`.
///
/// # Errors
/// If a script cannot be read, or the output of shellcheck cannot be parsed.
pub fn in_stack(workspace: &Workspace, beside: &Source) -> Result<Vec<Finding>> {
    if !tools::installed("shellcheck") {
        return Ok(vec![missing(beside)]);
    }
    let mut findings = Vec::new();
    for path in files(workspace)? {
        let source = workspace.read(&path)?;
        if source.text.starts_with("#!") {
            let lines = line_spans(&source.text, 0..source.text.len());
            findings.extend(judge(&Script {
                name: path,
                lines,
                source: &source,
            })?);
        }
    }
    Ok(findings)
}

/// A warning; an error in CI, where warnings go unread.
fn missing(source: &Source) -> Finding {
    let place = source.place(0..0);
    let message = "scripts were not checked: shellcheck is not installed";
    let finding = match std::env::var_os("CI").or_else(|| std::env::var_os(tools::REQUIRE)) {
        Some(_) => Finding::error(MISSING, place, message),
        None => Finding::warning(MISSING, place, message),
    };
    finding.help("install shellcheck, or skip the scripts with `--no-shell`")
}

/// The scripts among the files that cloud-init writes.
fn embedded<'a>(source: &'a Source, root: &Node) -> Vec<Script<'a>> {
    let files = root.get("write_files").map_or(&[][..], Node::items).iter();
    files
        .filter_map(|item| {
            let content = item.get("content")?;
            content.text()?.starts_with("#!").then(|| Script {
                source,
                name: item
                    .get("path")
                    .and_then(Node::text)
                    .unwrap_or_default()
                    .to_owned(),
                lines: line_spans(&source.text, content.span.clone()),
            })
        })
        .collect()
}

/// The bytes of each line in the literal block `block`, without its indentation.
fn line_spans(text: &str, block: Range<usize>) -> Vec<Range<usize>> {
    let line_start = text[..block.start].rfind('\n').map_or(0, |at| at + 1);
    let indent = block.start - line_start;
    let mut at = line_start;
    text[line_start..block.end]
        .split_inclusive('\n')
        .map(|line| {
            let start = at;
            at += line.len();
            let end = start + line.trim_end_matches(['\n', '\r']).len();
            (start + indent).min(end)..end
        })
        .collect()
}

/// The paths of all files below the directories of scripts.
fn files(workspace: &Workspace) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for dir in SCRIPT_DIRS {
        write::files_below(&workspace.root, dir, &mut found)?;
    }
    found.retain(|path| path.ends_with(".sh"));
    Ok(found)
}

fn judge(script: &Script<'_>) -> Result<Vec<Finding>> {
    let text: String = script
        .lines
        .iter()
        .map(|span| format!("{}\n", &script.source.text[span.clone()]))
        .collect();
    let dir = tempfile::tempdir().map_err(|error| {
        xtask_host::error::Error::machine("cannot create a temporary directory")
            .because(error.to_string())
    })?;
    let file = dir.path().join("script");
    write::atomically(&file, text.as_bytes())?;
    let said = Run::new("shellcheck")
        .arg("--format=json1")
        .arg(&file)
        .output_of_any_exit()?;
    let answer: Answer = serde_json::from_str(&said).map_err(|error| {
        xtask_host::error::Error::machine(format!(
            "cannot parse the output of shellcheck for `{}`",
            script.name
        ))
        .because(error.to_string())
    })?;
    Ok(answer
        .comments
        .iter()
        .map(|comment| finding(script, comment))
        .collect())
}

fn finding(script: &Script<'_>, comment: &Comment) -> Finding {
    let line = script
        .lines
        .get(comment.line.saturating_sub(1))
        .cloned()
        .unwrap_or(0..0);
    let start = (line.start + comment.column.saturating_sub(1)).min(line.end);
    let end = if comment.end_line == comment.line {
        line.start + comment.end_column.saturating_sub(1)
    } else {
        line.end
    };
    let place = script
        .source
        .place(start..end.clamp(start, line.end.max(start)));
    let message = format!("{}: SC{}: {}", script.name, comment.code, comment.message);
    let severity = match comment.level.as_str() {
        "error" | "warning" => Severity::Error,
        _ => Severity::Warning,
    };
    Finding {
        severity,
        ..Finding::error("shellcheck", place, message)
    }
    .help(format!(
        "https://www.shellcheck.net/wiki/SC{}",
        comment.code
    ))
}
