//! The environment that the checks share: the internet, the registry, the machine, and the `polis` that drives it. Each part is
//! created once, in order of dependency, and timed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloud_init_proof::engine::Engine;
use cloud_init_proof::guest::{self, Guest};
use cloud_init_proof::image;
use cloud_init_proof::run::Run;
use fake_multipass::Sandbox;

use crate::Result;
use crate::internet::{self, Internet};
use crate::registry::{self, Registry};
use crate::tree::{self, Digests};
use crate::twins::{self, Authority, Twin, Twins};

/// The programs that a bench needs in addition to those of every proof, each with its Debian package.
pub const PROGRAMS: [(&str, &str); 5] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("ssh", "openssh-client"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
];
/// How long one run of `polis` may take.
const LIMIT: Duration = Duration::from_secs(300);

/// The running parts. Fields are dropped in order: the sandbox before the machine that it calls, the engine last.
#[derive(Debug)]
pub struct Bench {
    /// `polis` and its sandbox on this machine.
    pub sandbox: Sandbox,
    /// The virtual machine, which is a container.
    pub guest: Guest,
    /// The registry.
    pub registry: Registry,
    /// The network around the machine.
    pub internet: Internet,
    /// The twins of the images.
    pub twins: Twins,
    /// The digests that `polis` pins.
    digests: Digests,
    /// The image from which the machine was created.
    image: image::Image,
    /// The directory of what does not change between runs.
    kept: PathBuf,
    /// The directory for files of this run.
    pub dir: PathBuf,
    /// How long each part took.
    pub times: Vec<(String, Duration)>,
    _engine: Engine,
}

impl Bench {
    /// Creates everything below `dir`, except for what does not change between runs, which is in `kept` and shared by all proofs. The
    /// machine is not launched yet.
    ///
    /// # Errors
    /// When a part cannot be created; the message quotes the command that failed.
    pub fn new(kept: &Path, dir: &Path) -> Result<Self> {
        let mut times = Vec::new();
        let mut part = Part::new(&mut times);
        std::fs::create_dir_all(kept)
            .and_then(|()| std::fs::create_dir_all(dir))
            .map_err(|error| format!("{}: {error}", dir.display()))?;
        let engine = Engine::new(kept)?;
        guest::sweep()?;
        internet::sweep()?;
        part.done("a Docker engine");
        let text = tree::user_data()?;
        let image = image::prepare(kept, &text)?;
        part.done("the image of the machine");
        // polis embeds the digests of the twins, but most of its dependencies do not.
        let (twins, ahead) = std::thread::scope(|scope| {
            let ahead = scope.spawn(|| tree::build_ahead(kept));
            let twins = twins::build(&tree::repository(), kept);
            (twins, ahead.join())
        });
        let twins = twins?;
        ahead.map_err(|_| "the build of polis panicked".to_owned())??;
        part.done("the twins of the images, and what polis depends on");
        let digests: Digests = twins.references().into_iter().collect();
        // Cargo keeps the processor busy, while the other parts mostly wait for Docker.
        let (polis, rest) = std::thread::scope(|scope| {
            let polis = scope.spawn(|| build_polis(kept, dir, &digests, &image));
            let rest = surroundings(dir, &image, &twins);
            (polis.join(), rest)
        });
        let (internet, registry, guest) = rest?;
        let polis = polis.map_err(|_| "the build of polis panicked".to_owned())??;
        part.done("polis, the internet, a registry, a machine");
        let sandbox = sandbox(&polis, &guest, &twins.internet)?;
        Ok(Self {
            sandbox,
            guest,
            registry,
            internet,
            twins,
            digests,
            image,
            kept: kept.to_owned(),
            dir: dir.to_owned(),
            times,
            _engine: engine,
        })
    }

    /// Replaces the machine and the sandbox that calls it by fresh ones.
    ///
    /// # Errors
    /// When Docker refuses.
    pub fn renew(&mut self) -> Result<()> {
        let start = Instant::now();
        // Remove the old machine first: both have the same address.
        self.guest.remove();
        self.guest = machine(&self.dir, &self.image, &self.internet, &self.twins.internet)?;
        self.sandbox = sandbox(&self.dir.join("polis"), &self.guest, &self.twins.internet)?;
        self.times
            .push(("a new machine".to_owned(), start.elapsed()));
        Ok(())
    }

