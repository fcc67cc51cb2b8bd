//! What Multipass's daemon knows, and what a test may decide about the machine that it makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files::now;

/// Everything in `world.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The client's version, as `version` prints it.
    pub client: String,
    /// The daemon's version.
    pub daemon: String,
    /// Whether the daemon can be reached.
    pub access: Access,
    /// Whether the client is the one for Windows: more than 4096 bytes from a guest command block it, piped input to
    /// `exec` never ends, `-` of `transfer` is text, and `C:\` is a path.
    pub windows: bool,
    /// Whether the guest's disk is full.
    pub disk_full: bool,
    /// From which address the guest says that it reaches the rest of the world.
    pub address: String,
    /// How full it seems to be: percent of its space, percent of its inodes.
    pub disk_used: (u8, u8),
    /// What `get` answers.
    pub settings: BTreeMap<String, String>,
    /// How long things take.
    pub timing: Timing,
    /// The daemon works on one request until then, and every other one waits (see [`crate::commands`]).
    pub busy_until: u64,
    /// The names under which an image can be launched.
    pub images: Vec<String>,
    /// The smallest disk that the image fits on, in bytes.
    pub minimum_disk: u64,
    /// What becomes of the stack's services; one that is not listed is healthy at once.
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
            // What Ubuntu's cloud images have.
            minimum_disk: 3_758_096_384,
            services: BTreeMap::new(),
            pulls: Vec::new(),
            instances: Vec::new(),
            calls: 0,
        }
    }
}

/// Whether the client gets to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// It does.
    Up,
    /// No daemon listens.
    Down,
    /// No daemon has ever run here, so the client finds no certificate and gives up at once, whatever it is to do.
    NeverRan,
    /// The user may not open the socket.
    Denied,
    /// The client has not been authenticated.
    Unauthenticated,
}

/// How long things take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The download of the image; until it is over the instance is being prepared.
    pub image: u64,
    /// From power on to SSH.
    pub boot: u64,
    /// Instead of by the clock, the first boot ends with so many calls of `list`; 0 is by the clock.
    pub boot_lists: u32,
    /// The whole of our provisioning, in equal steps.
    pub provision: u64,
    /// The pull of one image.
    pub pull: u64,
    /// From the power button to power off; the daemon does nothing else meanwhile.
    pub shutdown: u64,
    /// How long the daemon waits for a machine that takes no notice of the power button.
    pub lost_button: u64,
    /// Between two characters of the spinner.
    pub spinner: u64,
}

impl Default for Timing {
    /// Everything at once, but what Multipass itself decides.
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
    /// The image that it was launched from.
    pub image: String,
    /// CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk.
    pub disk: u64,
    /// What it was last told to be.
    pub power: Power,
    /// When the daemon has it ready to boot; before that it is being prepared.
    pub prepared_at: u64,
    /// When SSH answers.
    pub booted_at: u64,
    /// So many calls of `list` until SSH answers; 0 where the clock decides.
    pub lists_to_boot: u32,
    /// When the daemon gives up waiting for SSH; from then on it does not know the state.
    pub gives_up_at: u64,
    /// Whether it has ever been up: before that the daemon knows no address of it.
    pub leased: bool,
    /// Our provisioning, where the user-data was applied.
    pub provision: Option<Provision>,
    /// Whether cloud-init has more to say than our provisioning gives it reason to.
    pub degraded: bool,
    /// Whether what cloud-init ran has failed since the last boot.
    pub cloud_init_failed: bool,
    /// Whether SSH works once it is up.
    pub ssh: bool,
    /// Whether the daemon still has a session from before SSH stopped working.
    pub session: bool,
    /// Whether Docker has been installed.
    pub docker: bool,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// How many have ever been taken.
    pub snapshots_taken: u32,
    /// The one that it was last equal to.
    pub snapshot_parent: Option<String>,
}

/// A snapshot of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// The one before it; empty where there is none.
    pub parent: String,
    /// What the user said of it.
    pub comment: String,
    /// The instance as it was, without its snapshots.
    pub saved: Box<Instance>,
}

