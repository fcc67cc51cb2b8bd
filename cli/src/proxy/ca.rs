//! A company's certificate authorities: a file of PEM certificates, without private keys.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Kind, Result};

/// The maximum size of the file, which becomes part of the user-data.
const MOST_BYTES: u64 = 64 << 10;
const BEGIN: &str = "-----BEGIN ";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// The first byte of a DER certificate: the tag of a sequence.
const SEQUENCE: u8 = 0x30;

/// The certificates in the file `path`, each as PEM, without the text between them.
///
/// # Errors
/// Of kind `Usage`, with the line.
pub(crate) fn read(path: &Path) -> Result<Vec<String>> {
    let shown = path.display();
    let refused = |reason: String| {
        Error::new(Kind::Usage, format!("invalid ca-file: {reason}"))
            .because(format!("it is `{shown}`"))
            .next("give a file of PEM certificates (-----BEGIN CERTIFICATE-----), at most 64 KiB")
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| refused(error.to_string()))?;
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refused(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(refused(
            "it is larger than 64 KiB; remove certificates that the system already trusts"
                .to_owned(),
        ));
    }
    parse(&String::from_utf8_lossy(&bytes)).map_err(refused)
}

/// The certificates in `text`.
///
/// # Errors
/// The error, with its line.
fn parse(text: &str) -> std::result::Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, begun)) = lines.next() {
        let line = line.trim();
        if !line.starts_with(BEGIN) {
            continue;
        }
        if line != CERTIFICATE {
            let what = match line.contains("PRIVATE KEY") {
                true => "a private key, which only the authority may have",
                false => "something other than a certificate",
            };
            return Err(format!("line {begun} begins {what}"));
        }
        let mut body = String::new();
        loop {
            match lines.next() {
                Some((line, _)) if line.trim() == END => break,
                Some((line, at)) if line.starts_with(BEGIN) => {
                    return Err(format!("line {at}: expected `{END}`"));
                }
                Some((line, _)) => body.push_str(line.trim()),
                None => return Err(format!("the certificate at line {begun} has no end")),
            }
        }
        let der = STANDARD.decode(&body);
        if !der.as_deref().is_ok_and(is_whole) {
            return Err(format!("the certificate at line {begun} is damaged"));
        }
        found.push(pem(&body));
    }
    match found.is_empty() {
        true => Err("it contains no certificate".to_owned()),
        false => Ok(found),
    }
}

/// Whether `der` is a single sequence of its stated length, as a certificate is.
fn is_whole(der: &[u8]) -> bool {
    let [SEQUENCE, first, rest @ ..] = der else {
        return false;
    };
    let count = usize::from(first & 0x7f);
    let length = match first {
        0..0x80 => return rest.len() == count,
        _ if (1..=4).contains(&count) && rest.len() > count => &rest[..count],
        _ => return false,
    };
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    rest.len() - count == length
}

/// PEM in lines of 64 characters.
fn pem(body: &str) -> String {
    let lines = body.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("{CERTIFICATE}\n{lines}{END}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not a certificate, but a sequence of its length.
    fn block(content: &[u8]) -> String {
        let mut der = vec![SEQUENCE, 0x82, 0, 0];
        der[2..].copy_from_slice(&u16::try_from(content.len()).unwrap().to_be_bytes());
        der.extend(content);
        pem(&STANDARD.encode(der))
    }

    #[test]
    fn only_certificates_are_read() {
        let (one, two) = (block(&[1; 300]), block(&[2; 300]));
        let text = format!(
            "# Company\r\n{}\nsubject: x\n{two}",
            one.replace('\n', "\r\n")
        );
        assert_eq!(parse(&text), Ok(vec![one, two]));
    }

    #[test]
    fn errors_name_the_line() {
        let one = block(&[1; 300]);
        let key = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let cut = one.replace("\n-----END", "\nAAAA\n-----END");
        for (text, reason) in [
            (String::new(), "it contains no certificate"),
            ("hello".to_owned(), "it contains no certificate"),
            (format!("{one}{key}"), "line 10 begins a private key"),
            (
                one.replace("CERTIFICATE", "X509 CRL"),
                "line 1 begins something other than a certificate",
            ),
            (format!("x\n{cut}"), "the certificate at line 2 is damaged"),
            (
                one.replace("\nMI", "\n!!"),
                "the certificate at line 1 is damaged",
            ),
            (one.replace(END, ""), "the certificate at line 1 has no end"),
            (one.replace(END, &one), "line 9: expected"),
        ] {
            let found = parse(&text).expect_err(reason);
            assert!(found.starts_with(reason), "{found}: {reason}");
        }
    }
}
