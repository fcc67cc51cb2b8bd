//! Downloads files of a release with the system's `curl`, which knows the proxies, certificates and name servers of its machine. So
//! no TLS is compiled in, which would need a C compiler for each target. No download is trusted unless it is signed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::embedded;
use crate::error::{Error, Kind, Result};
use crate::multipass::size;
use crate::platform;
use crate::process::{self, Failure, Output, Streams, TICK};
use crate::proxy::Proxies;
use crate::proxy::curl::CurlConfigs;

/// The releases at one URL.
#[derive(Debug)]
pub(crate) struct Releases<'a> {
    curl: PathBuf,
    url: &'a str,
    limit: Duration,
    proxies: &'a Proxies,
}

/// Which release a file belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReleaseRef<'a> {
    /// The newest release that is not a preview, according to the server.
    Latest,
    /// The release of this version.
    Version(&'a str),
}

impl<'a> Releases<'a> {
    /// The releases at `url`, in GitHub's layout, through `proxies`; each file has to arrive within `limit`.
    ///
    /// # Errors
    /// When there is no `curl`.
    pub(crate) fn at(url: &'a str, limit: Duration, proxies: &'a Proxies) -> Result<Self> {
        let curl = platform::find_curl().ok_or_else(|| {
            Error::new(Kind::Update, "`curl` is not installed")
                .because("polis downloads its updates with it")
                .next(format!(
                    "install curl, or install the newest release with its script: {}",
                    embedded::INSTALL
                ))
        })?;
        Ok(Self {
            curl,
            url,
            limit,
            proxies,
        })
    }

    /// The file `name`, of at most `most` bytes; `look` is called with the number of bytes so far.
    ///
    /// # Errors
    /// When it does not arrive complete, or a signal arrives.
    pub(crate) fn get(
        &self,
        of: ReleaseRef<'_>,
        name: &str,
        most: usize,
        mut look: impl FnMut(u64),
    ) -> Result<Vec<u8>> {
        let url = match of {
            ReleaseRef::Latest => format!("{}/latest/download/{name}", self.url),
            ReleaseRef::Version(version) => format!("{}/download/v{version}/{name}", self.url),
        };
        let body = Body::of(most);
        let args = arguments(&url, self.limit);
        let ended = CurlConfigs::to(self.proxies, &url).tried(|streams| {
            let streams = Streams {
                stdout: Some(Box::new(body.clone())),
                ..streams
            };
            let started = Instant::now();
            let mut running = process::start(&self.curl, &args, streams)?;
            loop {
                if let Some(output) = running.poll(TICK)? {
                    return Ok(output);
                }
                // curl has the same limit; this covers a curl that hangs.
                if started.elapsed() > self.limit + Duration::from_secs(5) {
                    return Err(Failure::TimedOut(self.limit));
                }
                look(body.len());
            }
        });
        match ended {
            Ok(output) if output.code == Some(0) => Ok(body.take()),
            ended => Err(failed(&url, most, ended)),
        }
    }
}

/// The arguments of curl, which ignores its configuration file.
fn arguments(url: &str, limit: Duration) -> Vec<String> {
    // Only a loopback address may be reached without TLS, and no redirect leads there.
    let scheme = url.split(':').next().unwrap_or_default();
    let protocol = format!("={scheme}");
    let seconds = limit.as_secs().to_string();
    let agent = format!("polis/{}", embedded::LABEL);
    let words = [
        "--disable",
        "--config",
        "-",
        "--proto",
        &protocol,
        "--proto-redir",
        "=https",
        "--tlsv1.2",
        "--globoff",
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--max-redirs",
        "5",
        "--connect-timeout",
        "30",
        "--max-time",
        &seconds,
        "--user-agent",
        &agent,
        "--url",
        url,
    ];
    words.map(str::to_owned).to_vec()
}

fn failed(url: &str, most: usize, ended: std::result::Result<Output, Failure>) -> Box<Error> {
    let error = |why: String| {
        Error::new(Kind::Update, format!("could not download `{url}`"))
            .because(why)
            .next(
                "check the network, and https-proxy and ca-file if there is a proxy; then run this again",
            )
    };
    match ended {
        Ok(output) => {
            let code = output.code.map_or("killed by a signal".to_owned(), |code| {
                format!("exit code {code}")
            });
            let stderr = output.stderr.trim();
            error(match stderr.is_empty() {
                true => format!("curl failed ({code})"),
                false => format!("{stderr} ({code})"),
            })
        }
        Err(Failure::Interrupted) => interrupted(),
        Err(Failure::TimedOut(limit)) => error(format!("it took more than {} s", limit.as_secs())),
        Err(Failure::Lost(_)) => error(format!(
            "it is larger than {}, the maximum",
            size::words(most as u64)
        )),
        Err(Failure::TooMuch(_)) => error("curl printed too much output".to_owned()),
        Err(Failure::Start(reason)) => error(format!("could not start curl: {reason}")),
    }
}

pub(crate) fn interrupted() -> Box<Error> {
    Error::new(Kind::Interrupted, "interrupted").next("polis update")
}

/// The received bytes, up to a limit.
#[derive(Debug, Clone)]
struct Body {
    bytes: Arc<Mutex<Vec<u8>>>,
    most: usize,
}

impl Body {
    fn of(most: usize) -> Self {
        Self {
            bytes: Arc::default(),
            most,
        }
    }

    fn len(&self) -> u64 {
        self.bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len() as u64
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Body {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() + more.len() > self.most {
            return Err(io::Error::other("too large"));
        }
        bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_bounded() {
        let mut body = Body::of(3);
        assert!(body.write_all(b"ab").is_ok());
        assert!(body.write_all(b"cd").is_err());
        assert_eq!(body.take(), b"ab");
    }
}
