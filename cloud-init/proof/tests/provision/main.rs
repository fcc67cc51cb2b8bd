//! Tests the provisioning by running it, unchanged and with each step broken, and prints how long each proof took.
//!
//! Has its own runner instead of the usual test harness: what all proofs share is set up before the first and removed after the last,
//! and only as many guests run at once as the machine has cores. Arguments that are not options select the proofs whose names
//! contain them.

mod broken;
mod drift;
mod keys;
mod killed;
mod proxy;
mod state;
mod vm;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use cloud_init_proof::engine::Engine;
use cloud_init_proof::runner::{self, Arguments};
use cloud_init_proof::{Result, document, guest, image};

/// The document under test. Another document than ours shows whether a proof would detect its faults.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../cloud-init.yaml");
    let path = std::env::var("POLIS_PROOF_DOCUMENT").unwrap_or_else(|_| ours.to_owned());
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
});

/// The value that the document pins as `name`: the proofs hold for any version.
fn pin(name: &str) -> String {
    document::pin(&DOCUMENT, name).unwrap_or_else(|error| panic!("{error}"))
}

/// The shared parts of all proofs.
struct Bench {
    image: image::Image,
    /// The document with the pins of the stand-ins.
    document: String,
    /// The same with limits of a few seconds.
    hasty: String,
    /// The directory of files to be copied into a guest.
    dir: PathBuf,
}

type Prove = Box<dyn Fn(&Bench) -> Result<()> + Send + Sync>;

/// A proof: its name and its function.
struct Case {
    name: String,
    prove: Prove,
}

fn main() -> ExitCode {
    // The longest one first, so that it does not run alone at the end.
    let mut cases = vm::cases();
    cases.extend(whole::cases());
    cases.extend(proxy::cases());
    cases.extend(killed::cases());
    cases.extend(broken::cases());
    let arguments = Arguments::read();
    cases.retain(|case| arguments.choose(&case.name));
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    // The repackaged programs are for amd64; for the document's other architecture, only the pins are checked.
    let missing = || runner::missing(&[]);
    let what = "proofs of the provisioning";
    arguments.main(what, &names, missing, || run(&cases))
}

/// Runs the proofs and returns how many failed.
fn run(cases: &[Case]) -> Result<usize> {
    let start = Instant::now();
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("proof");
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let _engine = Engine::new(&dir)?;
    guest::sweep()?;
    let image = image::prepare(&dir, &DOCUMENT)?;
    let document = document::with_pins(&DOCUMENT, &image.pins)?;
    let bench = Bench {
        hasty: document::with_short_limits(&document)?,
        document,
        image,
        dir,
    };
    println!(
        "{:7.1} s  set up the shared parts",
        start.elapsed().as_secs_f64()
    );
    let failed = Mutex::new(0);
    let next = Mutex::new(cases.iter());
    let workers = std::thread::available_parallelism().map_or(2, usize::from) + 2;
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let case = next.lock().expect("no worker has panicked").next();
                    let Some(case) = case else { break };
                    if !prove(case, &bench) {
                        *failed.lock().expect("no worker has panicked") += 1;
                    }
                }
            });
        }
    });
    println!(
        "{:7.1} s  all {} proofs",
        start.elapsed().as_secs_f64(),
        cases.len()
    );
    failed.into_inner().map_err(|error| error.to_string())
}

fn prove(case: &Case, bench: &Bench) -> bool {
    let start = Instant::now();
    let result = (case.prove)(bench);
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(()) => println!("{seconds:7.1} s  ok      {}", case.name),
        Err(error) => println!("{seconds:7.1} s  FAILED  {}\n{error}\n", case.name),
    }
    result.is_ok()
}

/// Returns an error unless `holds`.
fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(what()) }
}
