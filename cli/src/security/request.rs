//! Blocked requests, as sentinel and toolbox record them.

use serde::{Deserialize, Serialize};

use super::names::{Host, Id};
use crate::error::{Error, Kind, Result};
use crate::guest::valkey::{Keys, Reply};

/// The patterns with which the DLP service blocks unknown destinations, at the levels `balanced` and `strict`. Only these blocks can
/// be approved. The reason does not show it: the service records all its blocks as `credential_detected`.
const NEW: [&str; 2] = ["new_domain_prompt", "new_domain_blocked"];

/// A blocked request, written by sentinel or by the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: Id,
    pub(crate) reason: String,
    pub(crate) destination: String,
    pub(crate) pattern: Option<String>,
    pub(crate) blocked_at: Option<String>,
}

/// The document of a request; other keys are ignored.
#[derive(Deserialize)]
struct Document {
    request_id: String,
    reason: String,
    destination: String,
    pattern: Option<String>,
    blocked_at: Option<String>,
}

impl Request {
    /// Parses the value of the key of `id`.
    ///
    /// # Errors
    /// Why it is invalid.
    pub(crate) fn parse(id: &Id, value: &Reply) -> std::result::Result<Self, String> {
        let text = match value {
            Reply::Text(text) => text,
            Reply::Broken => return Err("it is larger than 4,000 bytes, or not UTF-8".to_owned()),
            other => return Err(crate::guest::valkey::reason(Some(other))),
        };
        let document: Document = serde_json::from_str(text)
            .map_err(|error| format!("it is not a valid record of a blocked request: {error}"))?;
        if document.request_id != id.to_string() {
            return Err("it names another request".to_owned());
        }
        Ok(Self {
            id: id.clone(),
            reason: document.reason,
            destination: document.destination,
            pattern: document.pattern,
            blocked_at: document.blocked_at,
        })
    }

    /// The Host header of the request, if its destination is valid.
    pub(crate) fn host(&self) -> Option<Host> {
        Host::exact(&self.destination)
    }

    /// Whether it was blocked because its destination is new.
    pub(crate) fn is_new_destination(&self) -> bool {
        let pattern = self.pattern.as_deref();
        pattern.is_some_and(|pattern| NEW.contains(&pattern))
    }

    /// The host that an approval allows.
    ///
    /// # Errors
    /// Of kind `Usage`, when this block cannot be approved.
    pub(crate) fn approvable(&self) -> Result<Host> {
        let refused = |why: String| {
            Error::new(Kind::Usage, format!("{} cannot be approved", self.id))
                .because(why)
                .next(format!("polis security deny {}   (discards it)", self.id))
        };
        if !self.is_new_destination() {
            let lifted = "only blocks of new destinations can be approved";
            return Err(refused(match (self.reason.as_str(), &self.pattern) {
                ("credential_detected", Some(pattern)) => format!(
                    "it was blocked for a credential (`{}`), and such blocks cannot be approved",
                    one_line(pattern)
                ),
                ("credential_detected", None) => {
                    "it was blocked for a credential, and such blocks cannot be approved".to_owned()
                }
                (reason, _) => format!("it was blocked for `{}`, and {lifted}", one_line(reason)),
            }));
        }
        self.host().ok_or_else(|| {
            let destination = one_line(&self.destination);
            refused(format!("its destination `{destination}` is not a host"))
        })
    }

    /// Why it was blocked.
    pub(crate) fn why(&self) -> String {
        match (self.is_new_destination(), &self.pattern) {
            (true, _) => "new destination".to_owned(),
            (false, Some(pattern)) => format!("{}: {}", one_line(&self.reason), one_line(pattern)),
            (false, None) => one_line(&self.reason),
        }
    }
}

/// `text` on one line, truncated for a table.
pub(crate) fn one_line(text: &str) -> String {
    const MOST: usize = 100;
    let mut line = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == MOST {
            line.push_str(" ...");
            break;
        }
        match c.is_control() {
            true => line.extend(c.escape_unicode()),
            false => line.push(c),
        }
    }
    line
}

/// The pending requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "PendingRequests")
)]
pub(crate) struct Pending {
    /// The log of blocked requests, written by sentinel or the agent, sorted by ID.
    pub(crate) requests: Vec<Waiting>,
    /// Whether there are more than were checked.
    pub(crate) more: bool,
}

/// A pending request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "PendingRequest")
)]
pub(crate) struct Waiting {
    pub(crate) id: Id,
    /// The Host header; null for a request that cannot be read.
    pub(crate) destination: Option<String>,
    /// Why it was blocked, such as `credential_detected`.
    pub(crate) reason: Option<String>,
    /// Why, more precisely: `new_domain_prompt` and `new_domain_blocked` can be approved.
    pub(crate) pattern: Option<String>,
    /// The time, as its writer recorded it.
    pub(crate) blocked_at: Option<String>,
    /// Seconds until it is forgotten; null for never.
    pub(crate) seconds_left: Option<i64>,
    /// Whether `approve` accepts it.
    pub(crate) approvable: bool,
    /// Why it cannot be read.
    pub(crate) problem: Option<String>,
    #[serde(skip)]
    pub(crate) why: String,
}

