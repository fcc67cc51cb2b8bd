//! The modules of `polis` do not import each other in cycles, and no file is too long.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The maximum length of a file, in lines.
const LONGEST: usize = 450;

/// The text of each module below `dir`, keyed by its path, such as `multipass::call`.
fn modules(dir: &Path, prefix: &str, found: &mut BTreeMap<String, (PathBuf, String)>) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            modules(&path, &format!("{prefix}{stem}::"), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a file of text");
            let name = match &*stem {
                "mod" => prefix.trim_end_matches("::").to_owned(),
                stem => format!("{prefix}{stem}"),
            };
            found.insert(name, (path, text));
        }
    }
}

/// The paths that a `use` tree names: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn leaves(prefix: &str, tree: &str, found: &mut BTreeSet<String>) {
    let Some((head, rest)) = tree.split_once('{') else {
        let leaf = tree.split(" as ").next().unwrap_or_default().trim();
        found.insert(format!("{prefix}{leaf}"));
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let inner = rest.trim_end().strip_suffix('}').expect("balanced braces");
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inner[start..at].trim();
                if !part.is_empty() {
                    leaves(&prefix, part, found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The paths below `crate::` that the code of `text` names, in `use` items and elsewhere.
fn named(text: &str) -> BTreeSet<String> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join(" ");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        if code[..at].ends_with("use ") {
            leaves("", rest.split(';').next().unwrap_or_default(), &mut found);
        } else {
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            found.insert(rest[..end].to_owned());
        }
    }
    found
}

/// The `code` of `module` with absolute paths: resolves `super::` and the `use` of a module inside this one.
fn absolute(all: &BTreeMap<String, (PathBuf, String)>, module: &str, code: &str) -> String {
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let parent = match parent {
        "" => "crate::".to_owned(),
        parent => format!("crate::{parent}::"),
    };
    let mut code = code.replace("super::", &parent);
    let inside = format!("{module}::");
    for child in all.keys().filter_map(|name| name.strip_prefix(&inside)) {
        let from = format!("use {child}::");
        code = code.replace(&from, &format!("use crate::{inside}{child}::"));
    }
    code
}

/// The imports of each module. Tests may import anything.
fn imports(all: &BTreeMap<String, (PathBuf, String)>) -> BTreeMap<&str, BTreeSet<&str>> {
    let shipped = all.iter().filter(|(name, _)| !name.contains("tests"));
    shipped
        .map(|(name, (_, text))| {
            let code = text.split("#[cfg(test)]\nmod tests {").next();
            let code = absolute(all, name, code.unwrap_or_default());
            let mut edges = BTreeSet::new();
            for path in named(&code) {
                let mut path = path.as_str();
                // The longest prefix of the path that is a module.
                while let Some((shorter, _)) = path.rsplit_once("::") {
                    if all.contains_key(path) {
                        break;
                    }
                    path = shorter;
                }
                if let Some((module, _)) = all.get_key_value(path)
                    && module != name
                {
                    edges.insert(module.as_str());
                }
            }
            (name.as_str(), edges)
        })
        .collect()
}

/// A cycle through `from`.
fn cycle<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![from]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        let last = way[way.len() - 1];
        for next in graph.get(last).into_iter().flatten() {
            if *next == from {
                return Some(way);
            }
            if seen.insert(*next) {
                ways.push([&way[..], &[*next]].concat());
            }
        }
    }
    None
}

fn ours() -> BTreeMap<String, (PathBuf, String)> {
    let mut all = BTreeMap::new();
    modules(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut all,
    );
    assert!(all.len() > 80, "{}", all.len());
    all
}

#[test]
fn modules_do_not_import_each_other_in_cycles() {
    let all = ours();
    let graph = imports(&all);
    let count: usize = graph.values().map(BTreeSet::len).sum();
    assert!(count > 400, "{count}");
    let cycles: Vec<_> = graph
        .keys()
        .filter_map(|name| cycle(&graph, name))
        .collect();
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn a_cycle_is_found_through_nested_imports() {
    let text = "use crate::{a::{self, b::C}, d as e};\n// crate::no\nfn f() { crate::x::y() }";
    let found: Vec<String> = named(text).into_iter().collect();
    assert_eq!(found, ["a::b::C", "a::self", "d", "x::y"]);
    let module = |name: &str, text: &str| (name.to_owned(), (PathBuf::new(), text.to_owned()));
    let all = BTreeMap::from([
        module("a", "use crate::b::{c::X, y};"),
        module("b", "use e::F;"),
        module("b::c", "use super::e::{F, G};\nfn f() { crate::d::g() }"),
        module("b::e", ""),
        module("d", "use crate::a;"),
    ]);
    let graph = imports(&all);
    assert_eq!(cycle(&graph, "a"), Some(vec!["a", "b::c", "d"]));
    assert_eq!(cycle(&graph, "b"), None);
    assert!(graph["b::c"].contains("b::e") && graph["b"].contains("b::e"));
}

#[test]
fn no_file_is_long() {
    let long = ours().into_values().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > LONGEST).then(|| format!("{}: {lines} lines", path.display()))
    });
    let long: Vec<String> = long.collect();
    assert!(long.is_empty(), "{long:#?}");
}
