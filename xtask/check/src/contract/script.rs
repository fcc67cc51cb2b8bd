//! Programs and words of shell scripts, from the syntax tree of tree-sitter's bash grammar.
//!
//! Calls of a program whose name is in a variable are left out.

use std::ops::Range;

use tree_sitter::{Node, Parser};

/// A program that a script or a command line runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// A bare name or a path.
    pub(super) program: String,
    /// Its bytes in the script, or the index of the word in a command line.
    pub(super) at: Range<usize>,
}

/// A parsed script.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// The programs that it runs, without builtins and its own functions.
    pub(super) calls: Vec<Call>,
    /// Its literal words, with their bytes.
    pub(super) words: Vec<(String, Range<usize>)>,
    /// The first syntax error.
    pub(super) error: Option<Range<usize>>,
}

/// The builtins of every POSIX shell, from dash 0.5.
const POSIX: &str = ". : [ alias bg break cd command continue echo eval exec exit export false fg getopts hash jobs \
    kill local printf pwd read readonly return set shift test times trap true type ulimit umask unalias unset wait";

/// Further builtins of bash 5.
const BASH: &str = "bind builtin caller compgen complete compopt declare dirs disown enable fc help history let logout \
    mapfile popd pushd readarray shopt source suspend typeset";

/// Programs that run another one: their options that take the next word, and the number of words before the program.
const WRAPPERS: [(&str, &[&str], usize); 11] = [
    ("command", &[], 0),
    ("env", &["-C", "-u"], 0),
    ("exec", &["-a"], 0),
    ("ionice", &["-c", "-n"], 0),
    ("nice", &["-n"], 0),
    ("nohup", &[], 0),
    ("setpriv", &[], 0),
    ("setsid", &[], 0),
    ("stdbuf", &["-e", "-i", "-o"], 0),
    ("timeout", &["-k", "-s"], 1),
    (
        "xargs",
        &["-E", "-I", "-L", "-P", "-a", "-d", "-n", "-s"],
        0,
    ),
];

/// Shells whose `-c` takes a script.
const SHELLS: [&str; 3] = ["bash", "dash", "sh"];

/// Parses a script. `shell` is the program that runs it, whose builtins are left out.
pub(super) fn read(text: &str, shell: &str) -> Script {
    let mut parser = Parser::new();
    let grammar = tree_sitter_bash::LANGUAGE.into();
    let tree = parser.set_language(&grammar).ok();
    let Some(tree) = tree.and_then(|()| parser.parse(text, None)) else {
        return Script {
            error: Some(0..0),
            ..Script::default()
        };
    };
    let mut reader = Reader {
        text,
        bash: base(shell) == "bash",
        functions: Vec::new(),
        script: Script::default(),
    };
    reader.functions(tree.root_node());
    reader.visit(tree.root_node());
    reader.script
}

/// The programs that a command line runs: its own, and those that it wraps.
pub(super) fn command_line(words: &[&str]) -> Vec<Call> {
    let words: Vec<Option<&str>> = words.iter().copied().map(Some).collect();
    let mut calls = Vec::new();
    let Some(Some(program)) = words.first() else {
        return calls;
    };
    calls.push(Call {
        program: (*program).to_owned(),
        at: 0..1,
    });
    run_by(&words, &mut calls);
    calls
}

/// Adds the programs that the first of `words` runs. `at` counts words.
fn run_by(words: &[Option<&str>], calls: &mut Vec<Call>) {
    let Some(Some(program)) = words.first() else {
        return;
    };
    if SHELLS.contains(&base(program)) {
        let text = words.windows(2).position(|pair| pair[0] == Some("-c"));
        if let Some((at, Some(text))) = text.map(|at| (at + 1, words[at + 1])) {
            let inner = read(text, program).calls;
            calls.extend(inner.into_iter().map(|call| Call {
                at: at..at + 1,
                ..call
            }));
        }
        return;
    }
    let Some(at) = wrapped(base(program), words) else {
        return;
    };
    let Some(program) = words[at] else {
        return;
    };
    calls.push(Call {
        program: program.to_owned(),
        at: at..at + 1,
    });
    let mut inner = Vec::new();
    run_by(&words[at..], &mut inner);
    calls.extend(inner.into_iter().map(|call| Call {
        at: call.at.start + at..call.at.end + at,
        ..call
    }));
}

