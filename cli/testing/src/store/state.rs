//! The state of Multipass's daemon, and how a test decides that its machines behave.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files::now;

/// The contents of `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The client's version, as `version` prints it.
    pub client: String,
    /// The daemon's version.
    pub daemon: String,
    /// Whether the daemon can be reached.
    pub access: Access,
    /// Whether the client is the one for Windows: more than 4096 bytes from a guest command block it, piped input to `exec` never
    /// ends, `-` of `transfer` is text, and `C:\` is a path.
    pub windows: bool,
    /// Whether the guest's disk is full.
    pub disk_full: bool,
    /// The guest's source address for the internet.
    pub address: String,
    /// How full the disk is reported to be: percent of its space, percent of its inodes.
    pub disk_used: (u8, u8),
    /// The settings that `get` prints.
    pub settings: BTreeMap<String, String>,
    /// How long things take.
    pub timing: Timing,
    /// The daemon is busy with one request until then, and every other one waits (see [`crate::commands`]).
    pub busy_until: u64,
    /// The names of images that can be launched.
    pub images: Vec<String>,
    /// The minimum disk size of the image, in bytes.
    pub minimum_disk: u64,
    /// How the stack's services behave; one that is not listed is healthy at once.
    pub services: BTreeMap<String, Service>,
    /// Pulls that fail.
    pub pulls: Vec<Pull>,
    /// The virtual machines.
    pub instances: Vec<Instance>,
    /// How many calls there have been.
    pub calls: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            client: "1.16.3".to_owned(),
            daemon: "1.16.3".to_owned(),
            access: Access::Up,
            windows: false,
            disk_full: false,
            address: "10.87.112.23".to_owned(),
            disk_used: (18, 3),
            settings: BTreeMap::from([("local.driver".to_owned(), "qemu".to_owned())]),
            timing: Timing::default(),
            busy_until: 0,
            images: ["24.04", "noble", "lts", "22.04", "jammy"]
                .map(str::to_owned)
                .to_vec(),
            // The values of Ubuntu's cloud images.
            minimum_disk: 3_758_096_384,
            services: BTreeMap::new(),
            pulls: Vec::new(),
            instances: Vec::new(),
            calls: 0,
        }
    }
}

/// Whether the client can reach the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It can.
    Up,
    /// No daemon listens.
    Down,
    /// No daemon has ever run here, so the client finds no certificate and fails at once, whatever the command.
    NeverRan,
    /// The user may not open the socket.
    Denied,
    /// The client has not been authenticated.
    Unauthenticated,
}

/// How long things take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The download of the image; until it ends, the instance is being prepared.
    pub image: u64,
    /// From power on to SSH.
    pub boot: u64,
    /// If not 0, the first boot ends after this many calls of `list` instead of by the clock.
    pub boot_lists: u32,
    /// The whole of our provisioning, in equal steps.
    pub provision: u64,
    /// The pull of one image.
    pub pull: u64,
    /// From the power button to power off; the daemon is busy meanwhile.
    pub shutdown: u64,
    /// How long the daemon waits for a machine that ignores the power button.
    pub lost_button: u64,
    /// Between two characters of the spinner.
    pub spinner: u64,
}

impl Default for Timing {
    /// Everything takes no time, except what Multipass itself decides.
    fn default() -> Self {
        Self {
            image: 0,
            boot: 0,
            boot_lists: 0,
            provision: 0,
            pull: 0,
            shutdown: 0,
            lost_button: 300_000,
            spinner: 100,
        }
    }
}

/// A virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The image from which it was launched.
    pub image: String,
    /// CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk.
    pub disk: u64,
    /// The state last requested.
    pub power: Power,
    /// When the daemon has prepared it to boot.
    pub prepared_at: u64,
    /// When SSH answers.
    pub booted_at: u64,
    /// The number of calls of `list` until SSH answers; 0 if the clock decides.
    pub lists_to_boot: u32,
    /// When the daemon gives up waiting for SSH; from then on, it does not know the state.
    pub gives_up_at: u64,
    /// Whether it has ever been up; before that, the daemon knows no address for it.
    pub leased: bool,
    /// Our provisioning, if the user-data was applied.
    pub provision: Option<Provision>,
    /// Whether cloud-init reports problems unrelated to our provisioning.
    pub degraded: bool,
    /// Whether a command of cloud-init has failed since the last boot.
    pub cloud_init_failed: bool,
    /// Whether SSH works once it is up.
    pub ssh: bool,
    /// Whether the daemon still has a session from before SSH stopped answering.
    pub session: bool,
    /// Whether Docker has been installed.
    pub docker: bool,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// How many have ever been taken.
    pub snapshots_taken: u32,
    /// The snapshot that it was last equal to.
    pub snapshot_parent: Option<String>,
}

/// A snapshot of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// The previous snapshot; empty if there is none.
    pub parent: String,
    /// The user's comment.
    pub comment: String,
    /// The instance as it was, without its snapshots.
    pub saved: Box<Instance>,
}

/// The state last requested of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// Running, or Starting until it has booted.
    Running,
    /// Off.
    Stopped,
    /// Deleted and not purged.
    Deleted,
    /// Starting, and never finishing.
    Starting,
    /// Restarting.
    Restarting,
    /// A delayed shutdown is pending.
    DelayedShutdown,
    /// Being suspended.
    Suspending,
    /// Suspended.
    Suspended,
    /// The daemon does not know.
    Unknown,
    /// Its zone is not available; since 1.17.
    Unavailable,
}

