//! A network whose only way out is a real squid that intercepts TLS, and the image of a guest in it, which can neither resolve the
//! hosts of its downloads nor trusts the certificates that it gets.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::files::{self, digest};
use crate::image::{self, Image, build};
use crate::run::Run;

/// The network, which has no route to anywhere.
const NETWORK: &str = "polis-proof-company";
const SUBNET: &str = "10.99.7.0/24";
/// The proxy's address.
pub const ADDRESS: &str = "10.99.7.2";

const SCRIPT: &str = include_str!("../stand-ins/proxy.sh");
const HOW: &str = "COPY proxy/ /proxy/\nRUN sh /proxy/proxy.sh setup\n";
/// A guest like all others, but without the stand-ins for the internet.
const GUEST: &str = "RUN sed -i /archive.ubuntu.com/d /etc/cloud/templates/hosts.debian.tmpl && \
    rm /usr/local/share/ca-certificates/proof.crt && update-ca-certificates --fresh && \
    systemctl disable stand-in.service\n";

/// The proxy in its network; dropping this removes both.
#[derive(Debug)]
pub struct Proxy {
    container: String,
    /// The image of a guest behind it.
    pub guest: String,
}

impl Proxy {
    /// Starts it; its files are below `dir`.
    ///
    /// # Errors
    /// When a tool fails; the message quotes it.
    pub fn start(dir: &Path, image: &Image) -> Result<Self> {
        // The ID instead of the name: a rebuilt image has different keys for the packages.
        let inspect = ["docker", "image", "inspect", "--format", "{{.Id}}"];
        let id = Run::new(&[&inspect[..], &[&image.name]].concat()).output()?;
        let key = digest(&[&id, SCRIPT, HOW, GUEST]);
        let context = dir.join("proxy.new");
        let _ = fs::remove_dir_all(&context);
        let made = images(&context, image, &key);
        let _ = fs::remove_dir_all(&context);
        let (server, guest) = made?;
        let container = format!("polis-proof-proxy-{}", std::process::id());
        let proxy = Self { container, guest };
        proxy.remove();
        let network = [
            "docker",
            "network",
            "create",
            "--internal",
            "--subnet",
            SUBNET,
        ];
        Run::new(&[&network[..], &[NETWORK]].concat()).output()?;
        let network = format!("--network={NETWORK}");
        let address = format!("--ip={ADDRESS}");
        let run = ["docker", "run", "--detach", "--label=polis-proof", "--name"];
        let more = [&proxy.container, &network, &address, &server, "sh"];
        Run::new(&[&run[..], &more, &["/proxy/proxy.sh", "run"]].concat()).output()?;
        let answers =
            "for i in $(seq 100); do nc -z 127.0.0.1 3128 && exit; sleep 0.1; done; exit 1";
        proxy.output(answers).map_err(|error| {
            let said = Run::new(&["docker", "logs", &proxy.container]).ran();
            format!("{error}\n{said:?}")
        })?;
        Ok(proxy)
    }

    /// The options of `docker create` that put a guest behind it.
    pub fn network() -> String {
        format!("--network={NETWORK}")
    }

    /// Runs a shell script in its container; returns the output.
    ///
    /// # Errors
    /// When it fails.
    pub fn output(&self, script: &str) -> Result<String> {
        Run::new(&["docker", "exec", &self.container, "sh", "-c", script]).output()
    }

    fn remove(&self) {
        let _ = Run::new(&["docker", "rm", "--force", "--volumes", &self.container]).ran();
        let _ = Run::new(&["docker", "network", "rm", NETWORK]).ran();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The images of the proxy and of a guest behind it.
fn images(context: &Path, image: &Image, key: &str) -> Result<(String, String)> {
    let proxy = context.join("proxy");
    files::debs(&image.base.proxy, &proxy)?;
    files::write(&proxy.join("proxy.sh"), SCRIPT)?;
    let server = built(context, image, HOW, "polis-proof-proxy", key)?;
    let guest = built(
        &context.join("guest"),
        image,
        GUEST,
        "polis-proof-behind",
        key,
    )?;
    Ok((server, guest))
}

fn built(context: &Path, image: &Image, how: &str, repository: &str, key: &str) -> Result<String> {
    let name = format!("{repository}:{key}");
    match image::is_there(&name)? {
        true => Ok(name),
        false => build(context, &image.name, how, repository, key),
    }
}
