//! Documents that differ from a good one by a few mistakes, reproducible from a seed.
//!
//! A document keeps the text of its scalars, so that a mutation can change how a value is spelled without changing the
//! value. That is where YAML 1.1 and YAML 1.2 differ.

use xtask_pins::yaml::{Node, Value};

mod pools;

use pools::{FRAGMENTS, KEYS, LINES, SCALARS, TAGS};

/// A node of a document, as it will be printed.
#[derive(Debug, Clone)]
pub(crate) enum Doc {
    /// The text of a scalar; a block scalar's lines follow its header without indentation.
    Scalar(String),
    /// A list, one item per line.
    Seq(Vec<Doc>),
    /// A map; the keys are text, too.
    Map(Vec<(String, Doc)>),
    /// A node within brackets or braces.
    Flow(Box<Doc>),
    /// A node after a tag or an anchor.
    Prefixed(String, Box<Doc>),
}

/// A few mistakes, each identified by a number that determines it.
#[derive(Debug, Clone)]
pub(crate) struct Mutant(pub(crate) Vec<u64>);

/// SplitMix64: small, and sufficient to choose mistakes.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("64 bits suffice");
        usize::try_from(self.next() % limit).expect("below a usize")
    }

    fn of<'a, T: ?Sized>(&mut self, pool: &[&'a T]) -> &'a T {
        pool[self.below(pool.len())]
    }
}

impl Mutant {
    /// One to three mistakes.
    pub(crate) fn new(random: &mut Random) -> Self {
        let count = [1, 1, 1, 2, 2, 3][random.below(6)];
        Self((0..count).map(|_| random.next()).collect())
    }

    /// `base` with these mistakes applied: first those in the tree, then those in its text.
    pub(crate) fn document(&self, base: &Doc) -> String {
        let (in_text, in_tree): (Vec<u64>, Vec<u64>) = self.0.iter().partition(|op| *op % 4 == 0);
        let mut tree = base.clone();
        for op in in_tree {
            mutate_tree(&mut tree, &mut Random::new(op));
        }
        let mut text = tree.document();
        for op in in_text {
            mutate_text(&mut text, &mut Random::new(op));
        }
        text
    }

    /// Variants with fewer mistakes, fewest first.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let masks = 1..(1_usize << self.0.len()) - 1;
        let kept = |mask: usize| {
            let ops = self.0.iter().enumerate();
            Self(
                ops.filter(|(at, _)| mask >> at & 1 == 1)
                    .map(|(_, op)| *op)
                    .collect(),
            )
        };
        let mut all: Vec<Self> = masks.map(kept).collect();
        all.sort_by_key(|mutant| mutant.0.len());
        all
    }
}

impl Doc {
    /// The document in `text`, with every scalar in its original spelling.
    pub(crate) fn read(node: &Node, text: &str) -> Self {
        match &node.value {
            Value::Seq(items) => {
                Self::Seq(items.iter().map(|item| Self::read(item, text)).collect())
            }
            Value::Map(entries) => {
                let entry = |(key, value): &(Node, Node)| {
                    (
                        text[key.span.clone()].trim().to_owned(),
                        Self::read(value, text),
                    )
                };
                Self::Map(entries.iter().map(entry).collect())
            }
            Value::Text(value) if value.contains('\n') => Self::Scalar(format!("|\n{value}")),
            _ => Self::Scalar(text[node.span.clone()].trim().to_owned()),
        }
    }

    /// The whole document, including the header.
    pub(crate) fn document(&self) -> String {
        format!("#cloud-config\n{}\n", self.lines().join("\n"))
    }

    fn lines(&self) -> Vec<String> {
        match self {
            Self::Scalar(text) => text.lines().map(str::to_owned).collect(),
            Self::Seq(items) if items.is_empty() => vec!["[]".to_owned()],
            Self::Seq(items) => items
                .iter()
                .flat_map(|item| hang("- ", item.lines()))
                .collect(),
            Self::Map(entries) if entries.is_empty() => vec!["{}".to_owned()],
            Self::Map(entries) => entries
                .iter()
                .flat_map(|(key, value)| entry(key, value))
                .collect(),
            Self::Flow(node) => node.flow().lines().map(str::to_owned).collect(),
            Self::Prefixed(prefix, node) if node.is_block() => {
                [vec![prefix.clone()], node.lines()].concat()
            }
            Self::Prefixed(prefix, node) => hang_first(&format!("{prefix} "), node.lines()),
        }
    }