/// The index of the program that the wrapper `name`, the first of `words`, runs.
fn wrapped(name: &str, words: &[Option<&str>]) -> Option<usize> {
    let (_, valued, mut before) = *WRAPPERS.iter().find(|(wrapper, ..)| *wrapper == name)?;
    let mut at = 1;
    while at < words.len() {
        match words[at] {
            // This only looks the program up.
            Some("-v" | "-V") if name == "command" => return None,
            Some("--") => return (at + 1 + before < words.len()).then_some(at + 1 + before),
            Some(option) if valued.contains(&option) => at += 1,
            Some(option) if option.starts_with('-') => {}
            Some(word) if name == "env" && word.contains('=') => {}
            _ if before > 0 => before -= 1,
            _ => return Some(at),
        }
        at += 1;
    }
    None
}

struct Reader<'a> {
    text: &'a str,
    bash: bool,
    functions: Vec<&'a str>,
    script: Script,
}

impl<'a> Reader<'a> {
    fn functions(&mut self, node: Node<'_>) {
        if node.kind() == "function_definition" {
            let name = node.child_by_field_name("name");
            self.functions
                .extend(name.map(|name| &self.text[name.byte_range()]));
        }
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            self.functions(child);
        }
    }

    fn visit(&mut self, node: Node<'_>) {
        // The grammar rejects the operators of some valid redirections: `done <<<x`, `3<>"x"`. An error without letters
        // hides no call, and shellcheck finds real mistakes.
        let words = |text: &str| text.contains(char::is_alphanumeric);
        let lost = node.is_error() && words(&self.text[node.byte_range()]);
        let wrong = lost || node.is_missing();
        if wrong && self.script.error.is_none() {
            self.script.error = Some(node.byte_range());
        }
        if node.kind() == "heredoc_body" {
            return self.here_document(node);
        }
        if node.kind() == "command" {
            self.command(node);
        }
        let is_part = node
            .parent()
            .is_some_and(|parent| parent.kind() == "concatenation");
        if let Some(text) = self.literal(node).filter(|_| !is_part) {
            self.script.words.push((text.to_owned(), node.byte_range()));
        }
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            self.visit(child);
        }
    }

    fn command(&mut self, node: Node<'_>) {
        let Some(name) = node
            .child_by_field_name("name")
            .and_then(|name| name.child(0))
        else {
            return;
        };
        let mut cursor = node.walk();
        let arguments = node.children_by_field_name("argument", &mut cursor);
        let nodes: Vec<Node<'_>> = std::iter::once(name).chain(arguments).collect();
        // An option may contain expansions.
        let option = |node: &Node<'_>| {
            let text = &self.text[node.byte_range()];
            text.starts_with('-').then_some(text)
        };
        let words = nodes
            .iter()
            .map(|node| self.literal(*node).or_else(|| option(node)));
        let words: Vec<Option<&str>> = words.collect();
        let Some(program) = words[0] else {
            return;
        };
        let mut calls = Vec::new();
        if !self.is_own(program) {
            calls.push(Call {
                program: program.to_owned(),
                at: 0..1,
            });
        }
        run_by(&words, &mut calls);
        // `command` and `exec` also run builtins.
        let of_shell = matches!(program, "command" | "exec");
        calls.retain(|call| !(of_shell && self.is_own(&call.program)));
        let calls = calls.into_iter();
        self.script.calls.extend(calls.map(|call| Call {
            at: nodes[call.at.start].byte_range(),
            ..call
        }));
    }

    /// Reads the body of a here-document as a double-quoted string, as the shell does: the grammar misses substitutions after
    /// indentation.
    fn here_document(&mut self, body: Node<'_>) {
        let start = body
            .prev_named_sibling()
            .map_or("", |start| &self.text[start.byte_range()]);
        if start.contains(['\'', '"', '\\']) {
            return;
        }
        const OPEN: &str = ": \"";
        let text = self.text[body.byte_range()].replace('"', " ");
        let inner = read(
            &format!("{OPEN}{text}\""),
            if self.bash { "bash" } else { "sh" },
        );
        let at = |span: Range<usize>| {
            let shift = |at: usize| (at + body.start_byte()).saturating_sub(OPEN.len());
            shift(span.start)..shift(span.end)
        };
        let calls = inner.calls.into_iter().map(|call| Call {
            at: at(call.at),
            ..call
        });
        let calls = calls.filter(|call| !self.functions.contains(&call.program.as_str()));
        self.script.calls.extend(calls);
        self.script.error = self.script.error.take().or(inner.error.map(at));
    }

    /// Whether `name` is a builtin or a function.
    fn is_own(&self, name: &str) -> bool {
        let built_in = |names: &str| names.split_whitespace().any(|known| known == name);
        built_in(POSIX) || (self.bash && built_in(BASH)) || self.functions.contains(&name)
    }

    /// The text of a word, if it has no expansions.
    fn literal(&self, node: Node<'_>) -> Option<&'a str> {
        let text = &self.text[node.byte_range()];
        match node.kind() {
            "word" | "number" => Some(text),
            "raw_string" => text.strip_prefix('\'')?.strip_suffix('\''),
            "string" => {
                let mut cursor = node.walk();
                let plain = node
                    .named_children(&mut cursor)
                    .all(|child| child.kind() == "string_content");
                plain
                    .then(|| text.strip_prefix('"')?.strip_suffix('"'))
                    .flatten()
            }
            _ => None,
        }
    }
}

