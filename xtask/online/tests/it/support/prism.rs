//! Validates requests against GitHub's own API description: Prism runs in front of the embedded GitHub, and reports a
//! request or a response that violates the description.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use xtask_loopback::EmbeddedProxy;

use super::{command, external_tool, run};

/// How long Prism may take to start; it takes two seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A path that GitHub does not have, requested to know that the log is complete.
const LAST: &str = "/last";

/// A running Prism, stopped on drop.
pub(crate) struct Prism {
    judge: String,
    /// The address for clients. Files bypass Prism, which treats all bodies as text.
    front: EmbeddedProxy,
    child: Child,
    dir: TempDir,
    /// How often the log was read.
    asked: AtomicUsize,
}

/// Starts Prism before `upstream` (`http://127.0.0.1:PORT`). Prints a line and returns `None` if it is neither
/// installed nor required.
pub(crate) fn start(upstream: &str) -> Option<Prism> {
    let (prism, node) = (external_tool("prism")?, external_tool("node")?);
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
    let judge = format!("http://{address}");
    let mut prism = Prism {
        front: EmbeddedProxy::start_beside(&judge, upstream).unwrap(),
        judge,
        child: command.spawn().unwrap(),
        dir,
        asked: AtomicUsize::new(0),
    };
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        let ended = prism.child.try_wait().unwrap();
        let late = started.elapsed() > PATIENCE;
        assert!(ended.is_none() && !late, "prism: {}", prism.written());
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
    /// The address for clients, in place of `https://api.github.com`, `https://uploads.github.com` and
    /// `https://github.com`. The content of files is not validated.
    pub(crate) fn url(&self) -> String {
        self.front.url()
    }

    /// The address of Prism itself, which also validates requests with files, if these are ASCII.
    pub(crate) fn judge(&self) -> &str {
        &self.judge
    }

    /// The log up to the last request that was answered.
    pub(crate) fn log(&self) -> String {
        let address = self.judge.trim_start_matches("http://");
        let last_path = format!("{LAST}/{}/", self.asked.fetch_add(1, Ordering::Relaxed));
        let mut last = TcpStream::connect(address).unwrap();
        let request =
            format!("GET {last_path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        last.write_all(request.as_bytes()).unwrap();
        last.read_to_end(&mut Vec::new()).unwrap();
        // Prism writes its log some time after the response.
        let started = Instant::now();
        loop {
            let log = self.written();
            if let Some((before, _)) = log.split_once(&last_path) {
                return before.to_owned();
            }
            assert!(started.elapsed() < PATIENCE, "prism: {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn written(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// The requests for which Prism reported a violation in the request or the response, except for a status that the
    /// description lacks.
    pub(crate) fn violations(&self) -> Vec<String> {
        let log = self.log();
        let failed = log.lines().filter(|line| line.contains("prism/errors#"));
        let failed = failed.filter(|line| !line.contains(LAST));
        failed.map(str::to_owned).collect()
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
