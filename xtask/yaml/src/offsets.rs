//! Converts character offsets to byte offsets.

/// Converts saphyr's offsets, which count characters, to bytes.
pub(crate) struct Offsets {
    /// The byte offset of every character, and the length of the text; `None` for ASCII.
    table: Option<Vec<usize>>,
    length: usize,
}

impl Offsets {
    pub(crate) fn new(text: &str) -> Self {
        let ends = || text.char_indices().map(|(at, _)| at).chain([text.len()]);
        Self {
            table: (!text.is_ascii()).then(|| ends().collect()),
            length: text.len(),
        }
    }

    /// The byte offset of the character `index`, or the length of the text if beyond its end.
    pub(crate) fn byte(&self, index: usize) -> usize {
        match &self.table {
            Some(table) => table.get(index).copied().unwrap_or(self.length),
            None => index.min(self.length),
        }
    }
}
