//! Breaks one line of a shell script in each way that still parses.
//!
//! A mutant drops the line (or replaces it with `:` where bash needs a command), makes the condition of an `if` always or
//! never hold, or negates the condition of a loop. Blank lines, comments and pure syntax (`fi`, `done`, `}`, `esac`, the
//! head of a function) have no mutants.

use std::fmt;

use crate::sandbox::is_script;

/// The script with one line broken.
#[derive(Debug)]
pub(crate) struct Mutant {
    /// The function that contains the line; empty at the top level.
    pub(crate) function: String,
    /// The index of the line.
    pub(crate) at: usize,
    how: &'static str,
    line: String,
    /// The whole script.
    pub(crate) text: String,
}

impl fmt::Display for Mutant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            function,
            how,
            line,
            ..
        } = self;
        write!(formatter, "{function} | {how} | {}", line.trim())
    }
}

pub(crate) fn all(script: &str) -> Vec<Mutant> {
    let lines: Vec<&str> = script.lines().collect();
    let mut mutants = Vec::new();
    let mut function = "";
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_suffix("() {") {
            function = name;
        }
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            mutants.extend(of_line(&lines, at).into_iter().map(|(how, text)| Mutant {
                function: function.to_owned(),
                at,
                how,
                line: (*line).to_owned(),
                text,
            }));
        }
        if *line == "}" {
            function = "";
        }
    }
    mutants
}

/// The mutants of the line `at`, each with the kind of change.
fn of_line(lines: &[&str], at: usize) -> Vec<(&'static str, String)> {
    let line = lines[at];
    let with = |new: &str| {
        let mut all = lines.to_vec();
        all[at] = new;
        all.join("\n") + "\n"
    };
    let swapped = |from: &str, to: &str| {
        let trimmed = line.trim_start();
        let rest = trimmed.strip_prefix(from)?;
        let text = with(&format!("{to}{rest}"));
        is_script(&text).then_some(text)
    };
    let mut broken = Vec::new();
    if let Some((start, end)) = line.split_once("if ").zip(line.split_once("; then")) {
        let (condition, rest) = (&line[start.0.len() + 3..end.0.len()], end.1);
        for (how, fixed) in [("always", "true ||"), ("never", "false &&")] {
            broken.push((
                how,
                with(&format!("if {fixed} {{ {condition}; }}; then{rest}")),
            ));
        }
    }
    broken.extend(swapped("until ", "while ").map(|text| ("negated", text)));
    broken.extend(swapped("while ", "until ").map(|text| ("negated", text)));
    // A dropped line keeps its continuation, so that only its own words are removed.
    let continued = line.ends_with('\\').then_some("\\");
    let instead = continued.into_iter().chain(["", ":"]);
    let missing = instead.map(with).find(|text| is_script(text));
    broken.extend(missing.map(|text| ("missing", text)));
    broken
}

#[test]
fn lines_are_broken_in_every_valid_way() {
    let script = "f() {\n  # no\n  if a; then\n    c\n  fi\n  until d; do e; done\n}\nx=1\n";
    let found: Vec<String> = all(script).iter().map(Mutant::to_string).collect();
    let wanted = [
        "f | always | if a; then",
        "f | never | if a; then",
        "f | missing | c",
        "f | negated | until d; do e; done",
        "f | missing | until d; do e; done",
        " | missing | x=1",
    ];
    assert_eq!(found, wanted);
}
