//! What a run of the provisioning leaves behind: the report, and after a success the marker, in the form that
//! `report_json` and `do_ready` of `provision.sh` give them.

use std::fs;
use std::io;

use polis_base::Digest;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::Guest;
use super::provision::{MARKER, REPORT, steps};
use super::user_data::{SCRIPT, USER_DATA};
use crate::world::replace;
use crate::world::state::Provision;

const PINS: &str = "/etc/polis/pins.env";
/// The script's WRITTEN_FILES.
const WRITTEN: [&str; 6] = [
    PINS,
    "/etc/docker/daemon.json",
    "/etc/sysctl.d/99-polis-hardening.conf",
    "/etc/audit/rules.d/docker.rules",
    "/etc/systemd/system/polis.service",
    SCRIPT,
];
/// The version of Docker that the play has.
pub(super) const DOCKER: &str = "29.5.0";

/// The marker, its fields in the script's order.
#[derive(Serialize)]
struct Marker {
    user_data_sha256: String,
    #[serde(serialize_with = "in_order")]
    files: Vec<(String, String)>,
    architecture: &'static str,
    docker_version: &'static str,
    sysbox_version: String,
    yq_version: String,
    finished: String,
}

fn in_order<S: Serializer>(files: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(files.iter().map(|(path, digest)| (path, digest)))
}

/// Writes the report, and the marker where the run did not fail. `log` is what this run has logged.
pub(super) fn write(guest: &Guest, run: &Provision, log: &str) -> io::Result<()> {
    let user_data = fs::read(guest.path(USER_DATA))?;
    let digest = Digest::of(&user_data).hex();
    replace(&guest.path(REPORT), report(run, &digest, log).as_bytes())?;
    if run.fails.is_some() {
        return Ok(());
    }
    let ended = run.starts_at + steps(run).iter().map(|step| step.seconds()).sum::<u64>() * 1000;
    let pins = fs::read_to_string(guest.path(PINS))?;
    let mut files = Vec::new();
    for path in WRITTEN {
        let bytes = fs::read(guest.path(path))?;
        files.push((path.to_owned(), Digest::of(&bytes).hex()));
    }
    let marker = Marker {
        user_data_sha256: digest,
        files,
        architecture: match std::env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "amd64",
        },
        docker_version: DOCKER,
        sysbox_version: pin(&pins, "SYSBOX_VERSION"),
        yq_version: pin(&pins, "YQ_VERSION"),
        finished: utc(ended),
    };
    let mut text = serde_json::to_vec_pretty(&marker)?;
    text.push(b'\n');
    replace(&guest.path(MARKER), &text)
}

fn pin(pins: &str, name: &str) -> String {
    let values = pins.lines().filter_map(|line| line.split_once('='));
    let mut values = values.filter(|(found, _)| *found == name);
    values.next().map_or("", |(_, value)| value).to_owned()
}

fn report(run: &Provision, digest: &str, log: &str) -> String {
    let steps = steps(run);
    let (status, step, message) = match &run.fails {
        Some((step, message)) => ("failed", step.as_str(), message.as_str()),
        None => ("done", "ready", ""),
    };
    let seconds: u64 = steps.iter().map(|step| step.seconds()).sum();
    let listed: Vec<String> = steps
        .iter()
        .map(|step| {
            format!(
                "\n    {{\"name\": \"{}\", \"state\": \"{}\", \"seconds\": {}}}",
                step.name,
                step.state,
                step.seconds()
            )
        })
        .collect();
    let lines: Vec<&str> = log.lines().collect();
    let tail: Vec<String> = lines[lines.len().saturating_sub(30)..]
        .iter()
        .map(|line| format!("\n    {}", string(line)))
        .collect();
    format!(
        "{{\n  \"status\": \"{status}\",\n  \"step\": {},\n  \"exit_code\": {},\n  \"message\": {},\n  \
         \"user_data_sha256\": \"{digest}\",\n  \"started\": \"{}\",\n  \"seconds\": {seconds},\n  \
         \"steps\": [{}\n  ],\n  \"log_tail\": [{}\n  ]\n}}\n",
        string(step),
        u8::from(run.fails.is_some()),
        string(message),
        utc(run.starts_at),
        listed.join(","),
        tail.join(","),
    )
}

/// A JSON string, with a blank for whatever is not printable ASCII.
fn string(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if (' '..='~').contains(&c) { c } else { ' ' })
        .collect();
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Milliseconds since 1970 as `date --utc +%Y-%m-%dT%H:%M:%SZ`.
fn utc(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).unwrap_or(0);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_strings_are_those_of_the_script() {
        assert_eq!(utc(1_709_210_096_789), "2024-02-29T12:34:56Z");
        assert_eq!(string("a\"b\\c\té"), "\"a\\\"b\\\\c  \"");
    }
}
