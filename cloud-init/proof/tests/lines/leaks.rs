//! Finds lower-case variables that a function of a shell script sets without declaring them `local`. The script reserves upper case
//! for globals; a leaked lower-case name could overwrite another function's variable.

/// The leaks of `script`, as `function: name`.
pub(crate) fn leaks(script: &str) -> Vec<String> {
    let mut leaks = Vec::new();
    let mut function = "";
    let mut local: Vec<&str> = Vec::new();
    for line in script.lines() {
        let line = line.split(" # ").next().unwrap_or_default();
        if let Some(name) = line.strip_suffix("() {") {
            (function, local) = (name, Vec::new());
        } else if line == "}" {
            function = "";
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"local") {
            local.extend(words[1..].iter().map(|word| name_of(word)));
            continue;
        }
        if function.is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        for name in assigned(&words) {
            if !local.contains(&name) {
                leaks.push(format!("{function}: {name}"));
            }
        }
    }
    leaks
}

/// The lower-case names that a line sets: `name=...`, `for name in`, `read ... name`.
fn assigned<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut reading = false;
    for (at, word) in words.iter().enumerate() {
        let name = name_of(word);
        let is_small = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let is_command = at == 0
            || matches!(
                words[at - 1],
                "&&" | "||" | "then" | "do" | "&" | ")" | "IFS="
            );
        let is_loop = at > 0 && words[at - 1] == "for" && words.get(at + 1) == Some(&"in");
        let assigns = is_command && word[name.len()..].starts_with('=');
        if is_small && name != "_" && (assigns || is_loop || (reading && !word.starts_with('-'))) {
            names.push(name);
        }
        reading = *word == "read" || (reading && !word.ends_with(';'));
    }
    names
}

/// The name at the start of a word.
fn name_of(word: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    word.find(|c| !is_name(c)).map_or(word, |end| &word[..end])
}

#[test]
fn variables_that_are_set_but_not_local_leak() {
    let script = "f() {\n  local a b=1\n  a=2 c=3\n  for d in x; do e=1; done\n  while read -r b g; do :; done\n  B=1\n}\nh=1\n";
    assert_eq!(leaks(script), ["f: d", "f: e", "f: g"]);
}
