//! Ways to break one line of a shell script, as far as bash still takes the result for a script.
//!
//! A line goes missing, or becomes `:` where something has to stand; the condition of an `if` always or never holds; a
//! loop runs while it should not. Left alone are blank lines, comments, and lines that are nothing but syntax, which
//! bash refuses to miss: `fi`, `done`, `}`, `else`, `esac`, the head of a function.

use std::fmt;

use crate::sandbox::is_script;

/// The script with one line broken.
#[derive(Debug)]
pub(crate) struct Mutant {
    /// The function that the line is in; empty outside of any.
    pub(crate) function: String,
    /// The index of the line.
    pub(crate) at: usize,
    /// What was done to it.
    how: &'static str,
    /// The line.
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

/// All mutants of `script`.
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

/// The broken scripts for the line `at`, each with what was done.
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
    // An option goes missing without what follows it.
    let continued = line.ends_with('\\').then_some("\\");
    let instead = continued.into_iter().chain(["", ":"]);
    let missing = instead.map(with).find(|text| is_script(text));
    broken.extend(missing.map(|text| ("missing", text)));
    broken
}

#[test]
fn lines_are_broken_in_every_way_that_leaves_a_script() {
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
