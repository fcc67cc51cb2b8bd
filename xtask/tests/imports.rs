//! The files of a crate import each other in one direction, so they can be read in that order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use xtask_testkit::repository;

/// Crates whose files may still import each other in cycles.
const ALLOWED: [&str; 0] = [];

/// The path of a module in its crate: `["inventory", "edit"]`.
type Module = Vec<String>;

/// The paths in the code of one file.
#[derive(Default)]
struct Named {
    /// Paths, each with the module that contains it.
    paths: Vec<(Module, Vec<String>)>,
    /// The names that `use` imports into the file's own module, with their targets.
    aliases: BTreeMap<String, (Module, Vec<String>)>,
    /// The aliases that are only re-exported: `pub use`.
    re_exported: BTreeSet<String>,
}

/// The modules of a crate.
type Crate = BTreeMap<Module, Named>;

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn braces(token: Option<&TokenTree>) -> Option<TokenStream> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            Some(group.stream())
        }
        _ => None,
    }
}

/// Reads `a::b::c` at `at`. Returns its parts and the index after it.
fn path(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut parts = Vec::new();
    while let Some(part) = ident(tokens.get(at)) {
        parts.push(part);
        at += 1;
        let colons = is(tokens.get(at), ':') && is(tokens.get(at + 1), ':');
        if !colons || ident(tokens.get(at + 2)).is_none() {
            break;
        }
        at += 2;
    }
    (parts, at)
}

/// The leaves of a `use` tree, each with the name that it imports.
fn leaves(prefix: &[String], tree: TokenStream, found: &mut Vec<(String, Vec<String>)>) {
    let tokens: Vec<TokenTree> = tree.into_iter().collect();
    for part in tokens.split(|token| is(Some(token), ',')) {
        let (parts, at) = path(part, 0);
        let full = [prefix, &parts[..]].concat();
        if let Some(inner) = part.get(at + 2).and_then(|token| braces(Some(token))) {
            leaves(&full, inner, found);
        } else if let Some(last) = full.last() {
            let renamed = ident(part.get(at)).filter(|word| word == "as");
            let name = renamed.and_then(|_| ident(part.get(at + 1)));
            let full = match last == "self" {
                true => full[..full.len() - 1].to_vec(),
                false => full.clone(),
            };
            let glob = is(part.get(at + 2), '*').then(|| "*".to_owned());
            let name = name.or(glob).or_else(|| full.last().cloned());
            found.push((name.unwrap_or_default(), full));
        }
    }
}

/// Whether the attribute `#[...]` restricts an item to tests.
fn is_test_only(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else {
        return false;
    };
    let words = group.stream().to_string().replace(' ', "");
    words.starts_with("cfg(test") || words.starts_with("cfg(all(test")
}

/// Collects the paths in `tokens`, the code of `module` in the file of `file`.
fn read(tokens: TokenStream, file: &Module, module: &Module, into: &mut Named) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    let mut public = false;
    while let Some(token) = tokens.get(at) {
        let word = ident(Some(token));
        let next = tokens.get(at + 1);
        if is(Some(token), '#') && is_test_only(next) {
            at += 2;
            while at < tokens.len() && !is(tokens.get(at), ';') && braces(tokens.get(at)).is_none()
            {
                at += 1;
            }
        } else if let (Some("mod"), Some(name), Some(inner)) =
            (word.as_deref(), ident(next), braces(tokens.get(at + 2)))
        {
            read(inner, file, &[&module[..], &[name]].concat(), into);
            at += 2;
        } else if word.as_deref() == Some("use") {
            let end = (at..tokens.len()).find(|end| is(tokens.get(*end), ';'));
            let end = end.unwrap_or(tokens.len());
            let tree = tokens[at + 1..end].iter().cloned().collect();
            imported(tree, public, file, module, into);
            at = end;
        } else if let TokenTree::Group(group) = token {
            let of_pub = at > 0 && ident(tokens.get(at - 1)).as_deref() == Some("pub");
            if !of_pub {
                read(group.stream(), file, module, into);
            }
            at += 1;
            public &= of_pub;
            continue;
        } else if word.is_some() {
            let (parts, end) = path(&tokens, at);
            if parts.len() > 1 {
                into.paths.push((module.clone(), parts));
            }
            public = word.as_deref() == Some("pub");
            at = end;
            continue;
        }
        public = false;
        at += 1;
    }
}

/// Collects the imports of one `use` item.
fn imported(tree: TokenStream, public: bool, file: &Module, module: &Module, into: &mut Named) {
    let mut found = Vec::new();
    leaves(&[], tree, &mut found);
    for (name, full) in found {
        if file == module {
            into.aliases
                .insert(name.clone(), (module.clone(), full.clone()));
            if public {
                into.re_exported.insert(name);
                continue;
            }
        }
        into.paths.push((module.clone(), full));
    }
}

/// The module whose file defines what `module` refers to as `path`. None if another crate defines it.
fn target(all: &Crate, module: &Module, path: &[String], depth: usize) -> Option<Module> {
    let mut full = match path[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.clone(),
        first => {
            let child = [&module[..], &[first.to_owned()]].concat();
            all.contains_key(&child).then(|| module.clone())?
        }
    };
    for (at, part) in path.iter().enumerate() {
        match part.as_str() {
            "crate" | "self" if at == 0 => {}
            "super" => drop(full.pop()),
            _ => full.push(part.clone()),
        }
    }
    let length = (0..=full.len()).rev();
    let length = length
        .into_iter()
        .find(|length| all.contains_key(&full[..*length]))?;
    let (file, rest) = full.split_at(length);
    let alias = rest.first().and_then(|name| all[file].aliases.get(name));
    match alias {
        Some((module, path)) if depth < 8 => {
            let further = [&path[..], &rest[1..]].concat();
            target(all, module, &further, depth + 1)
        }
        _ => Some(file.to_vec()),
    }
}

