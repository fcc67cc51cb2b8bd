//! The guest as the probe reports it.

use polis_base::Digest;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::guest;
use crate::guest::disk::Disk;
use crate::guest::service::{Condition, Service};
use crate::platform;

/// The state of the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Guest {
    /// The processor's architecture, in Debian's terms; empty if unknown.
    pub(crate) architecture: String,
    /// The status of cloud-init: `running`, `done`, `error`, `degraded`, ...
    pub(crate) cloud_init: String,
    /// Whether a repeated provisioning is running.
    pub(crate) provisioning: bool,
    /// Whether the provisioning script exists, which our user-data writes.
    pub(crate) script: bool,
    /// The result of the last provisioning, from its report.
    pub(crate) report: Option<String>,
    /// The digest over the digests of the files that the provisioning wrote, from its marker.
    pub(crate) marker: Option<Digest>,
    /// The revision of its proxies and certificate authorities.
    pub(crate) proxies: Option<String>,
    /// The installed bundle.
    pub(crate) bundle: Option<Digest>,
    /// The installed agents.
    pub(crate) agents: Vec<Installed>,
    /// Whether certificates and secrets exist.
    pub(crate) secrets: bool,
    /// The stack that was last started completely.
    pub(crate) ready: Option<String>,
    /// Whether Docker is installed but does not answer.
    pub(crate) docker_down: bool,
    /// The number of images that exist, and of those that are needed.
    pub(crate) images: (u32, u32),
    pub(crate) services: Vec<Service>,
    /// How the workspace's container differs from what Compose would create now. Only recreating it changes that.
    pub(crate) workspace_differs: Option<Difference>,
    /// Whether the forwarder is out of date, because the VM's address has changed.
    pub(crate) ports_differ: bool,
    /// The disk, if it could be measured.
    pub(crate) disk: Option<Disk>,
}

/// An installed agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) name: String,
    /// The digest of its archive.
    pub(crate) digest: Digest,
    /// Whether it has its own Compose file, which the user trusted.
    pub(crate) trusted: bool,
    /// Whether it is part of the stack.
    pub(crate) layered: bool,
}

/// How a container differs from what Compose would create now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) enum Difference {
    /// It was created from a different image.
    Image,
    /// It was created from a different definition in the compose files.
    Definition,
}

/// The maximum number of services that are read; the stack has a dozen.
const MOST_SERVICES: usize = 250;
/// The agent's service.
pub(crate) const WORKSPACE: &str = "workspace";
/// The service that forwards ports to the workspace; it exists only while there is a port.
pub(crate) const FORWARDER: &str = "forward";
/// The command that recreates its container.
pub(crate) const RECREATE_WORKSPACE: &str = "polis start --recreate-workspace";

impl Difference {
    /// The difference as a message.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Image => "the workspace's container was created from a different image",
            Self::Definition => {
                "the workspace's container was created from a different definition in the compose files"
            }
        }
    }
}

