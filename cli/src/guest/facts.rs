//! The facts that `status` shows about the VM in addition to the probe: versions, address, certificates and the number of pending
//! requests. A missing fact is shown as such, and is not an error.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::guest;

/// The first line of the script's answer.
const HEADER: &str = "polis-facts 1";
/// How many days before a certificate expires to warn; `generate-secrets.sh` uses the same number.
const SOON: i64 = 30;
const DAY: i64 = 24 * 60 * 60;
/// The maximum number of certificates that are read; the stack has five.
const MOST: usize = 20;
/// The maximum number of pending requests that are counted; more are shown as `250 or more`.
const MOST_PENDING: u64 = 250;
/// The commands that renew every certificate. Containers read them when they start.
pub(crate) const RENEW: &str = "polis exec --vm -- sudo mv /opt/polis/certs /opt/polis/certs.old, then: polis start, then: \
    polis exec --vm -- sh -c 'cd /opt/polis && docker compose restart'";

/// Facts about the VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GuestFacts {
    pub(crate) docker: Option<String>,
    pub(crate) sysbox: Option<String>,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) certificates: Vec<Certificate>,
    /// The number of pending requests, at most [`MOST_PENDING`].
    pub(crate) pending: Option<u64>,
}

/// A certificate of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Certificate {
    /// Its file, below `/opt/polis/certs`.
    pub(crate) name: String,
    /// Full days since it became valid.
    pub(crate) days_old: i64,
    /// Full days until it expires; negative if it has expired.
    pub(crate) days_left: i64,
}

impl GuestFacts {
    /// Parses the answer, skipping unknown lines.
    pub(crate) fn parse(text: &str) -> Self {
        let mut facts = Self::default();
        let mut now = None;
        for line in guest::answer(text, HEADER).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match (words.as_slice(), now) {
                (["end"], _) => break,
                (["now", time], _) => now = time.parse::<i64>().ok(),
                (["package", "docker-ce", version], _) => facts.docker = release(version),
                (["package", "sysbox-ce", version], _) => facts.sysbox = release(version),
                (["address", address], _) => facts.address = address.parse().ok(),
                (["certificate", name, begins, ends], Some(now)) => {
                    let certificate = Certificate::new(name, begins, ends, now);
                    facts.certificates.extend(certificate);
                }
                (["pending", count], _) => {
                    let count = count.parse().ok();
                    facts.pending = count.map(|count: u64| count.min(MOST_PENDING));
                }
                _ => {}
            }
        }
        facts.certificates.truncate(MOST);
        facts
    }

    /// The number of pending requests as text.
    pub(crate) fn pending_words(&self) -> String {
        match self.pending {
            None => "unknown".to_owned(),
            Some(0) => "none".to_owned(),
            Some(MOST_PENDING) => format!("{MOST_PENDING} or more"),
            Some(count) => count.to_string(),
        }
    }

    /// The certificate that expires first.
    pub(crate) fn first_to_expire(&self) -> Option<&Certificate> {
        self.certificates.iter().min_by_key(|it| it.days_left)
    }
}

impl Certificate {
    fn new(name: &str, begins: &str, ends: &str, now: i64) -> Option<Self> {
        let named = name.split('/').all(guest::is_name);
        let days = |from: i64, to: i64| to.saturating_sub(from).div_euclid(DAY);
        named.then_some(Self {
            name: name.to_owned(),
            days_old: days(begins.parse().ok()?, now),
            days_left: days(now, ends.parse().ok()?),
        })
    }

    /// A warning if it expires soon, and whether it is urgent.
    pub(crate) fn warning(&self) -> Option<(String, bool)> {
        let name = &self.name;
        match self.days_left {
            left if left < 0 => Some((format!("the certificate {name} has expired"), true)),
            left if left < SOON => Some((
                format!("the certificate {name} expires in {left} days"),
                false,
            )),
            _ => None,
        }
    }
}

/// The upstream release in a package's version, without epoch and packaging suffixes.
fn release(version: &str) -> Option<String> {
    let upstream = version.rsplit(':').next()?;
    let upstream = upstream.split(['-', '~', '+']).next()?;
    let upstream = upstream.trim_end_matches(".linux");
    guest::is_name(upstream).then(|| upstream.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_can_be_missing_and_is_validated() {
        let text = "noise|polis-facts 1\nnow 1000000000\npackage docker-ce 5:28.5.1-1~ubuntu.24.04~noble\n\
            package sysbox-ce 0.7.1.linux\naddress 10.0.0.7\ncertificate ca/ca.pem 999000000 1002592000\n\
            certificate x\u{1b} 1 2\ncertificate valkey/ca.crt 999000000 999999999\npending 3\nend\npending 9\n";
        let facts = GuestFacts::parse(text);
        assert_eq!(facts.docker.as_deref(), Some("28.5.1"));
        assert_eq!(facts.sysbox.as_deref(), Some("0.7.1"));
        assert_eq!(facts.address, Some(Ipv4Addr::new(10, 0, 0, 7)));
        let days: Vec<_> = facts
            .certificates
            .iter()
            .map(|it| (it.days_old, it.days_left))
            .collect();
        assert_eq!(days, [(11, 30), (11, -1)]);
        assert_eq!(facts.pending_words(), "3");
        let first = facts.first_to_expire().unwrap();
        assert_eq!(first.name, "valkey/ca.crt");
        assert_eq!(
            first.warning(),
            Some(("the certificate valkey/ca.crt has expired".into(), true))
        );
        assert_eq!(facts.certificates[0].warning(), None);

        for text in [
            "",
            "polis-facts 1",
            "polis-facts 1\naddress \npending\npackage docker-ce \npackage sysbox-ce -\naddress ::1\npending -1\ncertificate a 1 2\nend",
        ] {
            assert_eq!(GuestFacts::parse(text), GuestFacts::default(), "{text}");
        }
        let many = GuestFacts::parse("polis-facts 1\npending 100000\nend\n");
        assert_eq!(many.pending_words(), "250 or more");
    }

    #[test]
    fn an_imminent_expiry_is_a_warning() {
        for (left, word) in [
            (30, None),
            (29, Some(false)),
            (0, Some(false)),
            (-1, Some(true)),
        ] {
            let certificate = Certificate {
                name: "ca/ca.pem".to_owned(),
                days_old: 1,
                days_left: left,
            };
            assert_eq!(
                certificate.warning().map(|(_, urgent)| urgent),
                word,
                "{left}"
            );
        }
    }
}