/// The modules whose files each file imports.
fn edges(all: &Crate) -> BTreeMap<&Module, BTreeSet<Module>> {
    let of_one = |(file, named): (&'_ Module, &'_ Named)| {
        let found = named.paths.iter();
        let found = found.filter_map(|(module, path)| target(all, module, path, 0));
        found.filter(|other| other != file).collect()
    };
    all.iter().map(|one| (one.0, of_one(one))).collect()
}

/// The sets of files that import each other, directly or not.
fn circles(all: &Crate) -> BTreeSet<Vec<String>> {
    let edges = edges(all);
    let reached = |from: &Module| {
        let mut seen: BTreeSet<&Module> = BTreeSet::new();
        let mut open: Vec<&Module> = edges[from].iter().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&edges[next]);
            }
        }
        seen
    };
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        all.keys().map(|file| (file, reached(file))).collect();
    let on_a_circle = all.keys().filter(|file| reach[file].contains(file));
    on_a_circle
        .map(|file| {
            let others = all.keys();
            let round = others
                .filter(|other| reach[file].contains(other) && reach[other].contains(file))
                .map(|module| format!("crate::{}", module.join("::")));
            round.collect()
        })
        .collect()
}

/// Reads the modules below `dir`, which are children of `module`; `root` is the crate's own file.
fn modules(dir: &Path, root: &Path, module: &Module, found: &mut Crate) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let inner = [&module[..], &[stem.to_string()]].concat();
        if path.is_dir() {
            let other_crate = path.join("main.rs").is_file() || stem == "bin";
            if !other_crate {
                modules(&path, root, &inner, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = match &*stem {
                "mod" => module.clone(),
                _ if path == root => Module::new(),
                _ => inner,
            };
            let text = fs::read_to_string(&path).expect("text");
            let tokens = text.parse().expect("Rust");
            read(tokens, &name, &name, found.entry(name.clone()).or_default());
        }
    }
}

/// The root files of the crates of the repository.
fn crates(dir: &Path, found: &mut Vec<PathBuf>) {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    // The files of a test program share its `main.rs`, and no crate depends on them.
    if ["target", "tests"].contains(&&*name) || name.starts_with('.') {
        return;
    }
    let mut tops = ["lib.rs", "main.rs"]
        .map(|top| dir.join(top))
        .into_iter()
        .filter(|top| top.is_file());
    found.extend(tops.next());
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        if entry.path().is_dir() {
            crates(&entry.path(), found);
        }
    }
}

#[test]
fn no_two_files_import_each_other() {
    let mut roots = Vec::new();
    crates(&repository(), &mut roots);
    assert!(roots.len() > 15, "{roots:?}");
    let mut wrong = String::new();
    for root in roots {
        let dir = root.parent().expect("a directory");
        let name = dir.strip_prefix(repository()).expect("one of ours");
        let name = name.to_string_lossy().replace('\\', "/");
        let mut all = Crate::new();
        modules(dir, &root, &Module::new(), &mut all);
        let found = circles(&all);
        match (ALLOWED.contains(&name.as_str()), found.is_empty()) {
            (false, false) => wrong.push_str(&format!("{name}: {found:#?}\n")),
            (true, true) => {
                wrong.push_str(&format!("{name} has no circle: remove it from ALLOWED\n"))
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn of(files: &[(&str, &str)]) -> Crate {
    let mut all = Crate::new();
    for (name, text) in files {
        let parts = name.split("::").filter(|part| !part.is_empty());
        let name: Module = parts.map(str::to_owned).collect();
        let tokens = text.parse().expect("Rust");
        read(tokens, &name, &name, all.entry(name.clone()).or_default());
    }
    all
}

#[test]
fn cycles_are_found_in_every_notation() {
    for (files, on_it) in [
        (
            vec![
                ("", "mod a; mod b;"),
                ("a", "use crate::b::X;"),
                ("b", "use super::a;"),
            ],
            2,
        ),
        (
            vec![
                ("", ""),
                ("a", "use crate::{x, b::{self, Y as Z}};"),
                ("b", "fn f() { crate::a::g() }"),
            ],
            2,
        ),
        (
            vec![
                ("", ""),
                ("a", "fn f() { macro!(\"{}\", crate::b::C) }"),
                ("b", "use crate::a::*;"),
            ],
            2,
        ),
        (
            vec![("", "mod a; fn f() { a::g() }"), ("a", "use super::f;")],
            2,
        ),
        (
            vec![
                ("", ""),
                ("a", "use crate::b;"),
                ("b", "use crate::c;"),
                ("c", "mod x { use super::super::a; }"),
            ],
            3,
        ),
        // A re-export is defined in the child. Comments, strings and tests import nothing.
        (
            vec![
                ("", "mod a; mod b; pub use a::X;"),
                ("a", ""),
                ("b", "use super::X; // crate::b"),
            ],
            0,
        ),
        (
            vec![
                ("", ""),
                ("a", "use crate::b;"),
                (
                    "b",
                    "const A: &str = \"crate::a::b\"; #[cfg(test)] mod tests { use crate::a; }",
                ),
            ],
            0,
        ),
        (
            vec![("", ""), ("a", "mod x { use super::Y; }"), ("b", "")],
            0,
        ),
        (
            vec![("", ""), ("a", "use b::c;"), ("b", "use crate::a;")],
            0,
        ),
    ] {
        let found: usize = circles(&of(&files)).iter().map(Vec::len).sum();
        assert_eq!(found, on_it, "{files:?}");
    }
}
