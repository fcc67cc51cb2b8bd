//! Fingerprints of the primary keys in an OpenPGP key file (RFC 9580).
//!
//! This only walks packets and hashes keys. Certifications do not matter, because the pin names the only trusted key.
//! OpenPGP libraries include signatures and ciphers, a hundred crates for one hash.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// Packet types that begin a separate key.
const SECRET_KEY: u8 = 5;
const PUBLIC_KEY: u8 = 6;

/// The fingerprints of the primary keys in `bytes`, armoured or binary, in upper-case hex and in file order.
///
/// # Errors
/// A description of what cannot be read. A key that was skipped would be trusted unseen.
pub(crate) fn primary_fingerprints(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes).ok();
    let packets = match text.filter(|text| text.contains(BEGIN)) {
        Some(text) => dearmor(text)?,
        None => bytes.to_vec(),
    };
    let mut found = Vec::new();
    let mut rest = packets.as_slice();
    while !rest.is_empty() {
        let (kind, body, next) = packet(rest)?;
        match kind {
            PUBLIC_KEY => found.push(fingerprint(body)?),
            SECRET_KEY => return Err("it contains a secret key".to_owned()),
            _ => {}
        }
        rest = next;
    }
    Ok(found)
}

/// Decodes a text of exactly one armoured block. Programs read armour differently (`gpg` stops at a checksum, apt
/// continues), so ambiguous text is rejected.
fn dearmor(text: &str) -> Result<Vec<u8>, String> {
    let block = text
        .trim()
        .strip_prefix(BEGIN)
        .and_then(|block| block.strip_suffix(END))
        .ok_or("it is not exactly one armoured block")?;
    if block.contains("-----") {
        return Err("it is not exactly one armoured block".to_owned());
    }
    // Headers such as `Comment: x` end with an empty line.
    let lines = block.lines().skip(1).map(str::trim_end);
    let body: Vec<&str> = lines.skip_while(|line| !line.is_empty()).skip(1).collect();
    let (sum, body) = match body.split_last() {
        Some((sum, body)) if sum.starts_with('=') => (Some(&sum[1..]), body),
        _ => (None, body.as_slice()),
    };
    let decoded = STANDARD
        .decode(body.concat())
        .map_err(|error| format!("the armour is damaged: {error}"))?;
    if let Some(sum) = sum {
        let expected = STANDARD.decode(sum).unwrap_or_default();
        if expected != crc24(&decoded).to_be_bytes()[1..] {
            return Err("the armour is damaged: its checksum differs".to_owned());
        }
    }
    Ok(decoded)
}

/// The armour checksum.
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x00B7_04CE, |crc, byte| {
        let mut crc = crc ^ (u32::from(*byte) << 16);
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4CFB;
            }
        }
        crc
    })
}

/// The type and body of the first packet, and the remaining bytes.
fn packet(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), String> {
    let (first, rest) = bytes.split_first().ok_or("it ends within a packet")?;
    if first & 0x80 == 0 {
        return Err("it is not an OpenPGP key file".to_owned());
    }
    let (kind, length, rest) = if first & 0x40 != 0 {
        let (length, rest) = new_length(rest)?;
        (first & 0x3f, length, rest)
    } else {
        let size = match first & 3 {
            3 => return Err("a packet has no definite length".to_owned()),
            power => 1 << power,
        };
        let (length, rest) = number(rest, size)?;
        ((first >> 2) & 0x0f, length, rest)
    };
    match rest.split_at_checked(length) {
        Some((body, next)) => Ok((kind, body, next)),
        None => Err("it ends within a packet".to_owned()),
    }
}

fn new_length(bytes: &[u8]) -> Result<(usize, &[u8]), String> {
    let (first, rest) = number(bytes, 1)?;
    match first {
        0..=191 => Ok((first, rest)),
        192..=223 => {
            let (second, rest) = number(rest, 1)?;
            Ok((((first - 192) << 8) + second + 192, rest))
        }
        255 => number(rest, 4),
        _ => Err("a packet has partial lengths, which keys never have".to_owned()),
    }
}

/// The big-endian number in the first `size` bytes, and the remaining bytes.
fn number(bytes: &[u8], size: usize) -> Result<(usize, &[u8]), String> {
    let (number, rest) = bytes
        .split_at_checked(size)
        .ok_or("it ends within a packet")?;
    let number = number
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    Ok((number, rest))
}

