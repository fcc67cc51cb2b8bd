//! The fake internet: a Docker bridge with nothing else on it, and a container that has the gateway's address and answers for all
//! other addresses.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloud_init_proof::run::Run;
use serde_json::{Value, json};

use crate::Result;
use crate::certificates;
use crate::twins::Authority;

/// A public host to which names resolve.
pub const WEB: &str = "203.0.113.10";
/// Another public host, to which no name resolves.
pub const OTHER: &str = "198.51.100.20";
/// A public name server, which is not the machine's.
pub const NAME_SERVER: &str = "203.0.113.53";
/// The name of the registry, and its host.
pub const REGISTRY_HOST: &str = "ghcr.io";
/// See [`REGISTRY_HOST`].
pub const REGISTRY: &str = "203.0.113.80";
/// A host in the user's own network, one in a company's, and a cloud's metadata service.
pub const PRIVATE: [&str; 4] = [
    "192.168.200.5",
    "10.99.0.5",
    "172.30.0.5",
    "169.254.169.254",
];
/// The TCP ports on which each of these hosts answers.
pub const TCP: [u16; 6] = [22, 53, 80, 443, 8080, 9000];
const UDP: [u16; 3] = [53, 443, 9000];

/// The names that resolve, in addition to the registry's.
pub const NAMES: [(&str, &str); 5] = [
    ("web.example", WEB),
    // The stand-in for sentinel blocks requests to this one until a person approves.
    ("unknown.example", WEB),
    ("pypi.org", WEB),
    ("home.example", PRIVATE[0]),
    ("metadata.example", PRIVATE[3]),
];

const SERVER: &str = include_str!("../stand-ins/internet.py");
const DEADLINE: Duration = Duration::from_secs(20);

/// A running internet; it stops when dropped.
#[derive(Debug)]
pub struct Internet {
    /// The name of the network and of the container.
    pub name: String,
    /// The address of the gateway, which is also the name server.
    pub gateway: String,
    /// The machine's address.
    pub machine: String,
    dir: PathBuf,
}

impl Internet {
    /// Creates the network and starts the container from `image`; its files are below `dir`.
    ///
    /// # Errors
    /// When Docker refuses, or nothing answers in time.
    pub fn start(image: &str, authority: &Authority, dir: &Path) -> Result<Self> {
        let name = format!("polis-stack-{}", std::process::id());
        let subnet = network(&name)?;
        let dir = dir.join("internet");
        let internet = Self {
            gateway: format!("{subnet}.2"),
            machine: format!("{subnet}.10"),
            name,
            dir,
        };
        let _ = fs::remove_dir_all(&internet.dir);
        internet.write(authority)?;
        let volume = format!("--volume={}:/internet", internet.dir.display());
        let network = format!("--network={}", internet.name);
        Run::new(&[
            "docker",
            "run",
            "--detach",
            "--label=polis-proof",
            "--cap-add=NET_ADMIN",
            "--log-driver=json-file",
            // It answers the machine, and forwards nothing.
            "--sysctl=net.ipv4.ip_forward=0",
            "--name",
            &internet.name,
            &network,
            &format!("--ip={subnet}.3"),
            &volume,
            image,
            "python3",
            "/internet/internet.py",
        ])
        .output()?;
        internet.wait()?;
        Ok(internet)
    }

