//! Our rules on the compose file: every container hardened and kept running; what it may have is the table of
//! [`crate::sandbox`].

mod paths;

use std::collections::BTreeSet;

use xtask_host::finding::Finding;
use xtask_pins::compose::{Compose, from_root};
use xtask_pins::yaml::{self, Node, Value};

use crate::sandbox;

/// Judges the stack; `exists` tells whether a path, relative to the root of the tree, is there.
pub fn check(compose: &Compose, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let inits = inits(compose);
    let mut findings = Vec::new();
    for (name, service) in compose.services() {
        let rules = Service {
            compose,
            name,
            service,
            is_init: name.text().is_some_and(|name| inits.contains(name)),
        };
        findings.extend(rules.check());
    }
    findings.extend(paths::check(compose, exists));
    findings.extend(forbidden(compose, &compose.root));
    findings.extend(sandboxed(compose));
    findings.extend(tags(compose));
    findings
}

/// What Compose would read instead of our file, or on top of it, without being told: nobody judges that.
pub fn beside(compose: &Compose, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let path = &compose.source.path;
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let found = BESIDE
        .iter()
        .map(|name| from_root(dir, name))
        .filter(|path| exists(path));
    found
        .map(|found| {
            let message = format!("Compose would read `{found}` too");
            Finding::error("compose-beside", compose.place(0..0), message)
                .help("the stack is one file; `polis start --agent` writes what an agent adds")
        })
        .collect()
}

/// `!reset` and `!override` change what a file says, also the very file they stand in; no reader here follows them.
fn tags(compose: &Compose) -> Vec<Finding> {
    let beyond = yaml::beyond_plain(&compose.source).into_iter();
    let tags = beyond.filter(|(_, what)| *what == "a tag");
    tags.map(|(span, _)| {
        let place = compose.place(span);
        Finding::error("yaml-tag", place, "a tag in the compose file")
            .help("Compose obeys `!reset` and `!override`: write what is meant without them")
    })
    .collect()
}

/// What the table of the sandbox does not allow.
fn sandboxed(compose: &Compose) -> Vec<Finding> {
    let offences = sandbox::judge(&compose.root, sandbox::HOME).into_iter();
    let finding = |offence: sandbox::Offence| {
        let place = compose.place(offence.span);
        Finding::error(offence.rule, place, offence.message).help(offence.help)
    };
    offences.map(finding).collect()
}

/// The services that run once and end: they say so, or others wait until they have.
fn inits(compose: &Compose) -> BTreeSet<&str> {
    let mut inits = BTreeSet::new();
    for (name, service) in compose.services() {
        if service.get("restart").and_then(Node::text) == Some("no") {
            inits.extend(name.text());
        }
        let awaited = service.get("depends_on").map_or(&[][..], Node::entries);
        let ended = awaited.iter().filter(|(_, how)| {
            how.get("condition").and_then(Node::text) == Some("service_completed_successfully")
        });
        inits.extend(ended.filter_map(|(name, _)| name.text()));
    }
    inits
}

/// The names that Compose looks for beside our file. `.env` holds variables, `COMPOSE_FILE` among them.
const BESIDE: [&str; 8] = [
    ".env",
    "compose.yaml",
    "compose.yml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.yaml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

struct Service<'a> {
    compose: &'a Compose,
    name: &'a Node,
    service: &'a Node,
    /// Whether it runs once and ends.
    is_init: bool,
}

/// A rule on one service, judged.
struct Rule {
    broken: bool,
    name: &'static str,
    message: &'static str,
    help: &'static str,
}

impl Rule {
    fn new(name: &'static str, broken: bool, message: &'static str, help: &'static str) -> Self {
        Self {
            broken,
            name,
            message,
            help,
        }
    }
}

