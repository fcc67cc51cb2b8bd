//! IDs and hosts, valid once constructed, so that they are safe in a command of Valkey.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::error::{Error, Kind, Result};

/// The ID of a blocked request: `req-` and eight hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RequestId"))]
pub(crate) struct Id(#[cfg_attr(test, schemars(regex(pattern = "^req-[0-9a-f]{8}$")))] String);

impl Id {
    ///
    /// # Errors
    /// Of kind `Usage`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let digits = text.strip_prefix("req-").unwrap_or_default();
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() == 8 && digits.bytes().all(digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(
            Kind::Usage,
            format!("invalid ID `{text}`: expected `req-` and eight hexadecimal digits, such as req-0a1b2c3d"),
        )
        .next("polis security pending   (lists them)"))
    }

    /// The key of the request.
    pub(crate) fn key(&self) -> String {
        format!("polis:blocked:{}", self.0)
    }

    /// The ID in the key of a request.
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        Self::parse(key.strip_prefix("polis:blocked:")?).ok()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Host header: a name (RFC 1123) or an address, with an optional port. Case is kept, because sentinel compares the header
/// byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Host(String);

impl Host {
    /// Parses a typed host, in lower case as clients send it.
    ///
    /// # Errors
    /// Of kind `Usage`.
    pub(crate) fn typed(text: &str) -> Result<Self> {
        Self::exact(&text.to_ascii_lowercase()).ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("invalid host `{text}`: expected a name or an address with an optional port, such as api.example.org:8443"),
            )
            .because("it is compared with the Host header of each request: no scheme, no path, no wildcard")
        })
    }

    /// The host, if `text` is one.
    pub(crate) fn exact(text: &str) -> Option<Self> {
        let (host, port) = match text.rfind(':') {
            Some(at) if !text.ends_with(']') => (&text[..at], Some(&text[at + 1..])),
            _ => (text, None),
        };
        let digits = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
        let port_is_one =
            port.is_none_or(|port| digits(port) && port.parse().is_ok_and(|port: u16| port > 0));
        let v6 = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host_is_one = match v6 {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => host.parse::<Ipv4Addr>().is_ok() || is_name(host),
        };
        (port_is_one && host_is_one).then(|| Self(text.to_owned()))
    }
}

/// Whether `name` is a host name (RFC 1123); a trailing dot is allowed. If the last label is a number, programs take it for an
/// address.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_exactly_the_format_of_sentinel() {
        let id = Id::parse("req-0a1b2c3d").unwrap();
        assert_eq!(Id::of_key(&id.key()), Some(id));
        for bad in [
            "",
            "req-",
            "req-0a1b2c3",
            "req-0a1b2c3d4",
            "req-0A1B2C3D",
            "0a1b2c3d",
            "req-0a1b2c3g",
            "req-0a1b2c3d\n",
            "req-0a1b2c3 ",
            "req-*",
        ] {
            assert_eq!(Id::parse(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
        assert_eq!(Id::of_key("polis:blocked:dedup:a:b"), None);
    }

    #[test]
    fn hosts_are_names_or_addresses_with_an_optional_port() {
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        for good in [
            "example.org",
            "Example.ORG",
            "localhost",
            "a-b.c1",
            "1a.example",
            "example.org.",
            "example.org:1",
            "example.org:65535",
            "192.0.2.1",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[::1]:443",
            "xn--bcher-kva.example",
            &longest,
        ] {
            assert_eq!(
                Host::exact(good).map(|host| host.to_string()).as_deref(),
                Some(good)
            );
        }
        for bad in [
            "",
            ".",
            ":80",
            "example.org:",
            "example.org:0",
            "example.org:65536",
            "example.org:+80",
            "https://example.org",
            "example.org/x",
            "*.example.org",
            "a b",
            "a\nb",
            "a'b",
            "a_b",
            "-a.example",
            "a-.example",
            "a..b",
            "é.example",
            "2001:db8::1",
            "[::1",
            "::1",
            "256.1.1.1",
            "1.2.3",
            "a@b",
            &"a".repeat(64),
            &format!("{longest}.c"),
        ] {
            assert_eq!(Host::exact(bad), None, "{bad}");
        }
        assert_eq!(
            Host::typed("Example.ORG:80").unwrap().to_string(),
            "example.org:80"
        );
        assert_eq!(Host::typed("a b").unwrap_err().kind, Kind::Usage);
    }
}