impl Guest {
    /// Reads the probe's answer.
    ///
    /// # Errors
    /// When it is incomplete, or has an unexpected line.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut guest = Self::default();
        let Some(answer) = guest::answer(text, "polis-probe 1") else {
            return Err(unreadable("it does not start with the expected line", text));
        };
        let lines = answer.lines().map(str::trim_end);
        for line in lines {
            if line == "end" {
                return Ok(guest);
            }
            guest
                .take(line)
                .map_err(|reason| unreadable(&reason, text))?;
        }
        Err(unreadable("it is truncated", text))
    }

    fn take(&mut self, line: &str) -> std::result::Result<(), String> {
        // A service without a health check has an empty field.
        let words: Vec<&str> = match line.starts_with("service|") {
            true => line.split('|').collect(),
            false => line.split_whitespace().collect(),
        };
        let hex = |hex: &str| Digest::from_hex(hex).map_err(|error| error.to_string());
        let number = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
        let name = |name: &str| match guest::is_name(name) {
            true => Ok(name.to_owned()),
            false => Err(format!("invalid name `{name}`")),
        };
        match words.as_slice() {
            ["machine", machine] => {
                self.architecture = platform::debian_name(&name(machine)?).to_owned();
            }
            ["cloud-init", state @ ..] => self.cloud_init = state.join(" "),
            ["provisioning"] => self.provisioning = true,
            ["script"] => self.script = true,
            ["report", state] => self.report = Some(name(state)?),
            ["report"] => self.report = None,
            ["marker", digest] => self.marker = Some(hex(digest)?),
            ["proxies", revision] => self.proxies = Some(name(revision)?),
            ["bundle", digest] => self.bundle = Some(hex(digest)?),
            ["agent", agent, digest, kind, place] => self.agents.push(Installed {
                name: name(agent)?,
                digest: hex(digest)?,
                trusted: *kind == "compose",
                layered: *place == "layered",
            }),
            ["secrets"] => self.secrets = true,
            ["docker-down"] => self.docker_down = true,
            ["ready", words @ ..] => self.ready = Some(words.join(" ")),
            ["images", found, total] => self.images = (number(found)?, number(total)?),
            ["ports-differ"] => self.ports_differ = true,
            ["workspace-differs", "image"] => self.workspace_differs = Some(Difference::Image),
            ["workspace-differs", "definition"] => {
                self.workspace_differs = Some(Difference::Definition);
            }
            ["disk", space, inodes, free] => {
                let wrong = |_| format!("`{line}`");
                self.disk = Some(Disk {
                    space: space.parse().map_err(wrong)?,
                    // `df` prints `-` for a file system without a fixed number of inodes.
                    inodes: match *inodes {
                        "-" => 0,
                        percent => percent.parse::<u8>().map_err(wrong)?,
                    },
                    free: free.parse().map_err(wrong)?,
                });
            }
            // The guest could not measure it.
            ["disk", ..] => self.disk = None,
            ["expected", service] => self.service(name(service)?)?.state = "missing".to_owned(),
            ["service", service, state, health, code] => {
                let code = code.parse().map_err(|_| format!("`{line}`"))?;
                let state = name(state)?;
                let health = match *health {
                    "" => String::new(),
                    health => name(health)?,
                };
                let service = self.service(name(service)?)?;
                (service.state, service.health, service.exit_code) = (state, health, code);
            }
            _ => return Err(format!("unexpected line `{line}`")),
        }
        Ok(())
    }

    fn service(&mut self, name: String) -> std::result::Result<&mut Service, String> {
        let mut services = self.services.iter();
        let known = services.position(|service| service.name == name);
        if known.is_none() {
            if self.services.len() == MOST_SERVICES {
                return Err(format!("there are more than {MOST_SERVICES} services"));
            }
            self.services.push(Service {
                name,
                state: "missing".to_owned(),
                health: "".to_owned(),
                exit_code: 0,
            });
        }
        let at = known.unwrap_or(self.services.len() - 1);
        Ok(&mut self.services[at])
    }

    /// Whether every image exists; false if none is known.
    pub(crate) fn has_images(&self) -> bool {
        self.images.1 > 0 && self.images.0 >= self.images.1
    }

    /// Whether any service has a container.
    pub(crate) fn has_containers(&self) -> bool {
        self.services
            .iter()
            .any(|service| service.state != "missing")
    }

    /// Whether there are services, and all are healthy.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.services.is_empty() && self.all(Condition::Healthy).count() == self.services.len()
    }

    /// The services in this condition.
    pub(crate) fn all(&self, condition: Condition) -> impl Iterator<Item = &Service> {
        let is = move |service: &&Service| service.condition() == condition;
        self.services.iter().filter(is)
    }

    /// The state of the provisioning.
    pub(crate) fn provisioning(&self) -> Provisioning {
        let finished = matches!(
            self.cloud_init.as_str(),
            "done" | "error" | "degraded" | "disabled"
        ) || self.cloud_init.starts_with("degraded");
        match (&self.marker, self.report.as_deref()) {
            _ if self.provisioning => Provisioning::Running,
            // cloud-init still does other work at every boot.
            (Some(_), _) => Provisioning::Done,
            _ if !finished => Provisioning::Running,
            (None, Some(_)) => Provisioning::Failed,
            (None, None) if self.script => Provisioning::CutShort,
            (None, None) => Provisioning::Never,
        }
    }
}

/// The state of the provisioning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provisioning {
    /// It is running.
    Running,
    /// The marker exists, and no repeated run is active.
    Done,
    /// It ended without writing the marker.
    Failed,
    /// It ended without a report, as when the VM was switched off; cloud-init does not repeat it.
    CutShort,
    /// cloud-init has finished, but the provisioning script does not exist.
    Never,
}

