//! `polis security`: reads blocked requests, events and the level from Valkey, and writes the user's decisions.

use std::time::Duration;

use crate::args::{Level, SecurityVerb};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::guest::run::CommandRun;
use crate::guest::valkey::{self, Answer, IN_FILE, NO_STACK};
use crate::instance::named;
use crate::multipass::{Multipass, USER_OUTPUT};
use crate::output::{self, Done};
use crate::reports::security::{
    Approval, Denial, EventLog, LevelChange, Permission, SecurityStatus,
};
use crate::security::{self, Change, Event, Host, Id, Pending, Request, SECONDS, Set};
use crate::{platform, process};
use polis_base::shown::shown;

/// How often `--watch` and `--follow` poll.
const INTERVAL: Duration = Duration::from_secs(2);
/// The maximum output, if Multipass blocks after 4096 bytes and otherwise.
const SHORT: usize = 3500;
const LONG: usize = 8 << 20;

/// Runs `polis security`. Arguments are parsed before Multipass is called.
pub(crate) fn run(context: &Context, verb: &SecurityVerb) -> Result<Done> {
    let (id, host) = match verb {
        SecurityVerb::Approve { id, .. } | SecurityVerb::Deny { id } => {
            (Some(Id::parse(id)?), None)
        }
        SecurityVerb::Allow { host } => (None, Some(Host::typed(host)?)),
        SecurityVerb::Pending { watch: true } | SecurityVerb::Log { follow: true }
            if context.output.is_json() =>
        {
            return Err(Error::new(
                Kind::Usage,
                "`--json` prints one document, but a watch has no end",
            )
            .next("run it repeatedly, without `--watch` or `--follow`"));
        }
        _ => (None, None),
    };
    let multipass = context.multipass()?;
    super::must_run(&multipass)?;
    let valkey = Valkey { multipass, context };
    match (verb, id, host) {
        (SecurityVerb::Approve { yes, .. }, Some(id), _) => approve(&valkey, &id, *yes),
        (SecurityVerb::Deny { .. }, Some(id), _) => deny(&valkey, &id),
        (_, _, Some(host)) => allow(&valkey, &host),
        (SecurityVerb::Pending { watch: true }, ..) => watch(&valkey, new_requests()),
        (SecurityVerb::Pending { .. }, ..) => pending(&valkey),
        (SecurityVerb::Level { level }, ..) => level_of(&valkey, *level),
        (SecurityVerb::Log { follow: true }, ..) => watch(&valkey, new_events()),
        (SecurityVerb::Log { .. }, ..) => log(&valkey),
        _ => show_status(&valkey),
    }
}

/// The stack's Valkey.
struct Valkey<'a> {
    multipass: Multipass<'a>,
    context: &'a Context,
}

impl Valkey<'_> {
    fn ask(&self, args: &[String]) -> Result<Answer> {
        let most = if self.multipass.takes_long_output() {
            LONG
        } else {
            SHORT
        };
        let run = CommandRun::new();
        let file = run.file("valkey");
        let call = valkey::call(most, &file, args);
        let answer = self.multipass.call(&call, Kind::Unhealthy)?;
        let body = match valkey::body(&answer) {
            Some(NO_STACK) => return Err(super::workspace::no_stack(&self.multipass)),
            Some(IN_FILE) => {
                let bytes = self.multipass.read(&file, USER_OUTPUT)?;
                self.multipass.call(&run.forget(), Kind::Unexpected)?;
                String::from_utf8_lossy(&bytes).into_owned()
            }
            body => body.unwrap_or_default().to_owned(),
        };
        Answer::parse(&body).map_err(refused)
    }

    /// Makes a change atomically.
    fn change(&self, change: &Change) -> Result<()> {
        let answer = self.ask(&change.words())?;
        valkey::executed(&answer.replies, change.len()).map_err(refused)
    }

    /// A request, or why it cannot be parsed, with the VM's time.
    fn request(&self, id: &Id) -> Result<(u64, std::result::Result<Request, String>)> {
        let answer = self.ask(&security::ask_request(id))?;
        let entry = answer.keys.first().and_then(|keys| keys.entries.first());
        let entry = entry.filter(|entry| entry.left != -2).ok_or_else(|| {
            Error::new(Kind::Usage, format!("there is no blocked request {id}"))
                .because("it was already approved or denied, or it is older than an hour")
                .next("polis security pending")
        })?;
        Ok((answer.now, Request::parse(id, &entry.value)))
    }
}

