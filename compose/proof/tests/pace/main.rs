//! Measures how long a first `polis start` takes on a slow link, and what it waits for. Not part of CI.
//!
//! Uses the machine of the stack's proof, with downloads of realistic size, behind a link of 50 Mbit/s and 30 ms. Polls the
//! progress of the machine and the traffic on the link every second, so the table shows which phases wait for the network and
//! which do not use it.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cloud_init_proof::guest::Guest;
use cloud_init_proof::run::Run;
use fake_multipass::Sandbox;
use polis_stack_proof::bench::Bench;
use polis_stack_proof::twins::Twin;
use polis_stack_proof::{Result, registry, variant};
use serde_json::Value;

const RATE: &str = "50mbit";
const DELAY: &str = "30ms";
/// The rate in bytes per second.
const BYTES_PER_SECOND: f64 = 50e6 / 8.0;
/// The total size of all images, in bytes.
const IMAGES: u64 = 500_000_000;
const LIMIT: Duration = Duration::from_secs(900);
const UNIT: &str = "/etc/systemd/system/stand-in.service";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    if env::var_os("POLIS_PROOF_PADDING").is_none() {
        return Err(
            "set POLIS_PROOF_PADDING=200,70, the megabytes of Docker and Sysbox".to_owned(),
        );
    }
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut bench = Bench::new(
        &target.with_file_name("proof"),
        &target.with_file_name("pace"),
    )?;
    bench.sandbox = std::mem::take(&mut bench.sandbox).with_limit(LIMIT);
    let images = padded(&bench)?;
    registry::fill(&bench.dir, &images)?;
    bench.pin(&images)?;
    slow(&bench)?;

    let over = AtomicBool::new(false);
    let begin = Instant::now();
    let (looks, ran) = thread::scope(|scope| {
        let looks = scope.spawn(|| watch(&bench.guest, begin, &over));
        let ran = bench.sandbox.polis(&["start", "--json"]);
        over.store(true, Ordering::Relaxed);
        (looks.join(), ran)
    });
    let total = begin.elapsed();
    let looks = looks.map_err(|_| "the watch panicked".to_owned())?;
    if ran.code != Some(0) {
        return Err(format!("{}\n{}", ran.seen(), bench.guest.story()));
    }
    print!("{}", table(&looks, total, &ran.stdout)?);
    println!("link: {RATE}, {}", bench.guest.output("cat /run/link")?);
    warm(&bench.sandbox)
}

/// Measures a start with nothing to do: its calls, and the time spent outside them.
fn warm(sandbox: &Sandbox) -> Result<()> {
    let (program, real) = (
        sandbox.dir().join("bin/multipass"),
        sandbox.dir().join("real"),
    );
    let log = sandbox.dir().join("took");
    let script = format!(
        "#!/bin/bash\nbegin=$(date +%s%N)\n{}/multipass \"$@\"\ncode=$?\n\
         echo $(($(date +%s%N) - begin)) >>{}\nexit $code\n",
        real.display(),
        log.display()
    );
    fs::create_dir(&real)
        .and_then(|()| fs::rename(&program, real.join("multipass")))
        .and_then(|()| fs::write(&program, script))
        .and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)))
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let begin = Instant::now();
    let ran = sandbox.polis(&["start"]);
    let total = begin.elapsed();
    if ran.code != Some(0) {
        return Err(ran.seen());
    }
    let calls = fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let calls: Vec<u64> = calls.lines().filter_map(|line| line.parse().ok()).collect();
    let own = total.saturating_sub(Duration::from_nanos(calls.iter().sum()));
    println!(
        "warm start: {} ms in {} calls, {} ms of our own",
        total.as_millis(),
        calls.len(),
        own.as_millis()
    );
    Ok(())
}

/// Adds a layer to each image, so that together they have the required size.
fn padded(bench: &Bench) -> Result<Vec<Twin>> {
    let twins: Vec<&Twin> = bench
        .twins
        .twins
        .iter()
        .filter(|twin| twin.name != "init")
        .collect();
    let mut there = 0;
    for twin in &twins {
        let blobs = twin.layout.join("blobs/sha256");
        let entries =
            fs::read_dir(&blobs).map_err(|error| format!("{}: {error}", blobs.display()))?;
        there += entries
            .flatten()
            .filter_map(|entry| entry.metadata().ok())
            .map(|meta| meta.len())
            .sum::<u64>();
    }
    let each = IMAGES.saturating_sub(there) / twins.len() as u64;
    println!(
        "images: {} MB in {} layouts, {} MB more each",
        there / 1_000_000,
        twins.len(),
        each / 1_000_000
    );
    let one = |(at, twin): (usize, &&Twin)| {
        variant::of(twin, &noise(at as u64 + 1, each), &bench.dir).map(|made| made.twin)
    };
    twins.iter().enumerate().map(one).collect()
}