    fn flow(&self) -> String {
        let join = |parts: Vec<String>| parts.join(", ");
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Seq(items) => format!("[{}]", join(items.iter().map(Self::flow).collect())),
            Self::Map(entries) => {
                let parts = entries
                    .iter()
                    .map(|(key, value)| format!("{key}: {}", value.flow()));
                format!("{{{}}}", join(parts.collect()))
            }
            Self::Flow(node) => node.flow(),
            Self::Prefixed(prefix, node) => format!("{prefix} {}", node.flow()),
        }
    }

    fn is_block(&self) -> bool {
        match self {
            Self::Seq(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Prefixed(_, node) => node.is_block(),
            Self::Scalar(_) | Self::Flow(_) => false,
        }
    }

    fn size(&self) -> usize {
        1 + match self {
            Self::Scalar(_) => 0,
            Self::Seq(items) => items.iter().map(Self::size).sum(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value.size()).sum(),
            Self::Flow(node) | Self::Prefixed(_, node) => node.size(),
        }
    }

    /// The node number `at` in document order.
    fn nth(&mut self, at: usize) -> &mut Self {
        if at == 0 {
            return self;
        }
        let mut left = at - 1;
        let children: Vec<&mut Self> = match self {
            Self::Scalar(_) => Vec::new(),
            Self::Seq(items) => items.iter_mut().collect(),
            Self::Map(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
            Self::Flow(node) | Self::Prefixed(_, node) => vec![&mut **node],
        };
        for child in children {
            let size = child.size();
            if left < size {
                return child.nth(left);
            }
            left -= size;
        }
        unreachable!("at is below the size")
    }
}

fn hang(first: &str, lines: Vec<String>) -> Vec<String> {
    let rest = " ".repeat(first.len());
    let line = |(at, line): (usize, String)| match (at, line.is_empty()) {
        (0, _) => format!("{first}{line}"),
        (_, true) => line,
        _ => format!("{rest}{line}"),
    };
    lines.into_iter().enumerate().map(line).collect()
}

fn hang_first(first: &str, mut lines: Vec<String>) -> Vec<String> {
    if let Some(line) = lines.first_mut() {
        line.insert_str(0, first);
    }
    lines
}

fn entry(key: &str, value: &Doc) -> Vec<String> {
    let mut lines = value.lines();
    if value.is_block() && !matches!(value, Doc::Prefixed(..)) {
        lines.insert(0, String::new());
    }
    let mut out: Vec<String> = hang("  ", lines);
    if let Some(first) = out.first_mut() {
        *first = format!("{key}: {}", first.trim_start())
            .trim_end()
            .to_owned();
    }
    out
}

fn any(random: &mut Random) -> Doc {
    let scalar = Doc::Scalar(random.of(&SCALARS).to_owned());
    match random.below(8) {
        0 => Doc::Seq(vec![scalar]),
        1 => Doc::Map(vec![(random.of(&KEYS).to_owned(), scalar)]),
        2 => Doc::Prefixed(random.of(&TAGS).to_owned(), Box::new(scalar)),
        _ => scalar,
    }
}

fn mutate_tree(tree: &mut Doc, random: &mut Random) {
    let at = random.below(tree.size());
    let node = tree.nth(at);
    match random.below(8) {
        0 => *node = any(random),
        1 => wrap(node, random),
        _ => match node {
            Doc::Scalar(text) => *node = respelled(text, random),
            Doc::Seq(items) => mutate_items(items, random),
            Doc::Map(entries) => mutate_entries(entries, random),
            Doc::Flow(inner) | Doc::Prefixed(_, inner) => *node = (**inner).clone(),
        },
    }
}

fn wrap(node: &mut Doc, random: &mut Random) {
    let inner = node.clone();
    *node = match random.below(5) {
        0 => Doc::Seq(vec![inner]),
        1 => Doc::Map(vec![(random.of(&KEYS).to_owned(), inner)]),
        2 => Doc::Flow(Box::new(inner)),
        _ => Doc::Prefixed(random.of(&TAGS).to_owned(), Box::new(inner)),
    };
}

fn mutate_items(items: &mut Vec<Doc>, random: &mut Random) {
    let at = random.below(items.len().max(1));
    match random.below(5) {
        0 if !items.is_empty() => drop(items.remove(at)),
        1 if !items.is_empty() => items.push(items[at].clone()),
        2 if !items.is_empty() => items.swap(0, at),
        // The same value, by an alias.
        3 if items.len() > 1 => {
            let last = items.len() - 1;
            items[0] = Doc::Prefixed("&a".to_owned(), Box::new(items[0].clone()));
            items[last] = Doc::Scalar("*a".to_owned());
        }
        _ => items.insert(random.below(items.len() + 1), any(random)),
    }
}

fn mutate_entries(entries: &mut Vec<(String, Doc)>, random: &mut Random) {
    let at = random.below(entries.len().max(1));
    let merge = || "<<".to_owned();
    match random.below(9) {
        0 if !entries.is_empty() => drop(entries.remove(at)),
        1 if !entries.is_empty() => entries.push(entries[at].clone()),
        2 if !entries.is_empty() => entries.swap(0, at),
        3 if !entries.is_empty() => entries[at].0 = random.of(&KEYS).to_owned(),
        // The same key, spelled differently.
        4 if !entries.is_empty() => {
            let key = &mut entries[at].0;
            *key = match random.below(8) {
                0 => format!("'{key}'"),
                1 => format!("\"{key}\""),
                2 => format!("? {key}\n"),
                3 => format!("!!str {key}"),
                4 => format!("{key} "),
                5 => format!("&k {key}"),
                6 => format!("{key}{}", " ".repeat(1100)),
                _ => format!("{} {key}", random.of(&TAGS)),
            };
        }
        5 if !entries.is_empty() => {
            let entry = entries.remove(at);
            entries.push((merge(), Doc::Map(vec![entry])));
        }
        6 if !entries.is_empty() => {
            let entry = entries.remove(at);
            entries.push((merge(), Doc::Seq(vec![Doc::Map(vec![entry])])));
        }
        7 => entries.insert(at, (merge(), any(random))),
        _ => entries.insert(at, (random.of(&KEYS).to_owned(), any(random))),
    }
}

/// Another spelling of a scalar, usually of the same value.
fn respelled(text: &str, random: &mut Random) -> Doc {
    let plain = !text.starts_with(['\'', '"', '|', '>', '!', '&', '*', '[', '{']);
    let value = match text.strip_prefix("|\n") {
        Some(value) => value.to_owned(),
        None => text.to_owned(),
    };
    let quoted = |value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{}\"", value.replace('\n', "\\n"))
    };
    let scalar = match random.below(14) {
        0 => format!("'{}'", value.replace('\'', "''")),
        1 => quoted(&value),
        2 => escaped(&value, random),
        3 => format!("|\n{value}"),
        4 => format!("|2\n{value}"),
        5 => format!("|+\n{value}\n\n"),
        6 => format!("|-\n{value}"),
        7 => format!(">\n{value}"),
        8 => format!("{text} # a comment"),
        9 if plain => text.to_uppercase(),
        _ => {
            let prefix = random.of(&TAGS).to_owned();
            return Doc::Prefixed(prefix, Box::new(Doc::Scalar(text.to_owned())));
        }
    };
    Doc::Scalar(scalar)
}

