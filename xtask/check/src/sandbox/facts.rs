//! The settings of a service, network, volume or secret as facts, independent of Compose's spellings.
//!
//! A fact is a key and a value, such as `cap_add NET_ADMIN`, `sysctls net.ipv4.ip_forward=0` or
//! `volumes ro ./certs/ca/ca.pem /ca.pem`. Every value except an empty one yields a fact.

use std::ops::Range;

use xtask_pins::yaml::{Node, Value};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    /// The key and the value, separated by a space.
    pub(super) text: String,
    /// Its bytes.
    pub(super) span: Range<usize>,
}

impl Fact {
    /// Its key in the service, network, volume or secret.
    pub(super) fn key(&self) -> &str {
        key_of(&self.text)
    }
}

/// The key of a fact's text.
pub(super) fn key_of(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// Reads facts. `home` is the base of relative paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) home: &'a str,
}

impl Reader<'_> {
    /// The facts under `key`. Extension fields have none: Compose ignores them.
    pub(super) fn facts(self, key: &Node, value: &Node) -> Vec<Fact> {
        let name = scalar(key);
        if name.starts_with("x-") || matches!(value.value, Value::Null) {
            return Vec::new();
        }
        let each = |read: fn(Self, &Node) -> String| {
            let items = match &value.value {
                Value::Seq(items) => items.iter().collect(),
                _ => vec![value],
            };
            let fact = |item: &Node| Fact {
                text: format!("{name} {}", read(self, item)),
                span: item.span.clone(),
            };
            items.into_iter().map(fact).collect()
        };
        match name.as_str() {
            "volumes" => each(Self::mount),
            "secrets" => each(Self::secret),
            "tmpfs" => each(Self::tmpfs),
            "ports" => each(Self::port),
            "networks" => members(&name, value),
            "command" | "entrypoint" => vec![Fact {
                text: format!("{name} {}", words(value)),
                span: value.span.clone(),
            }],
            "build" => self.build(&name, value),
            "file" => vec![Fact {
                text: format!("{name} {}", self.path(&scalar(value))),
                span: value.span.clone(),
            }],
            _ => leaves(&name, value),
        }
    }

    /// `OPTIONS SOURCE TARGET`; the first option is `ro` or `rw`.
    fn mount(self, mount: &Node) -> String {
        let Value::Map(entries) = &mount.value else {
            return self.short_mount(&scalar(mount));
        };
        let get = |key: &str| mount.get(key).map(scalar).unwrap_or_default();
        let read_only = matches!(
            mount.get("read_only").map(|node| &node.value),
            Some(Value::Bool(true))
        );
        let mut options = vec![if read_only { "ro" } else { "rw" }.to_owned()];
        for (key, value) in entries {
            let key = scalar(key);
            if ["source", "target", "read_only", "type"].contains(&key.as_str()) {
                continue;
            }
            let more = leaves("", value)
                .into_iter()
                .map(|leaf| format!("{key}.{}", leaf.text.trim_start()));
            options.extend(more.filter(|option| !option.starts_with("bind.create_host_path=")));
        }
        let source = match get("type").as_str() {
            "bind" => self.path(&get("source")),
            "volume" => get("source"),
            other => format!("{other}:{}", get("source")),
        };
        format!("{} {source} {}", options.join(","), get("target"))
    }

    fn short_mount(self, text: &str) -> String {
        let mut parts = text.split(':');
        let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
            return format!("rw anonymous {text}");
        };
        let options: Vec<&str> = parts.flat_map(|part| part.split(',')).collect();
        let more = options
            .iter()
            .filter(|option| !matches!(**option, "ro" | "rw"));
        let access = if options.contains(&"ro") { "ro" } else { "rw" };
        let options: Vec<&str> = [access].into_iter().chain(more.copied()).collect();
        let is_path = source.starts_with(['.', '/']);
        let source = if is_path {
            self.path(source)
        } else {
            source.to_owned()
        };
        format!("{} {source} {target}", options.join(","))
    }

    /// `at ADDRESS PUBLISHED:TARGET` for TCP at one address; for everything else, `everywhere` and all leaves.
    fn port(self, port: &Node) -> String {
        let get = |key: &str| port.get(key).map(scalar).unwrap_or_default();
        let known = ["host_ip", "published", "target", "protocol", "mode"];
        let plain = [("protocol", ["", "tcp"]), ("mode", ["", "ingress"])];
        let is_plain = port
            .entries()
            .iter()
            .all(|(key, _)| known.contains(&scalar(key).as_str()))
            && plain
                .iter()
                .all(|(key, values)| values.contains(&get(key).as_str()));
        let address = get("host_ip");
        let one = address.parse::<std::net::Ipv4Addr>();
        match one.is_ok_and(|address| !address.is_unspecified()) && is_plain {
            true => format!("at {address} {}:{}", get("published"), get("target")),
            false => {
                let leaves = leaves("", port).into_iter();
                let all: String = leaves.map(|leaf| leaf.text).collect();
                format!("everywhere{all}")
            }
        }
    }

    /// `SOURCE TARGET`: the secret and its file in `/run/secrets`, then other keys.
    fn secret(self, secret: &Node) -> String {
        if secret.entries().is_empty() {
            let name = scalar(secret);
            return format!("{name} {name}");
        }
        let source = secret.get("source").map(scalar).unwrap_or_default();
        let target = secret.get("target").map_or_else(|| source.clone(), scalar);
        let target = target
            .strip_prefix("/run/secrets/")
            .unwrap_or(&target)
            .to_owned();
        let mut parts = vec![source, target];
        for (key, value) in secret.entries() {
            let key = scalar(key);
            if key != "source" && key != "target" {
                parts.push(format!("{key}={}", scalar(value)));
            }
        }
        parts.join(" ")
    }

    /// `TARGET`, then options except size, owner and defaults.
    fn tmpfs(self, tmpfs: &Node) -> String {
        let text = scalar(tmpfs);
        let (target, options) = text.split_once(':').unwrap_or((&text, ""));
        let harmless = |option: &&str| {
            let name = option.split('=').next().unwrap_or_default();
            !matches!(
                name,
                "" | "size" | "uid" | "gid" | "noexec" | "nosuid" | "nodev"
            )
        };
        let options = options.split(',').filter(harmless);
        [target]
            .into_iter()
            .chain(options)
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn build(self, name: &str, build: &Node) -> Vec<Fact> {
        let mut facts = match &build.value {
            Value::Map(_) => leaves(name, build),
            _ => vec![Fact {
                text: format!("{name} context={}", scalar(build)),
                span: build.span.clone(),
            }],
        };
        for fact in &mut facts {
            if let Some(path) = fact.text.strip_prefix("build context=") {
                fact.text = format!("build context={}", self.path(path));
            }
        }
        facts
    }

    /// A path in the VM: `./` below `home`, `../` beside it, absolute elsewhere.
    fn path(self, path: &str) -> String {
        if path.contains('$') || path.starts_with('~') {
            return path.to_owned();
        }
        let full = match path.starts_with('/') {
            true => normal(path),
            false => normal(&format!("{}/{path}", self.home)),
        };
        let beside = self.home.rsplit_once('/').map_or("", |(parent, _)| parent);
        if full == self.home {
            ".".to_owned()
        } else if let Some(rest) = full.strip_prefix(&format!("{}/", self.home)) {
            format!("./{rest}")
        } else if let (false, Some(rest)) =
            (beside.is_empty(), full.strip_prefix(&format!("{beside}/")))
        {
            format!("../{rest}")
        } else {
            full
        }
    }
}