    /// Rebuilds `polis` with these images pinned in place of those from the same repositories.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn pin(&mut self, others: &[Twin]) -> Result<()> {
        for other in others {
            let ours = self.digests.get_mut(&other.image);
            let ours =
                ours.ok_or_else(|| format!("the compose file does not use {}", other.image))?;
            ours.clone_from(&other.digest);
        }
        let start = Instant::now();
        build_polis(&self.kept, &self.dir, &self.digests, &self.image)?;
        self.times
            .push(("polis rebuilt".to_owned(), start.elapsed()));
        Ok(())
    }

    /// Runs `polis`, which must succeed; records the time as `what`.
    ///
    /// # Errors
    /// When it fails; the message has all its output.
    pub fn polis(&mut self, what: &str, args: &[&str]) -> Result<fake_multipass::Ran> {
        let start = Instant::now();
        let ran = self.sandbox.polis(args);
        self.times.push((what.to_owned(), start.elapsed()));
        if ran.code == Some(0) {
            return Ok(ran);
        }
        Err(format!(
            "polis {}: {}\n{}",
            args.join(" "),
            ran.seen(),
            self.guest.story()
        ))
    }

    /// Prepares a command in the container of a service, as root whatever the image's user.
    pub fn inside(&self, service: &str, words: &[&str]) -> Run {
        let container = format!("polis-{service}");
        let exec = [
            "docker",
            "exec",
            "--interactive",
            "--user=0",
            container.as_str(),
        ];
        self.on_machine(&[&exec[..], words].concat())
    }

    /// Prepares a command in the network namespace of a service, with the machine's tools.
    ///
    /// # Errors
    /// When the service is not running.
    pub fn in_network_of(&self, service: &str, words: &[&str]) -> Result<Run> {
        let format = "{{.State.Pid}}";
        let inspect = format!("docker inspect --format '{format}' polis-{service}");
        let pid = self.guest.output(&inspect)?;
        let enter = ["nsenter", "--net", "--target", pid.as_str()];
        Ok(self.on_machine(&[&enter[..], words].concat()))
    }

    fn on_machine(&self, words: &[&str]) -> Run {
        let exec = ["docker", "exec", "--interactive", self.guest.name()];
        Run::new(&[&exec[..], words].concat())
    }
}

/// Builds `polis` and copies it below `dir`, where no other run replaces it.
fn build_polis(
    kept: &Path,
    dir: &Path,
    digests: &Digests,
    image: &image::Image,
) -> Result<PathBuf> {
    let built = tree::build(kept, digests, image)?;
    let polis = dir.join("polis");
    // A running program cannot be overwritten.
    let _ = std::fs::remove_file(&polis);
    std::fs::copy(&built, &polis).map_err(|error| format!("{}: {error}", polis.display()))?;
    Ok(polis)
}

/// A sandbox in which `polis` finds a `multipass` whose machine is `guest`. Its settings trust the authority of the internet's
/// servers, as in a company that intercepts TLS.
fn sandbox(polis: &Path, guest: &Guest, authority: &Authority) -> Result<Sandbox> {
    let sandbox = Sandbox::of(polis)
        .on_machine(guest.name())
        .with_limit(LIMIT);
    let config = sandbox.home().join(".config/polis/config.toml");
    let text = format!("ca-file = '{}'\n", authority.certificate.display());
    std::fs::create_dir_all(config.with_file_name(""))
        .and_then(|()| std::fs::write(&config, text))
        .map_err(|error| format!("{}: {error}", config.display()))?;
    Ok(sandbox)
}

/// Starts the internet, the registry with the twins, and the machine.
fn surroundings(
    dir: &Path,
    image: &image::Image,
    twins: &Twins,
) -> Result<(Internet, Registry, Guest)> {
    // A killed run may have left an altered image there.
    let _ = std::fs::remove_dir_all(dir.join("registry"));
    registry::fill(dir, &twins.twins)?;
    let internet = Internet::start(&image.name, &twins.internet, dir)?;
    let registry = Registry::serve(dir, &internet, &twins.internet)?;
    let guest = machine(dir, image, &internet, &twins.internet)?;
    Ok((internet, registry, guest))
}

/// Creates a machine on the network of `internet` without starting it. As in a virtual machine, IPv6 is on; the gateway is its
/// name server, and it trusts the registry's certificate.
fn machine(
    dir: &Path,
    image: &image::Image,
    internet: &Internet,
    authority: &Authority,
) -> Result<Guest> {
    let resolv = dir.join("resolv.conf");
    let text = format!("nameserver {}\n", internet.gateway);
    std::fs::write(&resolv, text).map_err(|error| format!("{}: {error}", resolv.display()))?;
    let guest = Guest::bare(
        &image.name,
        &[
            &format!("--network={}", internet.name),
            &format!("--ip={}", internet.machine),
            &format!("--volume={}:/etc/resolv.conf:ro", resolv.display()),
            // Every health check enters a container whose processes belong to another user.
            "--cap-add=SYS_PTRACE",
            "--memory=10g",
            "--pids-limit=16384",
        ],
    )?;
    let files = dir.join("files");
    let write = |path: &str, text: &str| {
        let path = files.join(path);
        let parent = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    let certificate = &authority.certificate;
    let certificate = std::fs::read_to_string(certificate)
        .map_err(|error| format!("{}: {error}", certificate.display()))?;
    write(
        &format!("etc/docker/certs.d/{}/ca.crt", internet::REGISTRY_HOST),
        &certificate,
    )?;
    // Docker turns IPv6 off if its network has none; a virtual machine has at least link-local addresses.
    let sysctls = "net.ipv6.conf.all.disable_ipv6 = 0\nnet.ipv6.conf.default.disable_ipv6 = 0\n";
    write("etc/sysctl.d/10-proof.conf", sysctls)?;
    let from = format!("{}/.", files.display());
    Run::new(&["docker", "cp", &from, &format!("{}:/", guest.name())]).output()?;
    Ok(guest)
}

/// Records how long each part takes.
struct Part<'a> {
    start: Instant,
    times: &'a mut Vec<(String, Duration)>,
}

impl<'a> Part<'a> {
    fn new(times: &'a mut Vec<(String, Duration)>) -> Self {
        let start = Instant::now();
        Self { start, times }
    }

    fn done(&mut self, what: &str) {
        let took = self.start.elapsed();
        self.start = Instant::now();
        println!("{:7.1} s  made    {what}", took.as_secs_f64());
        self.times.push((what.to_owned(), took));
    }
}