/// In double quotes, with one character escaped.
fn escaped(value: &str, random: &mut Random) -> String {
    let value: Vec<char> = value.chars().collect();
    let at = random.below(value.len().max(1));
    let mut out = String::from("\"");
    for (place, character) in value.iter().enumerate() {
        let code = u32::from(*character);
        if place != at {
            match character {
                '"' | '\\' => out.extend(['\\', *character]),
                '\n' => out.push_str("\\n"),
                _ => out.push(*character),
            }
            continue;
        }
        match random.below(6) {
            0 => out.push_str(&format!("\\x{code:02x}")),
            1 => out.push_str(&format!("\\u{code:04X}")),
            2 => out.push_str(&format!("\\U{code:08x}")),
            3 => out.extend(['\\', *character]),
            4 => out.push_str("\\\n  "),
            _ => out.push_str("\\/"),
        }
    }
    out.push('"');
    out
}

fn mutate_text(text: &mut String, random: &mut Random) {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let starts: Vec<usize> = [0]
        .into_iter()
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let place = places[random.below(places.len())];
    let start = starts[random.below(starts.len())];
    let line = text[start..]
        .find('\n')
        .map_or(text.len(), |end| start + end + 1);
    match random.below(9) {
        0 | 1 => text.insert_str(place, random.of(&FRAGMENTS)),
        2 => drop(text.remove(place)),
        3 => text.insert_str(start, random.of(&LINES)),
        4 => text.insert(start, ' '),
        5 => {
            let again = text[start..line].to_owned();
            text.insert_str(start, &again);
        }
        6 => text.replace_range(start..line, ""),
        7 => text.push_str(random.of(&LINES)),
        _ => {
            let end = if text[start..line].ends_with('\n') {
                line - 1
            } else {
                line
            };
            text.insert_str(end, random.of(&FRAGMENTS));
        }
    }
}