/// The file name of a program.
pub(super) fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(text: &str, shell: &str) -> Vec<String> {
        let script = read(text, shell);
        assert_eq!(script.error, None, "{text}");
        script.calls.into_iter().map(|call| call.program).collect()
    }

    #[test]
    fn programs_are_found_in_every_position() {
        for (text, expected) in [
            ("a; b | c && d & e", "a b c d e"),
            ("x() { a; }\nx; y", "a y"),
            ("echo \"$(a \"$(b)\")\" >/dev/null", "a b"),
            ("v=$(a) b", "b a"),
            ("if a; then b; elif ! c; then d; fi", "a b c d"),
            ("case \"$(a)\" in *x*) b ;; esac", "a b"),
            ("for i in $(a); do b; done <<<\"$(c)\"", "a b c"),
            ("[[ $(</proc/net/udp) == *x* ]]", ""),
            (
                "timeout -k 1 3 bash -c 'exec 3<>/dev/tcp/x; a'",
                "timeout bash a",
            ),
            (
                "exec setpriv --reuid=\"$U\" -- g3proxy -c \"$C\"",
                "setpriv g3proxy",
            ),
            ("exec 3>&1; exec printf x", ""),
            ("env A=1 -u B a", "env a"),
            ("a | xargs -n 1 b", "a xargs b"),
            ("command -v a >/dev/null; command b", "b"),
            ("timeout 3 echo x", "timeout echo"),
            ("\"$x\" a; 'a b' c; /bin/a", "a b /bin/a"),
            (
                "nft -f - <<RULES\ntable inet x {\n  $(a)\n}\nRULES\nb",
                "nft a b",
            ),
            ("a <<'RULES'\n  $(b)\nRULES\n", "a"),
            ("f() { :; }\na <<X\n \"$(f \"$x\")\" `b`\nX\n", "a b"),
            ("exec 3<>\"/dev/tcp/$A/$B\"; a", "a"),
            ("a <(b) > >(c)", "a b c"),
            ("while a; do b; done < <(c)", "a b c"),
        ] {
            assert_eq!(calls(text, "bash").join(" "), expected, "{text}");
        }
    }

    #[test]
    fn a_builtin_of_bash_is_a_program_elsewhere() {
        assert_eq!(calls("mapfile x; read -r y; local z", "/bin/bash"), [""; 0]);
        assert_eq!(calls("mapfile x; read -r y", "/bin/sh"), ["mapfile"]);
    }

    #[test]
    fn a_command_line_runs_its_program_and_the_wrapped_ones() {
        let line = |words: &[&str]| {
            let calls = command_line(words).into_iter();
            calls
                .map(|call| format!("{} {}", call.program, call.at.start))
                .collect::<Vec<_>>()
        };
        assert_eq!(line(&["a", "b"]), ["a 0"]);
        assert_eq!(line(&["echo", "b"]), ["echo 0"]);
        assert_eq!(
            line(&["timeout", "3", "sh", "-c", "a; echo; b"]),
            ["timeout 0", "sh 2", "a 4", "b 4"]
        );
        assert!(line(&[]).is_empty());
    }

    #[test]
    fn a_syntax_error_is_reported() {
        assert!(read("if a; then", "sh").error.is_some());
    }
}