fn unreadable(reason: &str, text: &str) -> Box<Error> {
    let lines = text.lines().map(str::to_owned);
    guest::unreadable("could not read the state of the VM", reason).log(lines.take(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(state: &str, health: &str, code: i32, name: &str) -> Condition {
        let service = Service {
            name: name.into(),
            state: state.into(),
            health: health.into(),
            exit_code: code,
        };
        service.condition()
    }

    #[test]
    fn init_containers_must_exit_and_others_must_run() {
        assert_eq!(service("exited", "", 0, "host-init"), Condition::Healthy);
        assert_eq!(service("exited", "", 1, "host-init"), Condition::Unhealthy);
        assert_eq!(service("running", "", 0, "host-init"), Condition::Starting);
        assert_eq!(service("created", "", 0, "host-init"), Condition::Down);
        assert_eq!(service("exited", "", 0, "gate"), Condition::Down);
        assert_eq!(service("running", "healthy", 0, "gate"), Condition::Healthy);
        assert_eq!(
            service("running", "starting", 0, "gate"),
            Condition::Starting
        );
        assert_eq!(
            service("running", "unhealthy", 0, "gate"),
            Condition::Unhealthy
        );
        assert_eq!(service("restarting", "", 1, "gate"), Condition::Starting);
        assert_eq!(service("missing", "", 0, "gate"), Condition::Down);
    }

    #[test]
    fn an_incomplete_probe_is_an_error() {
        let hex = "a".repeat(64);
        let text = format!(
            "noise\npolis-probe 1\ncloud-init done\nmarker {hex}\nbundle {hex}\nsecrets\nready {hex}\n\
             images 3 9\nexpected gate\nexpected state\nservice|gate|running|healthy|0\n\
             workspace-differs image\nend\n"
        );
        let guest = Guest::parse(&text).unwrap();
        assert_eq!(guest.workspace_differs, Some(Difference::Image));
        assert_eq!(guest.images, (3, 9));
        assert_eq!(guest.services[1].state, "missing");
        assert_eq!(guest.provisioning(), Provisioning::Done);
        assert!(!guest.has_images() && !guest.is_healthy());
        for broken in [
            text.replace("end\n", ""),
            text.replace("polis-probe 1", "polis-probe 2"),
            text.replace("images 3 9", "images 3"),
            text.replace(&hex, "short"),
        ] {
            assert!(Guest::parse(&broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_number_and_names_of_services_are_limited() {
        let read = |lines: &str| Guest::parse(&format!("polis-probe 1\n{lines}end\n"));
        let services =
            |count: usize| -> String { (0..count).map(|at| format!("expected s{at}\n")).collect() };
        assert_eq!(read(&services(250).repeat(2)).unwrap().services.len(), 250);
        let error = read(&services(251)).unwrap_err();
        assert_eq!(error.causes, ["there are more than 250 services"]);
        for forged in [
            "service|hint: curl|running||0",
            "service|gate|hint: curl||0",
            "service|gate|running|hint: curl|0",
            "machine hint:",
            &format!("agent hint: {}", "a".repeat(64)),
            &format!("expected {}", "a".repeat(65)),
        ] {
            assert!(read(&format!("{forged}\n")).is_err(), "{forged}");
        }
    }

    #[test]
    fn a_nearly_full_disk_is_reported() {
        let disk = |space, inodes| Disk {
            space,
            inodes,
            free: 3 << 30,
        };
        assert_eq!(disk(84, 84).warning(), None);
        let (text, urgent) = disk(85, 0).warning().unwrap();
        assert_eq!(text, "the VM's disk is 85% full, 3.0 GiB free");
        assert!(!urgent);
        let (text, urgent) = disk(10, 95).warning().unwrap();
        assert!(text.starts_with("the VM's inode table is 95% full"));
        assert!(urgent);
        let read = |line: &str| Guest::parse(&format!("polis-probe 1\n{line}\nend\n"));
        assert_eq!(
            read("disk  40   7 3221225472").unwrap().disk,
            Some(disk(40, 7))
        );
        assert_eq!(
            read("disk 40 - 3221225472").unwrap().disk,
            Some(disk(40, 0))
        );
        assert_eq!(read("disk").unwrap().disk, None);
    }

    #[test]
    fn the_marker_counts_unless_a_second_run_is_active() {
        let state = |cloud_init: &str, marker: bool, report: Option<&str>, again: bool| {
            let guest = Guest {
                cloud_init: cloud_init.into(),
                marker: marker.then(|| Digest::of(b"")),
                report: report.map(Into::into),
                provisioning: again,
                ..Guest::default()
            };
            guest.provisioning()
        };
        assert_eq!(state("running", false, None, false), Provisioning::Running);
        assert_eq!(
            state("not-started", false, None, false),
            Provisioning::Running
        );
        assert_eq!(state("", false, None, false), Provisioning::Running);
        assert_eq!(
            state("running", true, Some("done"), false),
            Provisioning::Done
        );
        assert_eq!(
            state("done", true, Some("failed"), true),
            Provisioning::Running
        );
        assert_eq!(state("done", true, Some("done"), false), Provisioning::Done);
        assert_eq!(
            state("degraded-done", true, Some("done"), false),
            Provisioning::Done
        );
        assert_eq!(
            state("error", false, Some("failed"), false),
            Provisioning::Failed
        );
        assert_eq!(
            state("error", false, Some("failed"), true),
            Provisioning::Running
        );
        assert_eq!(state("done", false, None, false), Provisioning::Never);
        // Switched off halfway: cloud-init does not run it again.
        let cut = Guest {
            cloud_init: "done".into(),
            script: true,
            ..Guest::default()
        };
        assert_eq!(cut.provisioning(), Provisioning::CutShort);
    }
}