    fn write(&self, authority: &Authority) -> Result<()> {
        let mut names: serde_json::Map<String, Value> = NAMES
            .iter()
            .map(|(name, address)| ((*name).to_owned(), json!(address)))
            .collect();
        names.insert(REGISTRY_HOST.to_owned(), json!(REGISTRY));
        let mut addresses = vec![WEB, OTHER, NAME_SERVER];
        addresses.extend(PRIVATE);
        let world = json!({
            "gateway": format!("{}/24", self.gateway),
            "addresses": addresses,
            "tcp": TCP,
            "udp": UDP,
            "names": names,
            "name_servers": [self.gateway],
        });
        let hosts: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        let failed = |error: std::io::Error| format!("{}: {error}", self.dir.display());
        fs::create_dir_all(&self.dir).map_err(failed)?;
        fs::write(self.dir.join("world.json"), world.to_string()).map_err(failed)?;
        fs::write(self.dir.join("internet.py"), SERVER).map_err(failed)?;
        certificates::make(authority, &self.dir, "server", &hosts)?;
        Ok(())
    }

    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while !self.dir.join("ready").is_file() {
            if start.elapsed() > DEADLINE {
                let logs = Run::new(&["docker", "logs", &self.name]).ran()?;
                return Err(format!("the internet does not start: {}", logs.stderr));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The process whose network namespace is the internet's.
    ///
    /// # Errors
    /// When it has exited.
    pub fn process(&self) -> Result<String> {
        Run::new(&[
            "docker",
            "inspect",
            "--format",
            "{{.State.Pid}}",
            &self.name,
        ])
        .output()
    }

    /// Cuts the network: open connections hang, as after unplugging a cable.
    ///
    /// # Errors
    /// When the container has exited.
    pub fn cut(&self) -> Result<()> {
        self.link("down")
    }

    /// Restores the network after [`Self::cut`].
    ///
    /// # Errors
    /// When the container has exited.
    pub fn restore(&self) -> Result<()> {
        self.link("up")
    }

    fn link(&self, state: &str) -> Result<()> {
        let process = self.process()?;
        let inside = ["nsenter", "--net", "--target", &process];
        let link = ["ip", "link", "set", "dev", "eth0", state];
        Run::new(&[&inside[..], &link].concat()).output().map(drop)
    }

    /// The traffic that has arrived so far, oldest first.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn seen(&self) -> Result<Vec<Value>> {
        let path = self.dir.join("seen.jsonl");
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let read = |line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}"));
        text.lines().map(read).collect()
    }

    /// Those entries of [`Self::seen`] whose text contains `text`.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn seen_with(&self, text: &str) -> Result<Vec<Value>> {
        let mut seen = self.seen()?;
        seen.retain(|entry| {
            entry["text"]
                .as_str()
                .is_some_and(|found| found.contains(text))
        });
        Ok(seen)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        if std::env::var_os("POLIS_PROOF_KEEP").is_none() {
            let _ = Run::new(&["docker", "rm", "--force", "--volumes", &self.name]).ran();
            let _ = Run::new(&["docker", "network", "rm", &self.name]).ran();
        }
    }
}

/// Creates a network in the first free subnet, with nothing at the gateway's address yet; returns the first three numbers of the
/// subnet.
fn network(name: &str) -> Result<String> {
    let mut refused = String::new();
    for third in 64..96 {
        let subnet = format!("192.168.{third}");
        let ran = Run::new(&[
            "docker",
            "network",
            "create",
            "--label=polis-proof",
            &format!("--subnet={subnet}.0/24"),
            &format!("--gateway={subnet}.2"),
            // The host has no address on it: the container is the gateway.
            "--opt=com.docker.network.bridge.inhibit_ipv4=true",
            "--opt=com.docker.network.bridge.enable_ip_masquerade=false",
            name,
        ])
        .ran()?;
        if ran.code == 0 {
            return Ok(subnet);
        }
        refused = ran.stderr;
        if !refused.contains("overlaps") {
            break;
        }
    }
    Err(format!("docker network create: {refused}"))
}

/// Removes the networks of earlier runs that were killed.
///
/// # Errors
/// When Docker refuses.
pub fn sweep() -> Result<()> {
    let filter = "label=polis-proof";
    let format = "{{.Name}}";
    let names = [
        "docker", "network", "ls", "--filter", filter, "--format", format,
    ];
    for name in Run::new(&names).output()?.lines() {
        let owner = name.rsplit('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            Run::new(&["docker", "network", "rm", name]).ran()?;
        }
    }
    Ok(())
}
