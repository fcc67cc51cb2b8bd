//! The progress of a pull, as the guest reports it; pure.

/// How much of the images has been pulled. The numbers come from a registry, and are only shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pulled {
    images: u64,
    of: u64,
    bytes: u64,
    of_bytes: u64,
    /// Layers whose size is not known yet.
    unknown: u64,
}

impl Pulled {
    /// Parses the five numbers of the line `pulled`; zeros for any other line.
    pub(super) fn parse(line: &str) -> Self {
        let words = line.strip_prefix("pulled ").unwrap_or_default();
        let numbers: Option<Vec<u64>> = words
            .split_whitespace()
            .map(|word| word.parse().ok())
            .collect();
        match numbers.as_deref() {
            Some(&[images, of, bytes, of_bytes, unknown]) => Self {
                images,
                of,
                bytes,
                of_bytes,
                unknown,
            },
            _ => Self::default(),
        }
    }

    /// Whether anything is known.
    pub(super) fn is_some(self) -> bool {
        self.of > 0
    }

    /// Such as `3 of 9 images`.
    pub(super) fn count(self) -> String {
        format!("{} of {} images", self.images.min(self.of), self.of)
    }

    /// Such as `412 of 901 MiB (3 of 9 images)`, with `901+` while the sizes of some layers are unknown; only the count if no
    /// bytes are known.
    pub(super) fn words(self) -> String {
        if self.bytes == 0 {
            return self.count();
        }
        let mebibytes = |bytes: u64| bytes >> 20;
        let done = mebibytes(self.bytes.min(self.of_bytes));
        let more = if self.unknown > 0 { "+" } else { "" };
        let of = mebibytes(self.of_bytes);
        format!("{done} of {of}{more} MiB ({})", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_if_they_are_known() {
        let words = |line: &str| Pulled::parse(line).words();
        let mebibyte = 1_u64 << 20;
        let line = |unknown: u64| {
            let (done, of) = (412 * mebibyte, 901 * mebibyte);
            format!("pulled 3 9 {done} {of} {unknown}")
        };
        assert_eq!(words(&line(0)), "412 of 901 MiB (3 of 9 images)");
        assert_eq!(words(&line(4)), "412 of 901+ MiB (3 of 9 images)");
        assert_eq!(words("pulled 3 9 0 0 0"), "3 of 9 images");
        assert_eq!(words("pulled 99 9 0 0 0"), "9 of 9 images");
        for line in [
            "pulled",
            "pulled 1",
            "pulled 1 2 3 4 -5",
            "pulled 1 2 3 4 1e9",
            "x",
        ] {
            assert!(!Pulled::parse(line).is_some(), "{line}");
        }
    }
}