/// The fingerprint of a public key packet, whose version determines how it is hashed.
fn fingerprint(body: &[u8]) -> Result<String, String> {
    let hex = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02X}")).collect();
    let too_long = |_| "a key is too long".to_owned();
    match body.first() {
        Some(4) => {
            let length = u16::try_from(body.len()).map_err(too_long)?;
            let hash = Sha1::new()
                .chain_update([0x99])
                .chain_update(length.to_be_bytes());
            Ok(hex(&hash.chain_update(body).finalize()))
        }
        Some(6) => {
            let length = u32::try_from(body.len()).map_err(too_long)?;
            let hash = Sha256::new()
                .chain_update([0x9b])
                .chain_update(length.to_be_bytes());
            Ok(hex(&hash.chain_update(body).finalize()))
        }
        Some(version) => Err(format!("it contains a key of version {version}")),
        None => Err("it contains an empty key".to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// RFC 9580, A.3: a version 6 certificate.
    pub(crate) const V6: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----

xioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf
GwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy
KwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw
gyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE
QsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn
+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh
BssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8
j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805
I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==
-----END PGP PUBLIC KEY BLOCK-----
";
    const V6_FINGERPRINT: &str = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";

    #[test]
    fn the_version_6_example_of_the_standard_is_read() {
        assert_eq!(
            primary_fingerprints(V6.as_bytes()).unwrap(),
            [V6_FINGERPRINT]
        );
        let commented = V6.replacen("\n\n", "\nComment: x\n\n", 1);
        let found = primary_fingerprints(commented.as_bytes());
        assert_eq!(found.unwrap(), [V6_FINGERPRINT]);
        let binary = dearmor(V6).unwrap();
        assert_eq!(primary_fingerprints(&binary).unwrap(), [V6_FINGERPRINT]);
    }

    /// Readers may disagree about which keys each of these contains.
    #[test]
    fn ambiguous_key_files_are_errors() {
        let body: String = V6
            .lines()
            .skip(2)
            .take_while(|line| *line != END)
            .collect::<Vec<_>>()
            .join("\n");
        let sum = STANDARD.encode(&crc24(&dearmor(V6).unwrap()).to_be_bytes()[1..]);
        let block = |lines: &[&str]| format!("{BEGIN}\n\n{}\n{END}\n", lines.join("\n"));
        let sum = format!("={sum}");
        assert!(primary_fingerprints(block(&[&body, &sum]).as_bytes()).is_ok());
        for text in [
            block(&[&body, &sum, &body]),
            block(&[&body, &sum, &body, &sum]),
            block(&[&body, &sum, &sum]),
            block(&[&sum, &body]),
            block(&[&body, "", &sum, "", &body]),
            block(&[&body, BEGIN, "", &body]),
            format!("{V6}{V6}"),
            format!("a note\n{V6}"),
            format!("{V6}a note\n"),
            format!("- {V6}"),
            V6.replacen("\n\n", &format!("\nComment: {BEGIN}\n\n"), 1),
            V6.replace("PUBLIC", "PRIVATE"),
            format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{V6}"),
        ] {
            assert!(primary_fingerprints(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_are_read_in_every_form() {
        let body = [&[4_u8][..], &[7; 300]].concat();
        let expected = fingerprint(&body).unwrap();
        let long = body.len() as u32;
        let (high, low) = ((long - 192) / 256 + 192, (long - 192) % 256);
        for head in [
            [&[0x99][..], &(long as u16).to_be_bytes()].concat(),
            [&[0x9a][..], &long.to_be_bytes()].concat(),
            vec![0xc6, high as u8, low as u8],
            [&[0xc6, 255][..], &long.to_be_bytes()].concat(),
        ] {
            let file = [&head[..], &body].concat();
            assert_eq!(
                primary_fingerprints(&file).unwrap(),
                std::slice::from_ref(&expected),
                "{head:?}"
            );
        }
        let short = [&[0x98, 3][..], &[4, 1, 2]].concat();
        assert_eq!(primary_fingerprints(&short).unwrap().len(), 1);
    }

    #[test]
    fn unreadable_key_files_are_errors() {
        let binary = dearmor(V6).unwrap();
        for (bytes, said) in [
            (&b"<html>"[..], "it is not an OpenPGP key file"),
            (&binary[..20], "it ends within a packet"),
            (&[0xc6][..], "it ends within a packet"),
            (&[0x9b, 1][..], "a packet has no definite length"),
            (
                &[0xc6, 0xe1, 4, 4][..],
                "a packet has partial lengths, which keys never have",
            ),
            (&[0xc6, 1, 3][..], "it contains a key of version 3"),
            (&[0xc6, 0][..], "it contains an empty key"),
            (&[0xc5, 1, 4][..], "it contains a secret key"),
        ] {
            assert_eq!(primary_fingerprints(bytes).unwrap_err(), said);
        }
        let damaged = V6.replace("\n-----END", "\n=AAAA\n-----END");
        let error = primary_fingerprints(damaged.as_bytes()).unwrap_err();
        assert_eq!(error, "the armour is damaged: its checksum differs");
        let cut = V6.replace(END, "");
        assert!(primary_fingerprints(cut.as_bytes()).is_err());
        assert_eq!(primary_fingerprints(b"").unwrap(), [""; 0]);
    }
}
