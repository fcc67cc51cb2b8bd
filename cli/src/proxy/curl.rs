//! Configures the system's curl for the proxies, on its standard input, since they may contain a password.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Proxies, url};
use crate::platform;
use crate::process::{self, Failure, Output, Streams, TICK};

/// The exit code of curl when it does not trust a certificate.
const UNTRUSTED: i32 = 60;

/// Configurations for `--config -`, in the order to try them. curl uses either the company's authorities or the system's, so
/// the second configuration has the system's.
#[derive(Debug, Clone)]
pub(crate) struct CurlConfigs(Vec<String>);

impl CurlConfigs {
    /// The configurations to reach `url` through `proxies`.
    pub(crate) fn to(proxies: &Proxies, url: &str) -> Self {
        let https = url.starts_with("https:");
        let proxy = if https { &proxies.https } else { &proxies.http };
        let mut common = String::new();
        if let Some(proxy) = proxy {
            common.push_str(&line("proxy", proxy));
            common.push_str(&line("noproxy", &proxies.direct()));
        }
        let authority = proxies.ca_file.as_ref().filter(|_| https);
        let first =
            authority.map(|path| format!("{common}{}", line("cacert", &path.to_string_lossy())));
        Self(first.into_iter().chain([common]).collect())
    }

    /// Calls `run` with each in turn, until one does not fail for lack of trust.
    pub(crate) fn tried(
        &self,
        mut run: impl FnMut(Streams) -> Result<Output, Failure>,
    ) -> Result<Output, Failure> {
        let mut ended = Err(Failure::Interrupted);
        for way in &self.0 {
            let input = std::io::Cursor::new(way.clone().into_bytes());
            ended = run(Streams {
                stdin: Some(Box::new(input)),
                stdout: None,
            });
            if !matches!(&ended, Ok(output) if output.code == Some(UNTRUSTED)) {
                break;
            }
        }
        ended
    }
}

/// A line of a configuration file of curl.
fn line(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{name} = \"{value}\"\n")
}

/// Checks that `place` (`HOST:PORT`) answers over TLS through the proxies, as the VM will reach it.
///
/// # Errors
/// Why it does not answer.
pub(crate) fn reach(proxies: &Proxies, place: &str, limit: Duration) -> Result<(), String> {
    let curl = platform::find_curl().ok_or("not checked: curl is not installed")?;
    let url = format!("https://{place}/");
    let seconds = limit.as_secs().to_string();
    let words = [
        "--disable",
        "--config",
        "-",
        "--proto",
        "=https",
        "--globoff",
        "--silent",
        "--show-error",
        "--output",
        platform::NOTHING,
        "--write-out",
        "%{http_connect}",
        "--max-time",
        &seconds,
        "--url",
        &url,
    ];
    let args = words.map(str::to_owned);
    let ended = CurlConfigs::to(proxies, &url).tried(|streams| run(&curl, &args, streams, limit));
    match ended {
        Ok(output) if output.code == Some(0) => Ok(()),
        Ok(output) => Err(reason(&output)),
        Err(Failure::TimedOut(_)) => Err("it does not answer".to_owned()),
        Err(_) => Err("could not run curl".to_owned()),
    }
}

fn run(curl: &Path, args: &[String], streams: Streams, limit: Duration) -> Result<Output, Failure> {
    let end = Instant::now() + limit + Duration::from_secs(2);
    let mut running = process::start(curl, args, streams)?;
    loop {
        if let Some(output) = running.poll(TICK)? {
            return Ok(output);
        }
        if Instant::now() >= end {
            return Err(Failure::TimedOut(limit));
        }
    }
}

/// Why curl got no answer, from its exit code and the proxy's answer to CONNECT.
fn reason(output: &Output) -> String {
    let said = url::masked(output.stderr.trim());
    match (output.code, output.stdout.trim()) {
        (_, "407") => "the proxy requires a name and password, or rejects the given ones (407)".to_owned(),
        (Some(56 | 22), status @ ("403" | "404" | "405" | "500" | "502" | "503" | "504")) => {
            format!("the proxy does not connect to it ({status})")
        }
        (Some(5), _) => "could not resolve the name of the proxy".to_owned(),
        (Some(UNTRUSTED), _) => {
            "no trusted authority signed its certificate: does ca-file contain the proxy's authority?"
                .to_owned()
        }
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_uses_the_proxy_of_its_scheme_and_both_authorities() {
        let proxies = Proxies {
            http: Some("http://one:1".into()),
            https: Some("http://me:p%40ss@two:2".into()),
            ca_file: Some(r#"C:\a "b".pem"#.into()),
            ..Proxies::default()
        };
        let direct = "noproxy = \"localhost,127.0.0.1,::1\"\n";
        let two = format!("proxy = \"http://me:p%40ss@two:2\"\n{direct}");
        assert_eq!(
            CurlConfigs::to(&proxies, "https://example.org").0,
            [format!("{two}cacert = \"C:\\\\a \\\"b\\\".pem\"\n"), two]
        );
        assert_eq!(
            CurlConfigs::to(&proxies, "http://localhost:1").0,
            [format!("proxy = \"http://one:1\"\n{direct}")]
        );
        assert_eq!(CurlConfigs::to(&Proxies::default(), "https://x").0, [""]);
    }

    #[test]
    fn the_second_configuration_is_tried_only_for_lack_of_trust() {
        let proxies = Proxies {
            ca_file: Some("x".into()),
            ..Proxies::default()
        };
        for (code, count) in [(60, 2), (0, 1), (56, 1)] {
            let mut runs = 0;
            let ended = CurlConfigs::to(&proxies, "https://x").tried(|_| {
                runs += 1;
                Ok(Output {
                    code: Some(code),
                    ..Output::default()
                })
            });
            assert_eq!((ended.unwrap().code, runs), (Some(code), count));
        }
    }
}
