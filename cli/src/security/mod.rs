//! Approvals and the security level as sentinel and toolbox keep them in Valkey: the keys, their values, and the commands
//! that change them. Pure.
//!
//! The agent can write blocked requests and events through toolbox, so they are parsed strictly and never trusted: an
//! approval allows requests to one new destination, whatever else a request says.

mod event;
mod names;
mod request;

use serde::Serialize;
use serde_json::json;

pub(crate) use event::{Event, utc};
pub(crate) use names::{Host, Id};
pub(crate) use request::{Pending, Request, Waiting, one_line};

use crate::args::Level;
use crate::guest::valkey::{Keys, Reply};

/// The pattern of the keys of blocked requests, excluding other keys below `polis:blocked:`.
pub(crate) const BLOCKED: &str =
    "polis:blocked:req-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]";
/// The pattern of the keys of allowed hosts; the DLP service looks up the exact Host header.
const ALLOWED: &str = "polis:approved:host:*";
/// How long a host is allowed, as in upstream's tools.
pub(crate) const SECONDS: u32 = 300;
/// The number of events that are shown.
pub(crate) const EVENTS: usize = 100;

const LEVEL: &str = "polis:config:security_level";
const LOG: &str = "polis:log:events";

/// The query for all pending requests.
pub(crate) fn ask_pending() -> Vec<String> {
    words(&["list", BLOCKED])
}

/// The query for `status`.
pub(crate) fn ask_status() -> Vec<String> {
    let (level, log) = (format!("get {LEVEL}"), format!("zcard {LOG}"));
    words(&["list", BLOCKED, "list", ALLOWED, "run", &level, &log])
}

/// The query for the newest events, `step` at a time.
pub(crate) fn ask_events(step: usize) -> Vec<String> {
    words(&["events", &EVENTS.to_string(), &step.to_string()])
}

/// The query for one request.
pub(crate) fn ask_request(id: &Id) -> Vec<String> {
    words(&["list", &id.key()])
}

/// The query for the level.
pub(crate) fn ask_level() -> Vec<String> {
    words(&["run", &format!("get {LEVEL}")])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A change: the commands of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change(Vec<String>);

impl Change {
    /// Allows requests to `host`, and removes the blocked request, if there is one.
    pub(crate) fn allow(now: u64, host: &Host, request: Option<&Request>) -> Self {
        let (kind, id) = match request {
            Some(request) => ("approved_via_cli", Some(&request.id)),
            None => ("allowed_via_cli", None),
        };
        let details = format!("{host} for {SECONDS} s");
        let set = format!("setex polis:approved:host:{host} {SECONDS} approved");
        let forget = request.map(|request| forget(&request.id, Some(request)));
        let mut commands = vec![set];
        commands.extend(forget);
        commands.push(record(now, kind, id, &details));
        Self(commands)
    }

    /// Removes a request, readable or not, without allowing anything.
    pub(crate) fn deny(now: u64, id: &Id, request: Option<&Request>) -> Self {
        let host = request.and_then(Request::host);
        let details = host.map_or("no host".to_owned(), |host| host.to_string());
        Self(vec![
            forget(id, request),
            record(now, "denied_via_cli", Some(id), &details),
        ])
    }

    /// Sets the level.
    pub(crate) fn level(now: u64, level: Level) -> Self {
        let level = level.word();
        Self(vec![
            format!("set {LEVEL} {level}"),
            record(now, "level_set_via_cli", None, level),
        ])
    }

    /// The number of commands.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The query that makes the change.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut asked = words(&["run", "multi"]);
        asked.extend(self.0.iter().cloned());
        asked.push("exec".to_owned());
        asked
    }
}

/// Removes a blocked request, and the key that keeps the same block from being recorded again.
fn forget(id: &Id, request: Option<&Request>) -> String {
    let twin = request.and_then(|request| {
        let host = request.host()?;
        let pattern = request.pattern.as_deref()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let named = !pattern.is_empty() && pattern.len() <= 64 && pattern.chars().all(plain);
        named.then(|| format!(" polis:blocked:dedup:{host}:{pattern}"))
    });
    format!("del {}{}", id.key(), twin.unwrap_or_default())
}

/// Adds an event in toolbox's format.
fn record(now: u64, kind: &str, id: Option<&Id>, details: &str) -> String {
    let event = json!({
        "timestamp": utc(now),
        "event_type": kind,
        "request_id": id.map(ToString::to_string),
        "details": details,
    });
    // Needs no quoting: it consists of hosts, IDs and our own words.
    format!("zadd {LOG} {now} '{event}'")
}

/// The level that applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "ConfiguredLevel")
)]
pub(crate) struct Set {
    pub(crate) level: Level,
    /// The stored value; null for the default. An unknown value means balanced.
    pub(crate) set: Option<String>,
}

