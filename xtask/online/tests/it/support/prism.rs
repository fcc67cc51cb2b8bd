//! GitHub's own description of its API, as a judge: Prism stands before the embedded GitHub and
//! answers with a problem where a request or an answer does not follow the description.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{command, real_part, run};

/// How long Prism may take to start: two seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Prism; dropping it ends it.
pub(crate) struct Prism {
    url: String,
    child: Child,
    dir: TempDir,
}

/// Starts Prism before `upstream` (`http://127.0.0.1:PORT`). `None`, with a line that says so,
/// where it is not installed and need not be.
pub(crate) fn start(upstream: &str) -> Option<Prism> {
    let (prism, node) = (real_part("prism")?, real_part("node")?);
    let dir = tempfile::tempdir().unwrap();
    let description = dir.path().join("github.json");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prism/subset.mjs");
    let subset = run(&node, [&script, &whole_description(&prism)]);
    fs::write(&description, subset).unwrap();

    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let log = File::create(dir.path().join("log")).unwrap();
    let mut command = command(&prism);
    command
        .args(["proxy", "--errors", "--host", "127.0.0.1", "--port"])
        .arg(address.port().to_string())
        .args([description.as_os_str(), upstream.as_ref()])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut prism = Prism {
        url: format!("http://{address}"),
        child: command.spawn().unwrap(),
        dir,
    };
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        let ended = prism.child.try_wait().unwrap();
        let late = started.elapsed() > PATIENCE;
        assert!(ended.is_none() && !late, "prism: {}", prism.log());
        thread::sleep(Duration::from_millis(20));
    }
    Some(prism)
}

/// The description that is installed beside `prism`.
fn whole_description(prism: &Path) -> PathBuf {
    let program = prism.canonicalize().unwrap();
    let modules = program
        .ancestors()
        .find(|dir| dir.ends_with("node_modules"))
        .unwrap_or_else(|| panic!("{}: not below node_modules", program.display()));
    modules.join("@octokit/openapi/generated/api.github.com.json")
}

impl Prism {
    /// Where clients reach it, in the place of `https://api.github.com`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The requests in which, or in whose answers, it found what GitHub does not describe; a
    /// status that is only missing there is not among them.
    pub(crate) fn violations(&self) -> Vec<String> {
        let log = self.log();
        let failed = log.lines().filter(|line| line.contains("prism/errors#"));
        failed.map(str::to_owned).collect()
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