/// Text of this many bytes that does not repeat, so compression does not shrink it.
fn noise(seed: u64, bytes: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::with_capacity(usize::try_from(bytes).unwrap_or_default() + 16);
    while (text.len() as u64) < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(text, "{state:016x}");
    }
    text
}

/// Makes the machine put itself behind the link at boot, before any download.
fn slow(bench: &Bench) -> Result<()> {
    let guest = &bench.guest;
    let drop_ins = bench.dir.join("drop-ins/docker.service.d");
    fs::create_dir_all(&drop_ins).map_err(|error| format!("{}: {error}", drop_ins.display()))?;
    let to = format!("{}:/etc/systemd/system/", guest.name());
    Run::new(&["docker", "cp", &drop_ins.display().to_string(), &to]).output()?;
    guest.put(&bench.dir, "/srv/stand-in/link", include_str!("link.sh"))?;
    let unit = format!(
        "[Unit]\nDefaultDependencies=no\nBefore=cloud-config.service\n[Service]\n\
         ExecStartPre=/srv/stand-in/link {RATE} {DELAY}\nExecStart=/srv/stand-in/server.py\n\
         [Install]\nWantedBy=sysinit.target\n"
    );
    guest.put(&bench.dir, UNIT, &unit)?;
    // Docker 29 keeps images in containerd, which resumes a download that was cut (docs.docker.com/storage/containerd).
    // The machine's older engine does so only if configured.
    guest.put(
        &bench.dir,
        "/srv/stand-in/store",
        "#!/bin/sh\n\
         jq '. + {features: {\"containerd-snapshotter\": true}}' /etc/docker/daemon.json >/run/daemon.json\n",
    )?;
    guest.put(
        &bench.dir,
        "/etc/systemd/system/docker.service.d/store.conf",
        "[Service]\nExecStartPre=/srv/stand-in/store\nExecStart=\n\
         ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock --config-file=/run/daemon.json\n",
    )
}

/// The progress of the launch, in seconds since its start, with the bytes received so far.
struct Look {
    at: f64,
    bytes: f64,
    phase: String,
}

fn watch(guest: &Guest, begin: Instant, over: &AtomicBool) -> Vec<Look> {
    let mut looks = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let said = guest
            .ran(include_str!("look.sh"))
            .map(|ran| ran.stdout)
            .unwrap_or_default();
        let mut lines = said.lines();
        let bytes = lines.next().and_then(|line| line.parse().ok());
        if let (Some(bytes), Some(phase)) = (bytes, lines.next()) {
            let at = begin.elapsed().as_secs_f64();
            looks.push(Look {
                at,
                bytes,
                phase: phase.to_owned(),
            });
        }
        thread::sleep(Duration::from_secs(1));
    }
    looks
}

/// Prints how long each phase took, and how much of that the link was busy.
fn table(looks: &[Look], total: Duration, report: &str) -> Result<String> {
    let report: Value =
        serde_json::from_str(report).map_err(|error| format!("{error}: {report}"))?;
    let mut phases: Vec<(String, f64, f64)> = Vec::new();
    let (mut at, mut bytes) = (0.0, 0.0);
    for look in looks {
        if phases.last().is_none_or(|(name, ..)| *name != look.phase) {
            phases.push((look.phase.clone(), 0.0, 0.0));
        }
        if let Some((_, seconds, came)) = phases.last_mut() {
            *seconds += look.at - at;
            *came += look.bytes - bytes;
        }
        (at, bytes) = (look.at, look.bytes);
    }
    let mut text = String::from("phase            seconds  MB    link busy\n");
    for (name, seconds, came) in phases {
        let busy = 100.0 * came / BYTES_PER_SECOND / seconds;
        let _ = writeln!(
            text,
            "{name:16} {seconds:7.1}  {:4.0}  {busy:3.0}%",
            came / 1e6
        );
    }
    for step in report["result"]["did"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "  polis: {} {} s", step["step"], step["seconds"]);
    }
    let (total, alone) = (total.as_secs_f64(), bytes / BYTES_PER_SECOND);
    let _ = writeln!(
        text,
        "total {total:.1} s, the bytes alone {alone:.1} s: {:.2}",
        total / alone
    );
    Ok(text)
}