impl Set {
    /// Parses the reply as sentinel does: quotes and case are ignored, and an unknown word means balanced.
    ///
    /// # Errors
    /// With Valkey's message when it returned no level.
    pub(crate) fn parse(reply: Option<&Reply>) -> std::result::Result<Self, String> {
        let set = match reply {
            Some(Reply::Nil) => None,
            Some(Reply::Text(text)) => Some(text.clone()),
            other => return Err(crate::guest::valkey::reason(other)),
        };
        let word = set.as_deref().unwrap_or_default();
        let bare = word
            .strip_prefix('"')
            .and_then(|word| word.strip_suffix('"'));
        let word = bare.unwrap_or(word).to_ascii_lowercase();
        let level = Level::ALL.into_iter().find(|level| level.word() == word);
        Ok(Self {
            level: level.unwrap_or(Level::Balanced),
            set,
        })
    }
}

/// An allowed host, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AllowedHost"))]
pub(crate) struct Allowed {
    /// The Host header of the requests.
    pub(crate) host: String,
    /// How long it is still allowed; -1 for no limit.
    pub(crate) seconds: i64,
}

/// The hosts that are allowed now.
pub(crate) fn allowed(keys: &Keys) -> Vec<Allowed> {
    let prefix = ALLOWED.trim_end_matches('*');
    let entries = keys.entries.iter().filter(|entry| entry.left != -2);
    let mut allowed: Vec<Allowed> = entries
        .filter_map(|entry| {
            Some(Allowed {
                host: entry.key.strip_prefix(prefix)?.to_owned(),
                seconds: entry.left,
            })
        })
        .collect();
    allowed.sort_by(|a, b| a.host.cmp(&b.host));
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::valkey::Entry;

    fn request(destination: &str, pattern: Option<&str>) -> Request {
        Request {
            id: Id::parse("req-0a1b2c3d").unwrap(),
            reason: "credential_detected".to_owned(),
            destination: destination.to_owned(),
            pattern: pattern.map(str::to_owned),
            blocked_at: None,
        }
    }

    #[test]
    fn an_approval_is_one_transaction() {
        let request = request("Example.org:8443", Some("new_domain_prompt"));
        let host = request.approvable().unwrap();
        let change = Change::allow(1_764_228_488, &host, Some(&request));
        let asked = change.words();
        assert_eq!(
            asked.iter().map(String::as_str).collect::<Vec<_>>(),
            [
                "run",
                "multi",
                "setex polis:approved:host:Example.org:8443 300 approved",
                "del polis:blocked:req-0a1b2c3d polis:blocked:dedup:Example.org:8443:new_domain_prompt",
                "zadd polis:log:events 1764228488 '{\"details\":\"Example.org:8443 for 300 s\",\
                 \"event_type\":\"approved_via_cli\",\"request_id\":\"req-0a1b2c3d\",\
                 \"timestamp\":\"2025-11-27T07:28:08Z\"}'",
                "exec",
            ]
        );
        assert_eq!(change.len(), 3);
    }

    #[test]
    fn a_denial_allows_nothing_and_validates_the_host() {
        for (request, expected) in [
            (
                Some(request("a.example", Some("anthropic"))),
                "del polis:blocked:req-0a1b2c3d polis:blocked:dedup:a.example:anthropic",
            ),
            (
                Some(request("a.example", Some("x\nflushall"))),
                "del polis:blocked:req-0a1b2c3d",
            ),
            (
                Some(request("a b\n' c", Some("anthropic"))),
                "del polis:blocked:req-0a1b2c3d",
            ),
            (None, "del polis:blocked:req-0a1b2c3d"),
        ] {
            let id = Id::parse("req-0a1b2c3d").unwrap();
            let asked = Change::deny(17, &id, request.as_ref()).words();
            assert_eq!(asked[2], expected);
            assert_eq!(asked.len(), 5);
            assert!(asked.iter().all(|line| !line.contains('\n')), "{asked:?}");
            assert!(
                asked.iter().all(|line| !line.contains("approved")),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn a_level_is_parsed_like_sentinel() {
        let text = |text: &str| Reply::Text(text.to_owned());
        for (reply, level) in [
            (Reply::Nil, Level::Balanced),
            (text("strict"), Level::Strict),
            (text("\"Relaxed\""), Level::Relaxed),
            (text("open"), Level::Balanced),
        ] {
            assert_eq!(Set::parse(Some(&reply)).unwrap().level, level, "{reply:?}");
        }
        let refused = Reply::Error("NOPERM x".to_owned());
        assert_eq!(Set::parse(Some(&refused)).unwrap_err(), "NOPERM x");
        assert!(Set::parse(None).is_err());
    }

    #[test]
    fn allowed_hosts_are_those_that_have_not_expired() {
        let entry = |key: &str, left| Entry {
            key: format!("polis:approved:host:{key}"),
            left,
            value: Reply::Nil,
        };
        let keys = Keys {
            entries: vec![
                entry("b.example", 12),
                entry("a.example", -1),
                entry("c", -2),
            ],
            more: false,
        };
        let hosts = allowed(&keys);
        let names: Vec<&str> = hosts.iter().map(|allowed| allowed.host.as_str()).collect();
        assert_eq!(names, ["a.example", "b.example"]);
    }
}
