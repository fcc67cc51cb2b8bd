//! Text assembled from pieces of a file, with the origin of each byte: joined lines of a Dockerfile, words without
//! their quotes, block scalars without their indentation.

use std::ops::Range;

/// A text and, for each of its bytes, the offset in the file that it came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapped {
    text: String,
    origin: Vec<usize>,
}

impl Mapped {
    /// The bytes `span` of `file`.
    pub fn of(file: &str, span: Range<usize>) -> Self {
        let mut mapped = Self::default();
        mapped.push(&file[span.clone()], span.start);
        mapped
    }

    /// `text`, with the origin `start` for every byte: the file spells it differently.
    pub fn somewhere(text: &str, start: usize) -> Self {
        Self {
            text: text.to_owned(),
            origin: vec![start; text.len()],
        }
    }

    /// Appends `piece`, which is at `start` in the file.
    pub fn push(&mut self, piece: &str, start: usize) {
        self.text.push_str(piece);
        self.origin.extend(start..start + piece.len());
    }

    /// Appends another text.
    pub fn append(&mut self, other: &Self) {
        self.text.push_str(&other.text);
        self.origin.extend(&other.origin);
    }

    /// Appends a part of another text.
    pub fn append_part(&mut self, other: &Self, range: Range<usize>) {
        self.text.push_str(&other.text[range.clone()]);
        self.origin.extend_from_slice(&other.origin[range]);
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text in `range`.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self {
            text: self.text[range.clone()].to_owned(),
            origin: self.origin[range].to_vec(),
        }
    }

    /// The text without leading and trailing whitespace.
    #[must_use]
    pub fn trimmed(&self) -> Self {
        let start = self.text.len() - self.text.trim_start().len();
        self.slice(start..start + self.text.trim().len())
    }

    /// The offset of its first byte in the file; `None` for an empty text.
    pub fn start(&self) -> Option<usize> {
        self.origin.first().copied()
    }

    /// Its bytes in the file, if they are contiguous. Only such a text can be edited.
    pub fn span(&self) -> Option<Range<usize>> {
        let (first, last) = (*self.origin.first()?, *self.origin.last()?);
        let mut pairs = self.origin.windows(2);
        pairs
            .all(|pair| pair[1] == pair[0] + 1)
            .then_some(first..last + 1)
    }

    /// The words, without the quotes and escapes that a shell would remove.
    pub fn words(&self) -> Vec<Self> {
        self.split(false)
    }

    /// The words, with their quotes and escapes.
    pub fn raw_words(&self) -> Vec<Self> {
        self.split(true)
    }

    fn split(&self, raw: bool) -> Vec<Self> {
        let mut words = Vec::new();
        let mut word: Option<Self> = None;
        let mut quote = None;
        let mut chars = self.text.char_indices();
        while let Some((at, c)) = chars.next() {
            let mut range = at..at + c.len_utf8();
            match (quote, c) {
                (None, c) if c.is_whitespace() => {
                    words.extend(word.take());
                    continue;
                }
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None | Some('"'), '\\') => {
                    if let Some((next, c)) = chars.next() {
                        range = if raw { at } else { next }..next + c.len_utf8();
                    }
                    word.get_or_insert_default().append_part(self, range);
                    continue;
                }
                _ => {
                    word.get_or_insert_default().append_part(self, range);
                    continue;
                }
            }
            let word = word.get_or_insert_default();
            if raw {
                word.append_part(self, range);
            }
        }
        words.extend(word);
        words
    }

    /// The fields between commas, without the double quotes that CSV allows around one.
    pub fn fields(&self) -> Vec<Self> {
        let mut fields = vec![Self::default()];
        let mut quoted = false;
        for (at, c) in self.text.char_indices() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(Self::default()),
                _ => {
                    if let Some(field) = fields.last_mut() {
                        field.append_part(self, at..at + c.len_utf8());
                    }
                }
            }
        }
        fields
    }

    /// The parts before and after the first `sign`.
    pub fn split_once(&self, sign: char) -> Option<(Self, Self)> {
        let at = self.text.find(sign)?;
        let after = at + sign.len_utf8();
        Some((self.slice(0..at), self.slice(after..self.text.len())))
    }

    /// The strings of a JSON list; `None` if it is not one.
    pub fn json_list(&self) -> Option<Vec<Self>> {
        let strings: Vec<String> = serde_json::from_str(&self.text).ok()?;
        let mut at = 0;
        let mut words = Vec::new();
        for string in strings {
            let open = at + self.text[at..].find('"')?;
            let mut stream = serde_json::Deserializer::from_str(&self.text[open..]).into_iter();
            stream.next()?.map(|_: String| ()).ok()?;
            at = open + stream.byte_offset();
            let inner = self.slice(open + 1..at - 1);
            words.push(if inner.text == string {
                inner
            } else {
                Self::somewhere(&string, self.origin[open])
            });
        }
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Mapped {
        Mapped::of(text, 0..text.len())
    }

    fn texts(words: &[Mapped]) -> Vec<&str> {
        words.iter().map(Mapped::text).collect()
    }

    #[test]
    fn words_lose_their_quotes_and_keep_their_offsets() {
        let text = of("a 'b c'\"d\\\"\" \\e '' é");
        assert_eq!(texts(&text.words()), ["a", "b cd\"", "e", "", "é"]);
        assert_eq!(
            texts(&text.raw_words()),
            ["a", "'b c'\"d\\\"\"", "\\e", "''", "é"]
        );
        assert_eq!(text.words()[1].span(), None);
        assert_eq!(text.words()[2].span(), Some(14..15));
        assert_eq!(text.words()[3].start(), None);
    }

    #[test]
    fn fields_and_lists_are_split() {
        assert_eq!(texts(&of("a,\"b=c,d\",e").fields()), ["a", "b=c,d", "e"]);
        let list = of("[ \"a b\",\n \"\\u0063\" ]").json_list().unwrap();
        assert_eq!(texts(&list), ["a b", "c"]);
        assert_eq!(list[0].span(), Some(3..6));
        assert_eq!(of("[1]").json_list(), None);
        assert_eq!(of("a, b").json_list(), None);
    }
}