/// The absolute path without `.`, `..` and empty segments.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The networks, and the settings of each.
fn members(name: &str, value: &Node) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (network, settings) in value.entries() {
        facts.push(Fact {
            text: format!("{name} {}", scalar(network)),
            span: network.span.clone(),
        });
        if !matches!(settings.value, Value::Null) {
            facts.extend(leaves(&format!("{name} {}", scalar(network)), settings));
        }
    }
    if facts.is_empty() {
        facts = leaves(name, value);
    }
    facts
}

/// The leaves below `name`: `name a.b=value`. List items have no index.
fn leaves(name: &str, value: &Node) -> Vec<Fact> {
    let mut facts = Vec::new();
    collect(name, "", value, &value.span, &mut facts);
    facts
}

fn collect(name: &str, path: &str, value: &Node, span: &Range<usize>, into: &mut Vec<Fact>) {
    let is_empty = value.entries().is_empty() && value.items().is_empty();
    match &value.value {
        // The presence of an empty nested key is a fact.
        Value::Map(_) | Value::Seq(_) if is_empty && !path.is_empty() => into.push(Fact {
            text: format!("{name} {path}"),
            span: span.clone(),
        }),
        Value::Map(entries) => {
            for (key, value) in entries {
                let path = match path {
                    "" => scalar(key),
                    path => format!("{path}.{}", scalar(key)),
                };
                collect(name, &path, value, &key.span, into);
            }
        }
        Value::Seq(items) => {
            for item in items {
                collect(name, path, item, &item.span, into);
            }
        }
        leaf => {
            let value = match (path, leaf) {
                ("", _) => scalar(value),
                // Compose takes the value from its own environment.
                (path, Value::Null) => path.to_owned(),
                (path, _) => format!("{path}={}", scalar(value)),
            };
            into.push(Fact {
                text: format!("{name} {value}"),
                span: span.clone(),
            });
        }
    }
}

/// The words of a command, in either of its spellings.
fn words(command: &Node) -> String {
    match &command.value {
        Value::Seq(items) => items.iter().map(scalar).collect::<Vec<_>>().join(" "),
        _ => scalar(command),
    }
}

/// A scalar as text.
pub(super) fn scalar(node: &Node) -> String {
    match &node.value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => text.clone(),
        Value::Seq(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}
