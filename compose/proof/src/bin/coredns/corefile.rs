//! Parses the parts of the Corefile that the stand-in implements.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;

use regex::Regex;

use super::message::{NXDOMAIN, Question, REFUSED, SERVFAIL};

/// The plugins of the image: those of CoreDNS that our Corefile may use, and `blocklist`.
pub(crate) const PLUGINS: [&str; 20] = [
    "acl",
    "any",
    "bind",
    "blocklist",
    "bufsize",
    "cache",
    "cancel",
    "debug",
    "dns64",
    "errors",
    "forward",
    "health",
    "hosts",
    "log",
    "loop",
    "prometheus",
    "ready",
    "reload",
    "rewrite",
    "template",
];

/// A server block.
#[derive(Default)]
pub(crate) struct Zone {
    /// The zone, with a trailing dot.
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) log: bool,
    pub(crate) hosts: Vec<(String, IpAddr)>,
    pub(crate) templates: Vec<Template>,
    pub(crate) blocked: Vec<String>,
    pub(crate) forward: Option<Forward>,
}

/// The upstream name servers.
pub(crate) struct Forward {
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) limit: usize,
    /// Queries that are being forwarded.
    pub(crate) running: AtomicUsize,
}

/// A `template` without records.
pub(crate) struct Template {
    kind: Option<u16>,
    matches: Vec<Regex>,
    rcode: u8,
    falls_through: bool,
}

/// How a template handles a question.
pub(crate) enum Judged {
    Answer(u8),
    Next,
}

impl Template {
    pub(crate) fn judge(&self, question: &Question) -> Judged {
        if self.kind.is_some_and(|kind| kind != question.kind) {
            return Judged::Next;
        }
        let matches = self.matches.is_empty()
            || self
                .matches
                .iter()
                .any(|regex| regex.is_match(&question.name));
        match (matches, self.falls_through) {
            (true, _) => Judged::Answer(self.rcode),
            (false, true) => Judged::Next,
            (false, false) => Judged::Answer(NXDOMAIN),
        }
    }
}

/// The words of a line, and the lines of the block that it opens.
struct Line {
    words: Vec<String>,
    block: Vec<Line>,
}

fn lines<'a>(rest: &mut impl Iterator<Item = &'a str>) -> Vec<Line> {
    let mut found = Vec::new();
    while let Some(line) = rest.next() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match words.last().map(String::as_str) {
            None => {}
            Some("}") => break,
            Some("{") => {
                words.pop();
                found.push(Line {
                    words,
                    block: lines(rest),
                });
            }
            Some(_) => found.push(Line {
                words,
                block: Vec::new(),
            }),
        }
    }
    found
}

pub(crate) fn read(text: &str) -> Result<Vec<Zone>, String> {
    let blocks = lines(&mut text.lines());
    let zones = blocks
        .iter()
        .flat_map(|block| block.words.iter().map(move |key| zone(key, &block.block)));
    zones.collect()
}

fn zone(key: &str, lines: &[Line]) -> Result<Zone, String> {
    let (name, port) = key.rsplit_once(':').unwrap_or((key, "53"));
    let port = port
        .parse()
        .map_err(|_| format!("`{key}`: expected ZONE:PORT"))?;
    let mut zone = Zone {
        name: dotted(name),
        port,
        ..Zone::default()
    };
    for line in lines {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        match words[..] {
            ["log", ..] => zone.log = true,
            ["hosts"] => zone.hosts = hosts(&line.block)?,
            ["template", _, kind] => zone.templates.push(template(kind, &line.block)?),
            ["blocklist", path] => zone.blocked = blocklist(path)?,
            ["forward", ".", ..] => zone.forward = Some(forward(&words[2..], &line.block)?),
            [name, ..] if PLUGINS.contains(&name) => {}
            _ => return Err(format!("unknown directive `{}`", words.join(" "))),
        }
    }
    Ok(zone)
}

