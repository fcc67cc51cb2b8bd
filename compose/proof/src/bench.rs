//! Everything that a run shares: the internet, the registry, the machine, and the `polis` that drives it; made once, in
//! the order in which one needs the other, and with the time that each took.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloud_init_proof::engine::Engine;
use cloud_init_proof::guest::{self, Guest};
use cloud_init_proof::image;
use cloud_init_proof::run::{Ran, Run};
use fake_multipass::World;

use crate::Result;
use crate::internet::{self, Internet};
use crate::registry::{self, Registry};
use crate::tree::{self, Digests};
use crate::twins::{self, Authority, Twin, Twins};

/// How long one call of `polis` may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What runs. Fields are dropped in their order: the world with its calls before the machine, the engine last.
#[derive(Debug)]
pub struct Bench {
    /// What `polis` sees of this machine, and `polis` itself.
    pub world: World,
    /// The virtual machine, which is a container.
    pub guest: Guest,
    /// The registry.
    pub registry: Registry,
    /// The network around the machine.
    pub internet: Internet,
    /// The twins of the images.
    pub twins: Twins,
    /// What `polis` has pinned.
    digests: Digests,
    /// What the machine is made from.
    pub image: image::Image,
    /// Where files go.
    pub dir: PathBuf,
    /// How long each part took.
    pub times: Vec<(String, Duration)>,
    _engine: Engine,
}

impl Bench {
    /// Makes everything below `dir`; what does not change from run to run is below `kept`, which is shared with the proof
    /// of the provisioning. The machine is not launched yet.
    ///
    /// # Errors
    /// When a part cannot be made; the message says which tool failed.
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
        let twins = twins::build(&tree::repository(), kept)?;
        part.done("the twins of the images");
        let digests: Digests = twins.references().into_iter().collect();
        // Cargo needs one core and half of the other, the rest waits for Docker.
        let (polis, rest) = std::thread::scope(|scope| {
            let polis = scope.spawn(|| tree::build(dir, &digests, &image));
            let rest = surroundings(dir, &image, &twins);
            (polis.join(), rest)
        });
        let (internet, registry, guest) = rest?;
        let polis = polis.map_err(|_| "the build of polis panicked".to_owned())??;
        part.done("polis, the internet, a registry, a machine");
        let world = World::of(polis).on_machine(guest.name()).with_limit(LIMIT);
        Ok(Self {
            world,
            guest,
            registry,
            internet,
            twins,
            digests,
            image,
            dir: dir.to_owned(),
            times,
            _engine: engine,
        })
    }

    /// Builds `polis` anew, with these images instead of those of their repositories.
    ///
    /// # Errors
    /// When cargo fails.
    pub fn pin(&mut self, others: &[Twin]) -> Result<()> {
        for other in others {
            let ours = self.digests.get_mut(&other.image);
            let ours = ours.ok_or_else(|| format!("nothing uses {}", other.image))?;
            ours.clone_from(&other.digest);
        }
        let start = Instant::now();
        tree::build(&self.dir, &self.digests, &self.image)?;
        self.times
            .push(("polis built anew".to_owned(), start.elapsed()));
        Ok(())
    }

    /// Runs `polis`, which must end well; notes the time as `what`.
    ///
    /// # Errors
    /// When it does not; the message has all that it said.
    pub fn polis(&mut self, what: &str, args: &[&str]) -> Result<fake_multipass::Ran> {
        let start = Instant::now();
        let ran = self.world.polis(args);
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

    /// Runs a command in a service's container as its root, whatever the image has for a user.
    ///
    /// # Errors
    /// When Docker cannot be started.
    pub fn inside(&self, service: &str, words: &[&str]) -> Result<Ran> {
        let exec = [
            "docker",
            "exec",
            self.guest.name(),
            "docker",
            "exec",
            "--interactive",
        ];
        let container = format!("polis-{service}");
        let user = ["--user=0", container.as_str()];
        Run::new(&[&exec[..], &user, words].concat()).ran()
    }

    /// Runs a Python program in the network namespace of a service, with the tools of the machine.
    ///
    /// # Errors
    /// When it fails.
    pub fn beside(&self, service: &str, words: &[&str]) -> Result<String> {
        let pid = self.pid(service)?;
        let exec = ["docker", "exec", "--interactive", self.guest.name()];
        let enter = ["nsenter", "--net", "--target", &pid];
        Run::new(&[&exec[..], &enter, words].concat()).output()
    }

    /// The process of a service, as the machine counts them.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self, service: &str) -> Result<String> {
        let format = "{{.State.Pid}}";
        self.guest.output(&format!(
            "docker inspect --format '{format}' polis-{service}"
        ))
    }
}

/// The internet, the registry with the twins in it, and the machine.
fn surroundings(
    dir: &Path,
    image: &image::Image,
    twins: &Twins,
) -> Result<(Internet, Registry, Guest)> {
    // A run that was killed may have left an image in it that is not what its digest says.
    let _ = std::fs::remove_dir_all(dir.join("registry"));
    registry::fill(dir, &twins.twins)?;
    let internet = Internet::start(&image.name, &twins.internet, dir)?;
    let registry = Registry::serve(dir, &internet, &twins.internet)?;
    let guest = machine(dir, image, &internet, &twins.internet)?;
    Ok((internet, registry, guest))
}

/// A machine on the network of `internet`, not started: with IPv6 on, as a virtual machine has it, with the gateway for
/// its name server, and with trust in the registry's certificate.
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
            // To enter a container whose processes are another user's, which every health check does.
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
        &format!("etc/docker/certs.d/{}/ca.crt", registry::HOST),
        &certificate,
    )?;
    // Docker turns it off where a network of its own has none; a virtual machine has at least its link-local addresses.
    let sysctls = "net.ipv6.conf.all.disable_ipv6 = 0\nnet.ipv6.conf.default.disable_ipv6 = 0\n";
    write("etc/sysctl.d/10-proof.conf", sysctls)?;
    let from = format!("{}/.", files.display());
    Run::new(&["docker", "cp", &from, &format!("{}:/", guest.name())]).output()?;
    Ok(guest)
}

/// Notes how long each part takes.
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