/// The error about an unexpected answer.
fn refused(why: String) -> Box<Error> {
    let mut error = Error::new(Kind::Unhealthy, "Valkey did not answer as expected")
        .because(why)
        .next("polis status")
        .next("polis logs state");
    error.service = Some("state".to_owned());
    error
}

fn approve(valkey: &Valkey, id: &Id, yes: bool) -> Result<Done> {
    let (now, request) = valkey.request(id)?;
    let request = request.map_err(|why| {
        Error::new(Kind::Usage, format!("{id} cannot be approved"))
            .because(why)
            .next(format!("polis security deny {id}   (discards it)"))
    })?;
    let host = request.approvable()?;
    // The agent can change a request, even after it was listed.
    let question = || super::asked(&format!("Allow requests to `{host}` for {SECONDS} s?"));
    let mut report = Approval {
        changed: false,
        id,
        host: &host,
        seconds: SECONDS,
    };
    if !yes && super::can_ask(valkey.context) && !question()? {
        return Ok(Done::new("Nothing was approved.\n", report));
    }
    valkey.change(&Change::allow(now, &host, Some(&request)))?;
    report.changed = true;
    let text = format!(
        "Approved {id}: requests to {host} are allowed for {SECONDS} s. Send the request again.\n"
    );
    Ok(Done::new(text, report))
}

fn deny(valkey: &Valkey, id: &Id) -> Result<Done> {
    let (now, request) = valkey.request(id)?;
    let request = request.ok();
    valkey.change(&Change::deny(now, id, request.as_ref()))?;
    let destination = request.map(|request| request.destination);
    let text = format!("Denied {id}: its host stays blocked.\n");
    Ok(Done::new(text, Denial { id, destination }))
}

fn allow(valkey: &Valkey, host: &Host) -> Result<Done> {
    let now = valkey.ask(&security::ask_level())?.now;
    valkey.change(&Change::allow(now, host, None))?;
    let report = Permission {
        host,
        seconds: SECONDS,
    };
    Ok(Done::new(
        format!("Requests to {host} are allowed for {SECONDS} s.\n"),
        report,
    ))
}

fn level_of(valkey: &Valkey, wanted: Option<Level>) -> Result<Done> {
    let answer = valkey.ask(&security::ask_level())?;
    let before = Set::parse(answer.replies.first()).map_err(refused)?;
    let Some(level) = wanted else {
        let report = LevelChange {
            changed: false,
            level: before.level,
            before: &before,
        };
        return Ok(Done::new(format!("{}\n", words(&before)), report));
    };
    valkey.change(&Change::level(answer.now, level))?;
    let text = format!(
        "The level is {}; it was {}. Sentinel applies it after some requests.\n",
        level.word(),
        words(&before)
    );
    let report = LevelChange {
        changed: true,
        level,
        before: &before,
    };
    Ok(Done::new(text, report))
}

fn words(set: &Set) -> String {
    let level = set.level.word();
    match &set.set {
        None => format!("{level} (the default)"),
        Some(text) if text == level => level.to_owned(),
        Some(text) => format!("{level} (`{}` is set)", security::one_line(text)),
    }
}

fn pending(valkey: &Valkey) -> Result<Done> {
    let pending = Pending::parse(&only(valkey.ask(&security::ask_pending())?)?);
    let text = match pending.requests.is_empty() {
        true => "No request is pending.\n".to_owned(),
        false => format!("{}{}\n", lines(&pending), named(HOW)),
    };
    Ok(Done::new(text, pending))
}

/// The hint below pending requests.
const HOW: &str = "hint: polis security approve ID, or polis security deny ID";

