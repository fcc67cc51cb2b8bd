//! Docker's own registry under the name of GitHub's. The machine pulls the images that the compose file pins from it.
//!
//! Two processes share one directory: one accepts images on the loopback address, the other serves them over TLS from the
//! network namespace of the internet.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use cloud_init_proof::run::Run;

use crate::Result;
use crate::certificates;
use crate::internet::{Internet, REGISTRY, REGISTRY_HOST};
use crate::twins::{Authority, Twin};

const DEADLINE: Duration = Duration::from_secs(10);

/// A running registry; it stops when dropped.
#[derive(Debug)]
pub struct Registry {
    dir: PathBuf,
    served: Child,
}

impl Registry {
    /// Serves the images below `dir` on the network of `internet`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn serve(dir: &Path, internet: &Internet, authority: &Authority) -> Result<Self> {
        let dir = dir.join("registry");
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let process = internet.process()?;
        let inside = ["nsenter", "--net", "--target", &process];
        let address = [
            "ip",
            "address",
            "add",
            &format!("{REGISTRY}/32"),
            "dev",
            "lo",
        ];
        Run::new(&[&inside[..], &address].concat()).output()?;
        let pem = certificates::make(authority, &dir, "registry", &[REGISTRY_HOST])?;
        let tls = format!("  tls: {{certificate: {0}, key: {0}}}\n", pem.display());
        let config = dir.join("served.yml");
        configure(&config, &dir, &format!("{REGISTRY}:443"), &tls)?;
        let serve = ["docker-registry", "serve", &config.display().to_string()];
        let served =
            Run::new(&[&inside[..], &serve].concat()).background(&dir.join("served.log"))?;
        let mut registry = Self { dir, served };
        registry.wait(&inside)?;
        Ok(registry)
    }

    fn wait(&mut self, inside: &[&str]) -> Result<()> {
        let start = Instant::now();
        let try_it = format!("exec 3<>/dev/tcp/{REGISTRY}/443");
        loop {
            let ran = Run::new(&[inside, &["bash", "-c", &try_it]].concat()).ran()?;
            if ran.code == 0 {
                return Ok(());
            }
            if start.elapsed() > DEADLINE {
                let log = fs::read_to_string(self.dir.join("served.log")).unwrap_or_default();
                return Err(format!("docker-registry does not answer:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The file of a blob, for tests that alter it.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = "data/docker/registry/v2/blobs/sha256";
        let two = hex.get(..2).unwrap_or_default();
        self.dir.join(blobs).join(two).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.served.kill();
        let _ = self.served.wait();
    }
}

/// Pushes images into the registry below `dir`, each under its own name. Their digests do not change.
///
/// # Errors
/// When docker-registry does not start or refuses an image.
pub fn fill(dir: &Path, twins: &[Twin]) -> Result<()> {
    let dir = dir.join("registry");
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let port = free_port()?;
    let config = dir.join("filled.yml");
    configure(&config, &dir, &format!("127.0.0.1:{port}"), "")?;
    let command = ["docker-registry", "serve", &config.display().to_string()];
    let mut taking = Run::new(&command).background(&dir.join("filled.log"))?;
    let filled = accepts(port).and_then(|()| {
        let registry = format!("127.0.0.1:{port}");
        twins.iter().try_for_each(|twin| twin.push(&registry))
    });
    let _ = taking.kill();
    let _ = taking.wait();
    filled
}

fn accepts(port: u16) -> Result<()> {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if start.elapsed() > DEADLINE {
            return Err(format!("docker-registry does not listen on port {port}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    Ok(address.port())
}

fn configure(path: &Path, dir: &Path, address: &str, tls: &str) -> Result<()> {
    let text = format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: {address}\n{tls}",
        dir.join("data").display()
    );
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
