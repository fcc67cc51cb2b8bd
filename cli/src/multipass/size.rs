//! Sizes and counts as Multipass accepts them, parsed before it is called: a typing error should not cost the download of an image.

use std::fmt;

/// The minimum memory of a VM, in bytes, from Multipass 1.17 on.
const LEAST_MEMORY: u64 = 512 << 20;
/// The minimum disk of a VM, in bytes, from Multipass 1.17 on.
const LEAST_DISK: u64 = 1 << 30;

/// A size as the user typed it, which is passed to Multipass unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Size {
    text: String,
    bytes: u64,
}

impl Size {
    /// Any size.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(Self {
            bytes: bytes(text)?,
            text: text.to_owned(),
        })
    }

    /// A size that Multipass accepts for a VM's memory.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn memory(text: &str) -> Result<Self, String> {
        Self::at_least(text, LEAST_MEMORY)
    }

    /// A size that Multipass accepts for a VM's disk.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn disk(text: &str) -> Result<Self, String> {
        Self::at_least(text, LEAST_DISK)
    }

    fn at_least(text: &str, least: u64) -> Result<Self, String> {
        let size = Self::parse(text)?;
        if size.bytes < least {
            return Err(format!(
                "`{text}` is less than {} MiB, the minimum of Multipass",
                least >> 20
            ));
        }
        Ok(size)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// The number of bytes that `text` means: `\d+(\.\d+)?[KMG](i?B)?`, or a plain number.
///
/// # Errors
/// What was expected.
fn bytes(text: &str) -> Result<u64, String> {
    let expected = || format!("invalid size `{text}`: expected a size such as 8G, 512M or 1.5GiB");
    let upper = text.to_ascii_uppercase();
    let digits = upper
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(upper.len());
    let (number, unit) = upper.split_at(digits);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        _ => return Err(expected()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || (factor == 1 && number.contains('.')) {
        return Err(expected());
    }
    let whole: u64 = whole.parse().map_err(|_| expected())?;
    let share: f64 = format!("0.{fraction}").parse().map_err(|_| expected())?;
    whole
        .checked_mul(factor)
        .map(|bytes| bytes + (share * factor as f64) as u64)
        .ok_or_else(expected)
}

/// A number of bytes for people.
pub(crate) fn words(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes >> shift > 0);
    match unit {
        Some((shift, name)) => format!("{:.1} {name}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}

/// A number of CPUs, at least one.
///
/// # Errors
/// What was expected.
pub(crate) fn cpus(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!(
            "invalid number of CPUs `{text}`: expected 1 or more"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_like_multipass() {
        for (text, expected) in [
            ("8G", 8 << 30),
            ("8g", 8 << 30),
            ("1.5GiB", 3 << 29),
            ("512MB", 512 << 20),
            ("2048K", 2 << 20),
            ("1073741824", 1 << 30),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "G",
            "8T",
            "8 G",
            "-1G",
            "1.G",
            ".5G",
            "1.5",
            "8Gi",
            "99999999999999G",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert!(Size::memory("511M").is_err());
        assert!(Size::disk("1G").is_ok());
    }

    #[test]
    fn sizes_are_printed_in_the_largest_unit_that_fits() {
        for (number, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (3 << 29, "1.5 GiB"),
        ] {
            assert_eq!(words(number), expected);
        }
    }

    #[test]
    fn cpus_are_whole_and_positive() {
        assert_eq!(cpus("4"), Ok(4));
        for text in ["0", "-1", "1.5", "", "four"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }
}