/// What an instance was last told to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// Running, or Starting until it has booted.
    Running,
    /// Off.
    Stopped,
    /// Deleted and not purged.
    Deleted,
    /// Starting, and never done.
    Starting,
    /// Restarting.
    Restarting,
    /// Will be shut down.
    DelayedShutdown,
    /// On its way to suspended.
    Suspending,
    /// Suspended.
    Suspended,
    /// The daemon does not know.
    Unknown,
    /// Its zone is not available; since 1.17.
    Unavailable,
}

impl Power {
    /// As Multipass prints it.
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
    /// The step that fails, and with which message.
    pub fails: Option<(String, String)>,
    /// How many lines of its log have been written.
    pub told: usize,
    /// Whether it has ended, in whatever way.
    pub ended: bool,
    /// Whether it is the one that cloud-init runs.
    pub first: bool,
}

impl Provision {
    /// A run at first boot that has not begun.
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
    /// What becomes of it.
    pub fate: Fate,
    /// Milliseconds until that shows.
    pub after: u64,
    /// What it says.
    pub log: Vec<String>,
}

/// What becomes of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It does its work: healthy, or ended with code 0 where that is its work.
    #[default]
    Well,
    /// Its health check fails.
    Unhealthy,
    /// Its health check never comes to a result.
    Starting,
    /// It ends with this code, however often it is restarted.
    Exits(i32),
}

/// Pulls that fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// A part of the image's reference.
    pub image: String,
    /// What the registry answers.
    pub message: String,
    /// How many times more; `None` is always.
    pub left: Option<u32>,
}

impl State {
    /// The instance `name`, once the daemon shows it.
    pub fn find(&self, name: &str) -> Option<&Instance> {
        self.instances
            .iter()
            .find(|instance| instance.name == name && !instance.preparing(now()))
    }

    /// The same, to change it.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Instance> {
        self.instances
            .iter_mut()
            .find(|instance| instance.name == name && !instance.preparing(now()))
    }

    /// Whether client and daemon are 1.17 or newer, which changed some words and limits.
    pub fn since_1_17(&self) -> bool {
        [&self.client, &self.daemon].iter().all(|version| {
            let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
            let (major, minor) = (parts.next().flatten(), parts.next().flatten());
            (major, minor) >= (Some(1), Some(17))
        })
    }

    /// The daemon stops or starts, which the instances feel.
    pub fn daemon_goes(&mut self, access: Access, from: Power, to: Power) {
        self.access = access;
        self.busy_until = 0;
        for instance in &mut self.instances {
            if instance.power == from {
                instance.power = to;
            }
        }
    }

    /// What becomes of a service.
    pub fn service(&self, name: &str) -> Service {
        self.services.get(name).cloned().unwrap_or_default()
    }
}

impl Instance {
    /// Whether the daemon still makes it at `now`: it has no state yet, and nobody is told of it.
    pub fn preparing(&self, now: u64) -> bool {
        now < self.prepared_at
    }

    /// Its state at `now`, as the daemon has it: Unknown while a first boot lasts, as there is no address yet, Starting in
    /// any later one, and Unknown for good once the daemon has given up waiting (`timeout_ssh` in
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

    /// Whether provisioning is under way at `now`, whatever the daemon makes of the machine.
    pub fn provisioning(&self, now: u64) -> bool {
        self.power == Power::Running
            && now >= self.booted_at
            && self
                .provision
                .as_ref()
                .is_some_and(|run| !run.ended && now >= run.starts_at)
    }

    /// Powers it on, so that it has booted at `booted_at`, for which the daemon waits until `gives_up_at`.
    pub fn power_on(&mut self, booted_at: u64, gives_up_at: u64) {
        self.power = Power::Running;
        self.booted_at = booted_at;
        self.gives_up_at = gives_up_at;
        self.lists_to_boot = 0;
        self.cloud_init_failed = false;
    }

    /// Powers it off. Provisioning that is cut short stays so: cloud-init runs a module once per instance.
    pub fn power_off(&mut self, power: Power) {
        self.leased |= self.booted_at <= now();
        self.power = power;
        if let Some(run) = &mut self.provision {
            run.ended = true;
        }
    }

    /// Counts a call of `list`, which may be the last one of a first boot.
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
