//! DNS messages with one question and a short answer.

use std::net::IpAddr;

pub(crate) const SERVFAIL: u8 = 2;
pub(crate) const NXDOMAIN: u8 = 3;
pub(crate) const REFUSED: u8 = 5;

const A: u16 = 1;

/// The only question of a query.
pub(crate) struct Question {
    /// The name in lower case, with a trailing dot.
    pub(crate) name: String,
    pub(crate) kind: u16,
    /// The offset of the end of the question in the query.
    end: usize,
}

impl Question {
    pub(crate) fn parse(query: &[u8]) -> Option<Self> {
        let is_query = query.get(2)? & 0x80 == 0;
        if !is_query || query.get(4..6)? != [0, 1] {
            return None;
        }
        let (mut at, mut name) = (12, String::new());
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // A question must not contain a pointer.
            if length > 63 {
                return None;
            }
            name += &String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase();
            name.push('.');
            at += length;
        }
        if name.is_empty() {
            name.push('.');
        }
        let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
        query.get(at + 2..at + 4)?;
        Some(Self {
            name,
            kind,
            end: at + 4,
        })
    }

    /// An answer without records.
    pub(crate) fn refusal(&self, query: &[u8], rcode: u8) -> Vec<u8> {
        let mut answer = query[..self.end].to_vec();
        answer[2] = 0x80 | (query[2] & 0x79);
        answer[3] = 0x80 | rcode;
        answer[6..12].fill(0);
        answer
    }

    /// An answer with the addresses that match the question.
    pub(crate) fn addresses(&self, query: &[u8], addresses: &[IpAddr]) -> Vec<u8> {
        let mut answer = self.refusal(query, 0);
        for address in addresses {
            if let (IpAddr::V4(address), A) = (address, self.kind) {
                // A pointer to the name, type A, class IN, 300 s, four bytes.
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
                answer.extend(address.octets());
                answer[7] += 1;
            }
        }
        answer
    }
}

/// Whether `name` is `zone` or below it; both end with a dot.
pub(crate) fn is_below(name: &str, zone: &str) -> bool {
    zone == "."
        || name == zone
        || name
            .strip_suffix(zone)
            .is_some_and(|rest| rest.ends_with('.'))
}
