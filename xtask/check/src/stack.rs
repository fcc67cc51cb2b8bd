//! Our rules on the compose file: every container hardened, nothing that reaches around it.

use xtask::compose::{self, Compose};
use xtask::finding::Finding;
use xtask::yaml::{Node, Value};

/// Judges the stack; `exists` tells whether a path, relative to the root of the tree, is there.
pub fn check(compose: &Compose, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let built: Vec<String> = compose
        .built()
        .unwrap_or_default()
        .into_iter()
        .map(|built| built.image.name())
        .collect();
    let mut findings = Vec::new();
    for (name, service) in compose.services() {
        let image = service
            .get("image")
            .and_then(Node::text)
            .unwrap_or_default();
        let is_init = built
            .iter()
            .any(|built| image.starts_with(&format!("{built}:")));
        let rules = Service {
            compose,
            name,
            service,
            is_init,
        };
        findings.extend(rules.check());
        findings.extend(mounts(compose, service, exists));
    }
    for (name, network) in compose.root.get("networks").map_or(&[][..], Node::entries) {
        if !matches!(
            network.get("enable_ipv6").map(|node| &node.value),
            Some(Value::Bool(false))
        ) {
            let place = compose.place(name.span.clone());
            let message = format!(
                "network `{}` does not turn IPv6 off",
                name.text().unwrap_or_default()
            );
            findings.push(Finding::error("network-ipv6", place, message).help("write `enable_ipv6: false`: our rules are for IPv4, and IPv6 would pass beside them"));
        }
    }
    findings.extend(forbidden(compose, &compose.root));
    findings
}

struct Service<'a> {
    compose: &'a Compose,
    name: &'a Node,
    service: &'a Node,
    /// Whether it runs an image that this repository builds: these run once and end.
    is_init: bool,
}

impl Service<'_> {
    fn check(&self) -> Vec<Finding> {
        let sysbox = self.text("runtime") == Some("sysbox-runc");
        let restart = if self.is_init { "no" } else { "unless-stopped" };
        let rules = [
            (
                !self.lists("cap_drop", |item| item == "ALL"),
                "cap-drop",
                "does not drop all capabilities",
                "write `cap_drop: [ALL]`",
            ),
            (
                !self.lists("security_opt", |item| {
                    matches!(item, "no-new-privileges:true" | "no-new-privileges")
                }),
                "no-new-privileges",
                "may gain privileges",
                "write `security_opt: [\"no-new-privileges:true\"]`",
            ),
            // Sysbox gives the workspace a system of its own, which has to be writable.
            (
                !sysbox && !self.is("read_only", true),
                "read-only",
                "has a writable root file system",
                "write `read_only: true`, with a tmpfs for what must be written",
            ),
            (
                self.is("privileged", true),
                "privileged",
                "is privileged",
                "add the one capability that it needs",
            ),
            (
                self.service.get("mem_limit").is_none(),
                "memory-limit",
                "has no memory limit",
                "write `mem_limit`",
            ),
            (
                self.text("restart") != Some(restart),
                "restart",
                if self.is_init {
                    "is an init container and restarts"
                } else {
                    "does not come back by itself"
                },
                if self.is_init {
                    "write `restart: \"no\"`"
                } else {
                    "write `restart: unless-stopped`"
                },
            ),
            (
                !self.is_init && self.service.get("healthcheck").is_none(),
                "healthcheck",
                "has no health check",
                "write a `healthcheck`: `polis start` waits for it",
            ),
            (
                !self.logs_are_limited(),
                "log-limit",
                "can fill the disk with logs",
                "write `logging` with `driver: json-file` and the option `max-size`",
            ),
            (
                !self.is_init && self.text("network_mode") == Some("host"),
                "host-network",
                "is on the host's network",
                "only the init container that prepares the host may be",
            ),
            (
                ["pid", "ipc", "userns_mode"]
                    .iter()
                    .any(|key| self.text(key) == Some("host")),
                "host-namespace",
                "shares a namespace with the host",
                "leave `pid`, `ipc` and `userns_mode` alone",
            ),
        ];
        let place = || self.compose.place(self.name.span.clone());
        let name = self.name.text().unwrap_or_default();
        rules
            .into_iter()
            .filter(|(broken, ..)| *broken)
            .map(|(_, rule, message, help)| {
                Finding::error(rule, place(), format!("`{name}` {message}")).help(help)
            })
            .collect()
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

    fn logs_are_limited(&self) -> bool {
        let logging = self.service.get("logging");
        let driver = logging
            .and_then(|logging| logging.get("driver"))
            .and_then(Node::text);
        let size = logging.and_then(|logging| logging.get("options")?.get("max-size"));
        driver == Some("json-file") && size.is_some()
    }
}

/// A file under `./config` or `./scripts` that is mounted must be in the tree: Docker would make
/// an empty directory in its place.
fn mounts(compose: &Compose, service: &Node, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let volumes = service.get("volumes").map_or(&[][..], Node::items).iter();
    let sources = volumes.filter_map(|volume| {
        let node = volume.get("source").unwrap_or(volume);
        let source = node.text()?.split(':').next()?;
        let shipped = source.starts_with("./config/") || source.starts_with("./scripts/");
        shipped.then(|| (node, source.trim_start_matches("./")))
    });
    let dir = compose::PATH.rsplit_once('/').map_or("", |(dir, _)| dir);
    sources
        .filter(|(_, source)| !exists(&format!("{dir}/{source}")))
        .map(|(node, source)| {
            let place = compose.place(node.span.clone());
            Finding::error(
                "mount-missing",
                place,
                format!("`{dir}/{source}` is mounted and does not exist"),
            )
        })
        .collect()
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
