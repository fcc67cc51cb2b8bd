//! The log of events: a sorted set to which sentinel, toolbox and polis add, each in its own format.

use serde::Serialize;
use serde_json::Value;

use super::request::one_line;
use crate::guest::valkey::{Reply, reason};

/// An event. Its contents are not trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Event {
    /// When it was added, in RFC 3339, or `unknown`.
    pub(crate) time: String,
    /// What happened, such as `approved_via_cli`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// The blocked request that it is about.
    pub(crate) request_id: Option<String>,
    pub(crate) details: Option<String>,
    /// An event of unknown form; null for a known form, or for an unreadable event.
    pub(crate) raw: Option<String>,
}

impl Event {
    /// The events of an answer, newest first; none if one of them is incomplete.
    ///
    /// # Errors
    /// With Valkey's message when it returned none.
    pub(crate) fn all(parts: &[Vec<Reply>]) -> std::result::Result<Option<Vec<Self>>, String> {
        let events = Self::parse(parts)?;
        Ok(events.into_iter().collect())
    }

    /// The same, with incomplete events marked as unreadable.
    ///
    /// # Errors
    /// As [`Event::all`].
    pub(crate) fn each(parts: &[Vec<Reply>]) -> std::result::Result<Vec<Self>, String> {
        let unreadable = || Self {
            time: "unknown".to_owned(),
            kind: None,
            request_id: None,
            details: None,
            raw: None,
        };
        let events = Self::parse(parts)?.into_iter();
        Ok(events
            .map(|event| event.unwrap_or_else(unreadable))
            .collect())
    }

    fn parse(parts: &[Vec<Reply>]) -> std::result::Result<Vec<Option<Self>>, String> {
        let mut events = Vec::new();
        for part in parts {
            for pair in part.chunks(2) {
                match pair {
                    [Reply::Nil] => {}
                    [Reply::Text(text), Reply::Text(score)] => {
                        events.push(Some(Self::new(text, score)));
                    }
                    [Reply::Error(_) | Reply::Status(_), ..] => return Err(reason(pair.first())),
                    _ => events.push(None),
                }
            }
            // No output at all: the program was killed for its memory or time.
            if part.is_empty() {
                events.push(None);
            }
        }
        Ok(events)
    }

    fn new(text: &str, score: &str) -> Self {
        // Scores are seconds, which valkey-cli prints as `1764228488` or `1.7e9`.
        let seconds = score
            .parse::<f64>()
            .ok()
            .filter(|seconds| seconds.is_finite());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float saturates"
        )]
        let seconds = seconds.map(|seconds| seconds as u64);
        let known: Option<Value> = serde_json::from_str(text).ok();
        let known = known.filter(Value::is_object);
        let field = |name: &str| Some(known.as_ref()?.get(name)?.as_str()?.to_owned());
        let kind = field("event_type").or_else(|| field("event"));
        Self {
            time: seconds.map_or("unknown".to_owned(), utc),
            request_id: field("request_id"),
            details: field("details").or_else(|| field("origin_host")),
            raw: kind.is_none().then(|| text.to_owned()),
            kind,
        }
    }

    /// A line of the table.
    pub(crate) fn line(&self) -> String {
        let fields = [&self.kind, &self.request_id, &self.details, &self.raw];
        let fields: Vec<String> = fields
            .into_iter()
            .flatten()
            .map(|text| one_line(text))
            .collect();
        let text = match fields.is_empty() {
            true => "an unreadable event: larger than 4,000 bytes, or not UTF-8".to_owned(),
            false => fields.join("  "),
        };
        format!("{:<20}  {text}\n", self.time)
    }
}

/// A time in seconds since 1970 in RFC 3339, capped at the end of the year 9999.
pub(crate) fn utc(seconds: u64) -> String {
    let seconds = seconds.min(253_402_300_799);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years from March, so that a leap day is the last day: Hinnant's `civil_from_days`.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Text(text.to_owned())
    }

    #[test]
    fn times_match_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_764_228_488, "2025-11-27T07:28:08Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn events_of_every_writer_take_one_line() {
        let ours = r#"{"timestamp":"x","event_type":"approved_via_cli","request_id":"req-0a1b2c3d","details":"a.example"}"#;
        let sentinel = r#"{"event":"ott_rewrite","origin_host":"b.example","timestamp":1}"#;
        let parts = [vec![
            text(ours),
            text("1764228488"),
            text(sentinel),
            text("0"),
            text("x\ny"),
            text("nan"),
        ]];
        let events = Event::all(&parts).unwrap().unwrap();
        let lines: String = events.iter().map(Event::line).collect();
        assert_eq!(
            lines,
            "2025-11-27T07:28:08Z  approved_via_cli  req-0a1b2c3d  a.example\n\
             1970-01-01T00:00:00Z  ott_rewrite  b.example\n\
             unknown               x\\u{a}y\n"
        );
    }

    #[test]
    fn an_incomplete_event_does_not_hide_others() {
        let parts = [
            vec![Reply::Broken],
            vec![],
            vec![text("{\"event_type\":\"b\"}"), text("1")],
            vec![Reply::Nil],
        ];
        assert_eq!(Event::all(&parts), Ok(None));
        let events = Event::each(&parts).unwrap();
        assert_eq!(events.len(), 3);
        assert!(events[0].line().contains("unreadable") && events[2].kind.as_deref() == Some("b"));
        let refused = [vec![Reply::Error("NOAUTH x".to_owned())]];
        assert_eq!(Event::all(&refused), Err("NOAUTH x".to_owned()));
        assert_eq!(Event::all(&[vec![Reply::Nil]]), Ok(Some(vec![])));
    }
}