impl Pending {
    pub(crate) fn parse(keys: &Keys) -> Self {
        let mut requests: Vec<Waiting> = keys
            .entries
            .iter()
            // It expired between the two commands.
            .filter(|entry| entry.left != -2)
            .filter_map(|entry| {
                let id = Id::of_key(&entry.key)?;
                let left = (entry.left >= 0).then_some(entry.left);
                Some(Waiting::new(&id, left, Request::parse(&id, &entry.value)))
            })
            .collect();
        requests.sort_by(|a, b| a.id.cmp(&b.id));
        let more = keys.more;
        Self { requests, more }
    }
}

impl Waiting {
    fn new(id: &Id, left: Option<i64>, request: std::result::Result<Request, String>) -> Self {
        let (request, problem) = match request {
            Ok(request) => (Some(request), None),
            Err(problem) => (None, Some(problem)),
        };
        Self {
            id: id.clone(),
            seconds_left: left,
            approvable: request.as_ref().is_some_and(|it| it.approvable().is_ok()),
            why: request.as_ref().map(Request::why).unwrap_or_default(),
            destination: request.as_ref().map(|it| it.destination.clone()),
            reason: request.as_ref().map(|it| it.reason.clone()),
            pattern: request.as_ref().and_then(|it| it.pattern.clone()),
            blocked_at: request.and_then(|it| it.blocked_at),
            problem,
        }
    }

    /// A line of the table.
    pub(crate) fn line(&self) -> String {
        let (id, left) = (&self.id, self.seconds_left);
        let left = left.map_or("no end".to_owned(), |left| {
            format!("{} min", (left + 59) / 60)
        });
        match (&self.problem, &self.destination) {
            (Some(problem), _) => {
                format!("{id}  {left:>6}  unreadable: {}\n", one_line(problem))
            }
            (None, destination) => {
                let destination = one_line(destination.as_deref().unwrap_or_default());
                let lifted = if self.approvable {
                    ""
                } else {
                    "; cannot be approved"
                };
                format!("{id}  {left:>6}  {destination}  ({}{lifted})\n", self.why)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::valkey::Entry;

    fn id() -> Id {
        Id::parse("req-0a1b2c3d").unwrap()
    }

    fn parse(text: &str) -> std::result::Result<Request, String> {
        Request::parse(&id(), &Reply::Text(text.to_owned()))
    }

    fn document(reason: &str, destination: &str, pattern: &str) -> String {
        serde_json::json!({
            "request_id": "req-0a1b2c3d", "reason": reason, "destination": destination, "pattern": pattern,
            "blocked_at": "2026-01-02T03:04:05Z", "status": "pending",
        })
        .to_string()
    }

    #[test]
    fn only_blocks_of_new_destinations_are_approved_and_for_their_exact_host() {
        // As the DLP service records a block of a new destination.
        for pattern in NEW {
            let request = parse(&document(
                "credential_detected",
                "API.example:8443",
                pattern,
            ));
            let host = request.unwrap().approvable().unwrap();
            assert_eq!(host.to_string(), "API.example:8443");
        }
        for (reason, destination, pattern, why) in [
            (
                "credential_detected",
                "a.example",
                "anthropic",
                "for a credential (`anthropic`)",
            ),
            (
                "credential_detected",
                "a.example",
                "new_domain_prompt ",
                "cannot be approved",
            ),
            (
                "malware_domain",
                "a.example",
                "x",
                "blocked for `malware_domain`",
            ),
            (
                "url_blocked",
                "https://a.example/",
                "new_domain_prompt",
                "is not a host",
            ),
            (
                "url_blocked",
                "a\nb",
                "new_domain_prompt",
                "`a\\u{a}b` is not a host",
            ),
        ] {
            let request = parse(&document(reason, destination, pattern)).unwrap();
            let error = request.approvable().unwrap_err();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.causes[0].contains(why), "{:?}", error.causes);
        }
    }

    #[test]
    fn invalid_requests_are_reported() {
        let other = document("x", "y", "z").replace("req-0a1b2c3d", "req-00000000");
        for (text, why) in [
            ("", "not a valid record"),
            ("[]", "not a valid record"),
            ("{\"request_id\":\"req-0a1b2c3d\"}", "not a valid record"),
            (other.as_str(), "another request"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let broken = Request::parse(&id(), &Reply::Broken).unwrap_err();
        assert!(broken.contains("larger than 4,000 bytes"), "{broken}");
    }

    #[test]
    fn a_hostile_request_takes_one_line() {
        let entry = |left, value: &str| Entry {
            key: id().key(),
            left,
            value: Reply::Text(value.to_owned()),
        };
        let hostile = document("r\n", &"a\n  hint: x\u{1b}[2J".repeat(20), "p\n");
        let gone = entry(-2, "");
        let keys = Keys {
            entries: vec![entry(61, &hostile), gone],
            more: true,
        };
        let pending = Pending::parse(&keys);
        assert_eq!((pending.requests.len(), pending.more), (1, true));
        let line = pending.requests[0].line();
        assert!(
            line.starts_with("req-0a1b2c3d   2 min  a\\u{a}  hint: x\\u{1b}[2J"),
            "{line}"
        );
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.len() < 400, "{line}");
    }
}