fn lines(pending: &Pending) -> String {
    let mut text: String = pending
        .requests
        .iter()
        .map(security::Waiting::line)
        .collect();
    if pending.more {
        text.push_str("... and more, which are not listed\n");
    }
    text
}

/// The keys of an answer for a single pattern.
fn only(answer: Answer) -> Result<valkey::Keys> {
    let keys = answer.keys.into_iter().next();
    keys.ok_or_else(|| refused("the answer has no keys".to_owned()))
}

fn show_status(valkey: &Valkey) -> Result<Done> {
    let answer = valkey.ask(&security::ask_status())?;
    let set = Set::parse(answer.replies.first()).map_err(refused)?;
    let events = match answer.replies.get(1) {
        Some(valkey::Reply::Integer(count)) => *count,
        other => return Err(refused(valkey::reason(other))),
    };
    let [blocked, allowed] = answer.keys.as_slice() else {
        return Err(refused("the answer has no keys".to_owned()));
    };
    let pending = Pending::parse(blocked);
    let allowed = security::allowed(allowed);
    let count = pending.requests.len();
    let most = if pending.more { "more than " } else { "" };
    let mut text = format!("level    {}\npending  {most}{count}\n", words(&set));
    for host in &allowed {
        let name = security::one_line(&host.host);
        text.push_str(&format!("allowed  {name} ({} s left)\n", host.seconds));
    }
    let next = match count {
        0 => "polis security log",
        _ => "polis security pending",
    };
    text.push_str(&format!("events   {events}\nnext     {}\n", named(next)));
    let report = SecurityStatus {
        level: set.level,
        set: set.set,
        pending: count,
        more: pending.more,
        allowed,
        events,
    };
    Ok(Done::new(text, report))
}

/// The newest events, newest first. If one of them is too large, Valkey's client gives up on the whole request, so they are
/// then fetched one by one.
fn events(valkey: &Valkey) -> Result<Vec<Event>> {
    let all = valkey.ask(&security::ask_events(security::EVENTS))?;
    if let Some(events) = Event::all(&all.events).map_err(refused)? {
        return Ok(events);
    }
    let each = valkey.ask(&security::ask_events(1))?;
    Event::each(&each.events).map_err(refused)
}

fn log(valkey: &Valkey) -> Result<Done> {
    let mut events = events(valkey)?;
    events.reverse();
    let text = match events.is_empty() {
        true => "There are no events.\n".to_owned(),
        false => events.iter().map(Event::line).collect(),
    };
    Ok(Done::new(text, EventLog { events }))
}

/// What `pending --watch` prints at each poll: the requests that are new since the last one.
fn new_requests() -> impl FnMut(&Valkey) -> Result<String> {
    let mut known: Vec<Id> = Vec::new();
    move |valkey| {
        let mut pending = Pending::parse(&only(valkey.ask(&security::ask_pending())?)?);
        let now: Vec<Id> = pending.requests.iter().map(|it| it.id.clone()).collect();
        pending
            .requests
            .retain(|request| !known.contains(&request.id));
        known = now;
        pending.more &= !pending.requests.is_empty();
        Ok(lines(&pending))
    }
}

/// The same for the events of `log --follow`.
fn new_events() -> impl FnMut(&Valkey) -> Result<String> {
    let mut known: Vec<Event> = Vec::new();
    move |valkey| {
        let now = events(valkey)?;
        let new = now.iter().filter(|event| !known.contains(event));
        let lines: Vec<String> = new.map(Event::line).collect();
        known = now;
        Ok(lines.into_iter().rev().collect())
    }
}

/// Prints what `look` returns until a signal arrives or the reader of the output closes the pipe; both are a success.
fn watch(valkey: &Valkey, mut look: impl FnMut(&Valkey) -> Result<String>) -> Result<Done> {
    loop {
        let text = match look(valkey) {
            Err(error) if error.kind == Kind::Interrupted => break,
            text => text?,
        };
        output::print(shown(&text).as_bytes())?;
        if platform::stdout_is_closed() || process::pause(INTERVAL).is_err() {
            break;
        }
    }
    Ok(Done::without_report())
}
