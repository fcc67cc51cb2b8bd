//! Mutation fuzzing on the stable toolchain: inputs of a corpus, changed at random, for a parser
//! that must neither panic nor hang.
//!
//! Runs are bounded by their inputs and repeat from their seed, so that what fails in CI fails here.
//! `xtask/fuzz.sh` runs them by time and from other seeds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Sets the seed: a number.
pub const SEED: &str = "POLIS_FUZZ_SEED";
/// Runs each target for so many seconds, and not for a number of inputs.
pub const SECONDS: &str = "POLIS_FUZZ_SECONDS";
/// How long one input may take. Parsers answer within milliseconds, on a busy machine too.
const SLOWEST: Duration = Duration::from_secs(20);

/// Feeds `parse` with `inputs` inputs that are made from `corpus`: pieces are taken out, doubled, swapped with
/// those of another, and replaced by bytes, numbers and words of `words`.
///
/// # Panics
/// When `parse` panics or is slow; names the file that holds the input, and the seed. A parser that never
/// returns ends the process.
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

/// The input under way, and since when.
type Current = Option<(Instant, Vec<u8>)>;

/// Ends the process when one input takes too long.
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
        *self.0.lock().expect("nobody panics with it") = Some((Instant::now(), input.to_owned()));
    }

    fn end(&self) {
        *self.0.lock().expect("nobody panics with it") = None;
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

    /// Below `end`; 0 for 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A range of `bytes`, mostly a short one.
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
        // Growth upon growth would only make it slow.
        input.truncate(64 << 10);
        input
    }
}