impl Power {
    /// The word that Multipass prints.
    pub fn text(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Stopped => "Stopped",
            Self::Deleted => "Deleted",
            Self::Starting => "Starting",
            Self::Restarting => "Restarting",
            Self::DelayedShutdown => "Delayed Shutdown",
            Self::Suspending => "Suspending",
            Self::Suspended => "Suspended",
            Self::Unknown => "Unknown",
            Self::Unavailable => "Unavailable",
        }
    }
}

/// A run of our provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provision {
    /// When it starts.
    pub starts_at: u64,
    /// How long it takes.
    pub takes: u64,
    /// The step that fails, and its message.
    pub fails: Option<(String, String)>,
    /// How many lines of its log have been written.
    pub told: usize,
    /// Whether it has ended, successfully or not.
    pub ended: bool,
    /// Whether cloud-init runs it, rather than polis.
    pub first: bool,
}

impl Provision {
    /// A run at first boot that has not started.
    pub(crate) fn new(starts_at: u64, takes: u64, fails: Option<(String, String)>) -> Self {
        Self {
            starts_at,
            takes,
            fails,
            told: 0,
            ended: false,
            first: true,
        }
    }
}

/// How a service of the stack behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its fate.
    pub fate: Fate,
    /// Milliseconds until that happens.
    pub after: u64,
    /// Its log.
    pub log: Vec<String>,
}

/// The fate of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It works: it becomes healthy, or exits with code 0 if it is a one-time task.
    #[default]
    Well,
    /// Its health check fails.
    Unhealthy,
    /// Its health check never finishes.
    Starting,
    /// It exits with this code, however often it is restarted.
    Exits(i32),
}

/// Pulls that fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// A part of the image's reference.
    pub image: String,
    /// The registry's answer.
    pub message: String,
    /// How many more times; `None` is always.
    pub left: Option<u32>,
}

impl State {
    /// The instance `name`, if the daemon lists it.
    pub fn find(&self, name: &str) -> Option<&Instance> {
        self.instances
            .iter()
            .find(|instance| instance.name == name && !instance.preparing(now()))
    }

    /// The instance `name`, mutable.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Instance> {
        self.instances
            .iter_mut()
            .find(|instance| instance.name == name && !instance.preparing(now()))
    }

    /// Whether client and daemon are 1.17 or newer, which changed some messages and limits.
    pub fn since_1_17(&self) -> bool {
        [&self.client, &self.daemon].iter().all(|version| {
            let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
            let (major, minor) = (parts.next().flatten(), parts.next().flatten());
            (major, minor) >= (Some(1), Some(17))
        })
    }

    /// Stops or starts the daemon, which changes the state of the instances.
    pub fn daemon_goes(&mut self, access: Access, from: Power, to: Power) {
        self.access = access;
        self.busy_until = 0;
        for instance in &mut self.instances {
            if instance.power == from {
                instance.power = to;
            }
        }
    }

    /// The behaviour of a service.
    pub fn service(&self, name: &str) -> Service {
        self.services.get(name).cloned().unwrap_or_default()
    }
}

impl Instance {
    /// Whether the daemon is still preparing it at `now`. Until then, it has no state and is not listed.
    pub fn preparing(&self, now: u64) -> bool {
        now < self.prepared_at
    }

    /// Its state at `now`, as the daemon reports it: Unknown during a first boot, as there is no address yet, Starting during any later
    /// one, and Unknown for good once the daemon has given up waiting (`timeout_ssh` in
    /// `src/platform/backends/shared/base_virtual_machine.cpp` of canonical/multipass).
    pub fn state(&self, now: u64) -> Power {
        let given_up = self.booted_at > self.gives_up_at && now >= self.gives_up_at;
        match self.power {
            Power::Running if given_up => Power::Unknown,
            Power::Running if now < self.booted_at && !self.leased => Power::Unknown,
            Power::Running if now < self.booted_at => Power::Starting,
            power => power,
        }
    }

    /// Whether the provisioning is running at `now`, whatever state the daemon reports.
    pub fn provisioning(&self, now: u64) -> bool {
        self.power == Power::Running
            && now >= self.booted_at
            && self
                .provision
                .as_ref()
                .is_some_and(|run| !run.ended && now >= run.starts_at)
    }

    /// Powers it on. It has booted at `booted_at`; the daemon waits for that until `gives_up_at`.
    pub fn power_on(&mut self, booted_at: u64, gives_up_at: u64) {
        self.power = Power::Running;
        self.booted_at = booted_at;
        self.gives_up_at = gives_up_at;
        self.lists_to_boot = 0;
        self.cloud_init_failed = false;
    }

    /// Powers it off. An interrupted provisioning never continues: cloud-init runs a module once per instance.
    pub fn power_off(&mut self, power: Power) {
        self.leased |= self.booted_at <= now();
        self.power = power;
        if let Some(run) = &mut self.provision {
            run.ended = true;
        }
    }

    /// Counts a call of `list`, which may end a first boot.
    pub fn listed(&mut self, now: u64) {
        if self.lists_to_boot == 0 || self.power != Power::Running {
            return;
        }
        self.lists_to_boot -= 1;
        if self.lists_to_boot == 0 {
            self.booted_at = now;
            if let Some(run) = &mut self.provision {
                run.starts_at = now;
            }
        }
    }
}