impl Service<'_> {
    fn check(&self) -> Vec<Finding> {
        let name = self.name.text().unwrap_or_default();
        let rules = self.hardening().into_iter().chain(self.upkeep());
        rules
            .filter(|rule| rule.broken)
            .map(|rule| {
                let place = self.compose.place(self.name.span.clone());
                Finding::error(rule.name, place, format!("`{name}` {}", rule.message))
                    .help(rule.help)
            })
            .collect()
    }

    /// What every container gives up.
    fn hardening(&self) -> [Rule; 3] {
        let sysbox = self.text("runtime") == Some("sysbox-runc");
        let drops_all = self.lists("cap_drop", |item| item == "ALL");
        let no_new = |item: &str| matches!(item, "no-new-privileges:true" | "no-new-privileges");
        [
            Rule::new(
                "cap-drop",
                !drops_all,
                "does not drop all capabilities",
                "write `cap_drop: [ALL]`",
            ),
            Rule::new(
                "no-new-privileges",
                !self.lists("security_opt", no_new),
                "may gain privileges",
                "write `security_opt: [\"no-new-privileges:true\"]`",
            ),
            // Sysbox gives the workspace a system of its own, which has to be writable.
            Rule::new(
                "read-only",
                !sysbox && !self.is("read_only", true),
                "has a writable root file system",
                "write `read_only: true`, with a tmpfs for what must be written",
            ),
        ]
    }

    /// What keeps the machine and the stack running.
    fn upkeep(&self) -> [Rule; 5] {
        let restart = self.text("restart");
        let (wrong, message, help) = if self.is_init {
            (
                // "no" is also what Compose does when nothing is said.
                !matches!(restart, None | Some("no")),
                "is an init container and restarts",
                "write `restart: \"no\"`",
            )
        } else {
            (
                restart != Some("unless-stopped"),
                "does not come back by itself",
                "write `restart: unless-stopped`",
            )
        };
        [
            Rule::new("restart", wrong, message, help),
            Rule::new(
                "memory-limit",
                !self.is_limited("mem_limit", "memory"),
                "has no memory limit",
                "write `mem_limit`, or `memory` under `deploy.resources.limits`",
            ),
            Rule::new(
                "pids-limit",
                !self.is_limited("pids_limit", "pids"),
                "has no limit on processes",
                "write `pids_limit`, or `pids` under `deploy.resources.limits`",
            ),
            Rule::new(
                "healthcheck",
                !self.is_init && !self.is_checked(),
                "has no health check",
                "write a `healthcheck`: `polis start` waits for it",
            ),
            Rule::new(
                "log-limit",
                !self.logs_are_limited(),
                "can fill the disk with logs",
                "write `logging` with `driver: json-file` and the option `max-size`",
            ),
        ]
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.service.get(key).and_then(Node::text)
    }

    fn is(&self, key: &str, expected: bool) -> bool {
        matches!(self.service.get(key).map(|node| &node.value), Some(Value::Bool(found)) if *found == expected)
    }

    fn lists(&self, key: &str, wanted: impl Fn(&str) -> bool) -> bool {
        self.service
            .get(key)
            .map_or(&[][..], Node::items)
            .iter()
            .any(|item| item.text().is_some_and(&wanted))
    }

    /// Whether one of Compose's two spellings sets the limit.
    fn is_limited(&self, key: &str, of_deploy: &str) -> bool {
        let deploy = self.service.get("deploy");
        let limits = deploy.and_then(|deploy| deploy.get("resources")?.get("limits"));
        let spellings = [
            self.service.get(key),
            limits.and_then(|limits| limits.get(of_deploy)),
        ];
        spellings.into_iter().flatten().any(limits_something)
    }

    fn is_checked(&self) -> bool {
        let Some(check) = self.service.get("healthcheck") else {
            return false;
        };
        let test = check.get("test");
        let first = test.and_then(|test| test.text().or_else(|| test.items().first()?.text()));
        let is_off = matches!(
            check.get("disable").map(|node| &node.value),
            Some(Value::Bool(true))
        );
        !is_off && first.is_some_and(|first| first != "NONE")
    }

    fn logs_are_limited(&self) -> bool {
        let logging = self.service.get("logging");
        let driver = logging
            .and_then(|logging| logging.get("driver"))
            .and_then(Node::text);
        let size = logging.and_then(|logging| logging.get("options")?.get("max-size"));
        driver == Some("json-file") && size.is_some()
    }
}

/// Whether the value of a limit is one: Docker takes 0, and -1, for none. A variable is taken at its word.
fn limits_something(limit: &Node) -> bool {
    match &limit.value {
        Value::Int(number) => *number > 0,
        Value::Float(number) => *number > 0.0,
        Value::Text(text) => {
            let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            number
                .parse::<f64>()
                .map_or(text.contains('$'), |number| number > 0.0)
        }
        _ => false,
    }
}

/// Texts that must not stand anywhere in the file, keys and values alike.
fn forbidden(compose: &Compose, node: &Node) -> Vec<Finding> {
    let rules = [
        (
            "docker.sock",
            "docker-socket",
            "the Docker socket is root on the host",
        ),
        (
            "dhi.io",
            "dhi-at-run-time",
            "dhi.io needs a login, which users do not have",
        ),
    ];
    let mut findings = Vec::new();
    match &node.value {
        Value::Text(text) => {
            for (needle, rule, reason) in rules {
                if text.contains(needle) {
                    let place = compose.place(node.span.clone());
                    findings.push(
                        Finding::error(
                            rule,
                            place,
                            format!("`{needle}` has no place in the stack"),
                        )
                        .help(reason),
                    );
                }
            }
        }
        Value::Seq(items) => {
            findings.extend(items.iter().flat_map(|item| forbidden(compose, item)))
        }
        Value::Map(entries) => {
            findings.extend(entries.iter().flat_map(|(key, value)| {
                forbidden(compose, key)
                    .into_iter()
                    .chain(forbidden(compose, value))
            }));
        }
        _ => {}
    }
    findings
}
