//! Mutation fuzzing on the stable toolchain: random changes to the inputs of a corpus, for parsers that must neither
//! panic nor hang.
//!
//! A run is bounded by its number of inputs and reproducible from its seed, so that a failure in CI can be repeated.
//! `xtask/fuzz.sh` runs the fuzzers by time and from random seeds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The environment variable with the seed, a number.
pub const SEED: &str = "POLIS_FUZZ_SEED";
/// The environment variable with the seconds to run each target for, instead of a number of inputs.
pub const SECONDS: &str = "POLIS_FUZZ_SECONDS";
/// The time limit for one input. Parsers answer within milliseconds, even on a busy machine.
const SLOWEST: Duration = Duration::from_secs(20);

/// Calls `parse` with `inputs` inputs derived from `corpus`: pieces are removed, doubled, swapped with those of another
/// input, or replaced by bytes, numbers and `words`.
///
/// # Panics
/// If `parse` panics or is slow. The message names the file that holds the input, and the seed. A parser that never
/// returns aborts the process.
pub fn fuzz(name: &str, corpus: &[Vec<u8>], words: &[&str], inputs: usize, parse: impl Fn(&[u8])) {
    assert!(!corpus.is_empty(), "{name}: the corpus is empty");
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number(SEED).unwrap_or(1);
    let until = number(SECONDS).map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut random = Random(seed);
    let watched = Watch::start(name.to_owned(), seed);
    let mut done = 0_usize;
    while until.map_or(done < inputs, |until| Instant::now() < until) {
        let input = match corpus.get(done) {
            Some(input) => input.clone(),
            None => random.mutated(corpus, words),
        };
        watched.begin(&input);
        let parsed = catch_unwind(AssertUnwindSafe(|| parse(&input)));
        watched.end();
        if parsed.is_err() {
            panic!("{}", kept(name, seed, &input, "panicked"));
        }
        done += 1;
    }
    eprintln!("fuzz {name}: {done} inputs from seed {seed}");
}

fn kept(name: &str, seed: u64, input: &[u8], how: &str) -> String {
    let path = std::env::temp_dir().join(format!("polis-fuzz-{name}-{}", std::process::id()));
    let written = std::fs::write(&path, input);
    format!(
        "{name} {how}: seed {seed}, input in {} ({written:?})",
        path.display()
    )
}

/// The current input, and when it started.
type Current = Option<(Instant, Vec<u8>)>;

/// Aborts the process if one input takes too long.
struct Watch(Arc<Mutex<Current>>);

impl Watch {
    fn start(name: String, seed: u64) -> Self {
        let current = Arc::<Mutex<Current>>::default();
        let seen = Arc::downgrade(&current);
        std::thread::spawn(move || {
            while let Some(current) = seen.upgrade() {
                if let Ok(current) = current.lock()
                    && let Some((begun, input)) = &*current
                    && begun.elapsed() > SLOWEST
                {
                    eprintln!("{}", kept(&name, seed, input, "hangs"));
                    std::process::abort();
                }
                drop(current);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self(current)
    }

    fn begin(&self, input: &[u8]) {
        *self.0.lock().expect("not poisoned") = Some((Instant::now(), input.to_owned()));
    }

    fn end(&self) {
        *self.0.lock().expect("not poisoned") = None;
    }
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0 if `end` is 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A range of `bytes`, usually a short one.
    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let start = self.below(bytes.len() + 1);
        let longest = if self.below(4) == 0 { bytes.len() } else { 16 };
        let end = start + self.below(longest + 1);
        start..end.min(bytes.len())
    }

    fn mutated(&mut self, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        const WORDS: [&str; 24] = [
            "",
            "\n",
            "\r\n",
            "\t",
            " ",
            "  ",
            "\"",
            "'",
            "\\",
            "\0",
            "é",
            "\u{202e}",
            "\u{1b}[",
            "$",
            "${",
            "}",
            "@",
            ":",
            "#",
            "- ",
            "[",
            "{",
            "18446744073709551615",
            "-1",
        ];
        let mut input = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            let range = self.range(&input);
            let piece = match self.below(7) {
                0 => Vec::new(),
                1 => vec![u8::try_from(self.below(256)).unwrap_or(0)],
                2 => input[range.clone()].repeat(2 + self.below(8)),
                3 => {
                    let other = &corpus[self.below(corpus.len())];
                    other[self.range(other)].to_owned()
                }
                4 => self.pick(&WORDS).repeat(1 + self.below(200)).into_bytes(),
                5 if !words.is_empty() => self.pick(words).as_bytes().to_owned(),
                _ => self.pick(&WORDS).as_bytes().to_owned(),
            };
            input.splice(range, piece);
        }
        // Repeated growth would only slow it down.
        input.truncate(64 << 10);
        input
    }
}
