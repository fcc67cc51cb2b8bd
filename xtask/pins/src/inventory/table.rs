//! The table of pins and their states, in text, JSON and Markdown.

use super::model::{Dependency, Pin};
use xtask_host::finding::Finding;
use xtask_host::report::markdown::{self, cell_text, code};
use xtask_host::reports;
use xtask_host::source::Place;

/// The state of a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinState {
    /// One word, or two: `ok`, `drifted`, `not looked up`.
    pub word: &'static str,
    /// The value that the server has instead of the pinned one.
    pub found: Option<String>,
    /// The reason, if the word is not enough.
    pub reason: Option<String>,
}

/// One pin with its state.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// The pin.
    pub pin: &'a Pin,
    /// Its state.
    pub state: PinState,
}

impl PinState {
    /// A state without details.
    pub fn new(word: &'static str) -> Self {
        Self {
            word,
            found: None,
            reason: None,
        }
    }

    /// The state by the files alone: `waived`, `unpinned` or `not looked up`.
    pub fn offline(pin: &Pin) -> Self {
        match &pin.waiver {
            _ if pin.pinned().is_some() => Self::new("not looked up"),
            Some(waiver) => Self {
                reason: Some(format!("until {}: {}", waiver.expires, waiver.reason)),
                ..Self::new("waived")
            },
            None => Self::new("unpinned"),
        }
    }
}

impl<'a> Row<'a> {
    /// The rows of pins that were not looked up.
    pub fn offline(pins: &'a [Pin]) -> Vec<Self> {
        let rows = pins.iter().map(|pin| Self {
            pin,
            state: PinState::offline(pin),
        });
        rows.collect()
    }

    /// Every place with its line.
    fn places(&self) -> String {
        let mut places: Vec<String> = Vec::new();
        let mut last: Option<&Place> = None;
        for place in self.pin.occurrences.iter().map(|found| &found.at.place) {
            // Each file and each line once.
            let same_file = last.is_some_and(|last| last.path == place.path);
            if !(same_file && last.is_some_and(|last| last.line == place.line)) {
                let path = if same_file { "" } else { &place.path };
                places.push(code(&format!("{path}:{}", place.line)));
            }
            last = Some(place);
        }
        places.join(" ")
    }

    /// Every file with the users of the pin in it. Edits of other lines leave this unchanged.
    fn keys(&self) -> String {
        let mut files: Vec<(&str, Vec<&str>)> = Vec::new();
        for found in &self.pin.occurrences {
            let path = found.at.place.path.as_str();
            if files.last().is_none_or(|(last, _)| *last != path) {
                files.push((path, Vec::new()));
            }
            if let Some((_, keys)) = files.last_mut()
                && !keys.contains(&found.by.as_str())
            {
                keys.push(&found.by);
            }
        }
        let files = files
            .into_iter()
            .map(|(path, keys)| format!("{} {}", code(path), cell_text(&keys.join(", "))));
        files.collect::<Vec<_>>().join("<br>")
    }

    fn cells(&self, places: String) -> Vec<String> {
        let Self { pin, state } = self;
        let found = state.found.as_deref().map(code);
        let reason = state.reason.as_deref().map(cell_text);
        let state: Vec<String> = [Some(state.word.to_owned()), found, reason]
            .into_iter()
            .flatten()
            .collect();
        vec![
            pin.kind().to_owned(),
            code(&pin.name()),
            pin.pinned()
                .map_or_else(String::new, |pinned| code(&pinned)),
            places,
            state.join("<br>"),
        ]
    }

    /// The row in a JSON report.
    fn reported(&self) -> reports::Pin {
        let Self { pin, state } = self;
        let uses = pin.occurrences.iter().map(|found| reports::Use {
            part: found.field.word(),
            by: found.by.clone(),
            path: found.at.place.path.clone(),
            line: found.at.place.line,
            column: found.at.place.column,
        });
        reports::Pin {
            kind: pin.kind(),
            name: pin.name(),
            pinned: pin.pinned(),
            url: match &pin.dependency {
                Dependency::Download(download) => Some(download.url.clone()),
                Dependency::Key(key) => Some(key.url.clone()),
                _ => None,
            },
            built: pin.built,
            waived: pin.waiver.as_ref().map(|waiver| waiver.reason.clone()),
            state: state.word,
            found: state.found.clone(),
            reason: state.reason.clone(),
            uses: uses.collect(),
        }
    }
}

/// The data of a JSON report.
pub fn reported(rows: &[Row<'_>]) -> reports::Pins {
    reports::Pins {
        pins: rows.iter().map(Row::reported).collect(),
    }
}

/// The table in Markdown.
pub fn markdown(rows: &[Row<'_>]) -> String {
    table(rows, Row::places)
}

/// The table for a committed page: without line numbers, which every edit would change.
pub fn page(rows: &[Row<'_>]) -> String {
    table(rows, Row::keys)
}

fn table<'a>(rows: &[Row<'a>], places: fn(&Row<'a>) -> String) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.cells(places(row))).collect();
    markdown::table(&["kind", "pin", "pinned to", "places", "state"], &rows)
}

/// The number of images that cannot be read, to be appended to a [`summary`].
pub fn unread(findings: &[Finding]) -> String {
    let unread = findings
        .iter()
        .filter(|finding| finding.rule == "image-reference");
    match unread.count() {
        0 => String::new(),
        count => format!("; unreadable images: {count}"),
    }
}

/// The number of pins of each kind, in one line.
pub fn summary(pins: &[Pin]) -> String {
    let count = |wanted: &dyn Fn(&Pin) -> bool| pins.iter().filter(|pin| wanted(pin)).count();
    let kinds = [
        ("images", "image"),
        ("base images", "base"),
        ("downloads", "download"),
        ("keys", "key"),
        ("actions", "action"),
        ("toolchains", "toolchain"),
    ];
    let mut parts = Vec::new();
    for (plural, kind) in kinds {
        let all = count(&|pin| pin.kind() == kind);
        let pinned = count(&|pin| pin.kind() == kind && pin.pinned().is_some());
        let waived =
            count(&|pin| pin.kind() == kind && pin.pinned().is_none() && pin.waiver.is_some());
        let mut words = vec![format!("{pinned} pinned")];
        if waived > 0 {
            words.push(format!("{waived} waived"));
        }
        if all > pinned + waived {
            words.push(format!("{} unpinned", all - pinned - waived));
        }
        if all > 0 {
            parts.push(format!("{plural}: {}", words.join(", ")));
        }
    }
    parts.join("; ")
}