fn hosts(lines: &[Line]) -> Result<Vec<(String, IpAddr)>, String> {
    let mut hosts = Vec::new();
    for line in lines {
        let Some((first, names)) = line.words.split_first() else {
            continue;
        };
        if let Ok(address) = first.parse::<IpAddr>() {
            hosts.extend(names.iter().map(|name| (dotted(name), address)));
        } else if !["ttl", "fallthrough", "no_reverse", "reload"].contains(&first.as_str()) {
            return Err(format!("hosts: unknown `{first}`"));
        }
    }
    Ok(hosts)
}

fn template(kind: &str, lines: &[Line]) -> Result<Template, String> {
    let mut template = Template {
        kind: match kind {
            "ANY" => None,
            "A" => Some(1),
            "NULL" => Some(10),
            "TXT" => Some(16),
            "AAAA" => Some(28),
            "SVCB" => Some(64),
            "HTTPS" => Some(65),
            _ => {
                return Err(format!("template: unsupported type `{kind}`"));
            }
        },
        matches: Vec::new(),
        rcode: 0,
        falls_through: false,
    };
    for line in lines {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        match words[..] {
            ["match", ref patterns @ ..] => {
                for pattern in patterns {
                    template
                        .matches
                        .push(Regex::new(pattern).map_err(|error| error.to_string())?);
                }
            }
            ["rcode", rcode] => {
                template.rcode = match rcode {
                    "NOERROR" => 0,
                    "SERVFAIL" => SERVFAIL,
                    "NXDOMAIN" => NXDOMAIN,
                    "REFUSED" => REFUSED,
                    _ => return Err(format!("template: unknown rcode `{rcode}`")),
                }
            }
            ["fallthrough"] => template.falls_through = true,
            _ => {
                return Err(format!(
                    "template: unsupported directive `{}`",
                    words.join(" ")
                ));
            }
        }
    }
    Ok(template)
}

fn blocklist(path: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let names = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(names.filter(|name| !name.is_empty()).map(dotted).collect())
}

fn forward(to: &[&str], lines: &[Line]) -> Result<Forward, String> {
    let mut servers = Vec::new();
    for to in to {
        let addresses = match to.starts_with('/') {
            true => name_servers(to)?,
            false => vec![(*to).to_owned()],
        };
        for address in addresses {
            let server = address.parse().or_else(|_| format!("{address}:53").parse());
            servers.push(server.map_err(|_| format!("forward: `{address}` is not an address"))?);
        }
    }
    let limit = lines.iter().find(|line| {
        line.words
            .first()
            .is_some_and(|word| word == "max_concurrent")
    });
    let limit = limit
        .and_then(|line| line.words.get(1)?.parse().ok())
        .unwrap_or(usize::MAX);
    Ok(Forward {
        servers,
        limit,
        running: AtomicUsize::default(),
    })
}

fn name_servers(path: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    Ok(lines.map(|address| address.trim().to_owned()).collect())
}

fn dotted(name: &str) -> String {
    let name = name.to_lowercase();
    if name.ends_with('.') {
        name
    } else {
        format!("{name}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, u8::try_from(kind).unwrap(), 0, 1]);
        query
    }

    #[test]
    fn templates_match_type_and_name() {
        let text = ".:53 {\n template IN TXT {\n rcode REFUSED\n }\n template IN ANY {\n match ^[^.]+\\.$\n rcode NXDOMAIN\n fallthrough\n }\n}\n";
        let zones = read(text).unwrap();
        let rcode = |name: &str, kind| {
            let question = Question::parse(&query(name, kind)).unwrap();
            zones[0]
                .templates
                .iter()
                .find_map(|template| match template.judge(&question) {
                    Judged::Answer(rcode) => Some(rcode),
                    Judged::Next => None,
                })
        };
        assert_eq!(rcode("example.com", 16), Some(REFUSED));
        assert_eq!(rcode("state", 1), Some(NXDOMAIN));
        assert_eq!(rcode("example.com", 1), None);
    }

    #[test]
    fn an_unknown_directive_is_an_error() {
        assert!(read(".:53 {\n errors\n cache 30\n}\n").is_ok());
        let wrong = read(".:53 {\n blocklists x\n}\n").err().unwrap();
        assert_eq!(wrong, "unknown directive `blocklists x`");
    }
}
