//! The rules on one service: what it gives up, what limits it, and what keeps it running.

use std::collections::BTreeSet;

use xtask_pins::yaml::{Node, Value};

use crate::sandbox::Offence;

/// Judges every service of `document`, a parsed compose file.
pub(super) fn judge(document: &Node) -> Vec<Offence> {
    let services = document.get("services").map_or(&[][..], Node::entries);
    let inits = inits(services);
    let judged = services.iter().flat_map(|(name, service)| {
        let service = Service {
            name,
            service,
            is_init: name.text().is_some_and(|name| inits.contains(name)),
        };
        service.judge()
    });
    judged.collect()
}

/// The services that run once and exit: with `restart: "no"`, or if others wait for their completion.
pub(super) fn inits(services: &[(Node, Node)]) -> BTreeSet<&str> {
    let mut inits = BTreeSet::new();
    for (name, service) in services {
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

struct Service<'a> {
    name: &'a Node,
    service: &'a Node,
    /// Whether it runs once and exits.
    is_init: bool,
}

/// The result of one rule on one service.
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
    fn judge(&self) -> Vec<Offence> {
        let name = self.name.text().unwrap_or_default();
        let rules = self.hardening().into_iter().chain(self.upkeep());
        rules
            .filter(|rule| rule.broken)
            .map(|rule| Offence {
                rule: rule.name,
                span: self.name.span.clone(),
                message: format!("service `{name}` {}", rule.message),
                help: rule.help.to_owned(),
            })
            .collect()
    }

    /// Privileges that every container gives up.
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
                "may gain privileges through setuid programs",
                "write `security_opt: [\"no-new-privileges:true\"]`",
            ),
            // systemd inside the Sysbox container needs a writable root file system.
            Rule::new(
                "read-only",
                !sysbox && !self.is("read_only", true),
                "has a writable root file system",
                "write `read_only: true`, and a `tmpfs` for the directories that it writes to",
            ),
        ]
    }

    /// Limits that protect the VM, and what keeps the service running.
    fn upkeep(&self) -> [Rule; 5] {
        let restart = self.text("restart");
        let (wrong, message, help) = if self.is_init {
            (
                // "no" is Compose's default.
                !matches!(restart, None | Some("no")),
                "runs once but is restarted",
                "write `restart: \"no\"`",
            )
        } else {
            (
                restart != Some("unless-stopped"),
                "is not restarted after a crash or a reboot",
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
                "has no limit on its processes",
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

    /// Whether either of Compose's two spellings sets the limit.
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

/// Whether the value limits anything: Docker takes 0 and -1 for no limit. A variable counts as a limit.
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
