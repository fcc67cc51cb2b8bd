//! Our schema and rules reject everything that cloud-init's own validator rejects, tested on thousands of documents
//! that differ from ours by a few mistakes.
//!
//! Comparing schemas is not enough, because we read YAML 1.2 and cloud-init reads YAML 1.1.

mod mutants;
mod official;

use std::collections::HashSet;
use std::time::Instant;

use mutants::{Doc, Mutant, Random};
use official::{Multipass, Official};
use serde_json::Value as Json;
use xtask_check::schema::Schema;
use xtask_check::{CLOUD_CONFIG_SCHEMA, cloud_init};
use xtask_host::finding::any_error;
use xtask_host::source::Source;
use xtask_pins::yaml;

const CLOUD_INIT: &str = "cloud-init/cloud-init.yaml";
/// Fixed, so that every machine tests the same documents. For a longer search, set `POLIS_MUTANTS_SEED`.
const SEED: usize = 2026;
/// The number of documents, unless `POLIS_MUTANTS` is set.
const DOCUMENTS: usize = 3000;

/// Our validators, in the order in which they run.
struct Ours {
    schema: Schema,
}

/// The first of our validators that rejects a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Parser,
    Schema,
    Rules,
}

impl Ours {
    fn new() -> Self {
        let source = Source::read(&xtask_testkit::repository(), CLOUD_CONFIG_SCHEMA);
        let schema = Schema::parse(&source.expect("our schema")).expect("a schema");
        Self { schema }
    }

    fn refusal(&self, document: &str) -> Option<Refusal> {
        let source = Source {
            path: CLOUD_INIT.to_owned(),
            text: document.to_owned(),
        };
        let Ok(root) = yaml::parse(&source) else {
            return Some(Refusal::Parser);
        };
        if any_error(&self.schema.check(&source, &root)) {
            Some(Refusal::Schema)
        } else if any_error(&cloud_init::check(&source, &root)) {
            Some(Refusal::Rules)
        } else {
            None
        }
    }
}

fn ours() -> Source {
    Source::read(&xtask_testkit::repository(), CLOUD_INIT).expect("our user-data")
}

/// Our document with long files shortened, because mistakes inside a file's content prove nothing.
fn base() -> Doc {
    let source = ours();
    let root = yaml::parse(&source).expect("our user-data is YAML");
    let mut base = Doc::read(&root, &source.text);
    let Doc::Map(entries) = &mut base else {
        panic!("our user-data is a map")
    };
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("packages", Doc::Seq(packages)) => packages.truncate(3),
            ("write_files", Doc::Seq(files)) => files.iter_mut().for_each(shorten),
            _ => {}
        }
    }
    base
}

fn shorten(file: &mut Doc) {
    let Doc::Map(entries) = file else { return };
    for (key, value) in entries {
        let Doc::Scalar(text) = value else { continue };
        // Our rules read the pins and daemon.json, and need all of them.
        if key == "content" && !text.contains("_SHA256_AMD64=") && !text.starts_with("|\n{") {
            // A rule compares what the script reads with what is pinned.
            let reads = |line: &&str| line.contains("{PIN[");
            let lines = text.lines().take(3);
            *text = lines
                .chain(text.lines().skip(3).filter(reads))
                .map(|line| format!("{line}\n"))
                .collect();
        }
    }
}

fn number(variable: &str, default: usize) -> usize {
    let given = std::env::var(variable).ok();
    given.map_or(default, |given| given.parse().expect(variable))
}

/// Different mutants, as many as requested, with their documents.
fn mutants(base: &Doc) -> Vec<(Mutant, String)> {
    let count = number("POLIS_MUTANTS", DOCUMENTS);
    let seed = u64::try_from(number("POLIS_MUTANTS_SEED", SEED));
    let mut random = Random::new(seed.expect("64 bits suffice"));
    let mut seen = HashSet::from([base.document()]);
    let mut mutants = Vec::new();
    while mutants.len() < count {
        let mutant = Mutant::new(&mut random);
        let document = mutant.document(base);
        if seen.insert(document.clone()) {
            mutants.push((mutant, document));
        }
    }
    mutants
}

/// The lines of `document` that are not in `base`, and the reverse.
fn difference(base: &str, document: &str) -> String {
    let only = |sign: &str, of: &str, not: &str| -> String {
        let not: Vec<&str> = not.split('\n').collect();
        let lines = of.split('\n').filter(|line| !not.contains(line));
        lines.map(|line| format!("  {sign} {line:?}\n")).collect()
    };
    only("-", base, document) + &only("+", document, base)
}

/// The smallest mutant that is still a violation, found by leaving out mistakes.
fn smallest(
    base: &Doc,
    mutant: &Mutant,
    violates: &dyn Fn(&[String]) -> Vec<Option<String>>,
) -> (String, String) {
    let mut candidates: Vec<String> = mutant
        .smaller()
        .iter()
        .map(|less| less.document(base))
        .collect();
    candidates.push(mutant.document(base));
    let whys = violates(&candidates);
    let first = candidates
        .into_iter()
        .zip(whys)
        .find_map(|(document, why)| Some((document, why?)));
    first.expect("the mutant itself is a violation")
}

#[test]
fn we_reject_everything_that_cloud_init_rejects() {
    let Some(official) = Official::find() else {
        return;
    };
    let ours = Ours::new();
    let base = base();
    both_accept_what_we_start_from(&official, &ours, &base);

    let mutants = mutants(&base);
    let documents: Vec<String> = mutants
        .iter()
        .map(|(_, document)| document.clone())
        .collect();
    let start = Instant::now();
    let theirs = official.judge(&documents, false);
    let their_time = start.elapsed();
    let start = Instant::now();
    let verdicts: Vec<Both> = documents
        .iter()
        .zip(theirs)
        .map(|(document, their)| Both {
            they_refuse: their.refused.is_some(),
            we_refuse: ours.refusal(document),
        })
        .collect();
    let our_time = start.elapsed();
    println!(
        "cloud-init {} in {their_time:.1?}, we in {our_time:.1?}",
        official.version
    );
    can_fail(&verdicts);

    let violates = |documents: &[String]| -> Vec<Option<String>> {
        let verdicts = official.judge(documents, false).into_iter();
        let pairs = verdicts.zip(documents);
        pairs
            .map(|(verdict, document)| verdict.refused.filter(|_| ours.refusal(document).is_none()))
            .collect()
    };
    let violations: Vec<&Mutant> = mutants
        .iter()
        .zip(&verdicts)
        .filter(|(_, both)| both.they_refuse && both.we_refuse.is_none())
        .map(|((mutant, _), _)| mutant)
        .collect();
    report(&base, &violations, &violates);
}

/// The verdicts of both sides on a document.
#[derive(Debug, Clone, Copy)]
struct Both {
    they_refuse: bool,
    we_refuse: Option<Refusal>,
}

/// The oracle calls the validator's function; the program itself must agree.
fn both_accept_what_we_start_from(official: &Official, ours: &Ours, base: &Doc) {
    let good = [self::ours().text, base.document()];
    for (verdict, document) in official.judge(&good, false).iter().zip(&good) {
        assert_eq!(verdict.refused, None, "refused by cloud-init");
        assert_eq!(ours.refusal(document), None, "refused by us");
    }
    assert_eq!(official.program(&good[0]).code, 0, "the program agrees");
    let bad = "#cloud-config\nruncmd: {}\n";
    assert_ne!(official.program(bad).code, 0, "the program agrees");
}

/// Proves that this test can fail: each side must reject many documents and accept many, and without our schema, or
/// without our rules, there must be violations.
fn can_fail(verdicts: &[Both]) {
    let count =
        |wanted: &dyn Fn(&Both) -> bool| verdicts.iter().filter(|both| wanted(both)).count();
    let they = count(&|both| both.they_refuse);
    let we = count(&|both| both.we_refuse.is_some());
    let neither = count(&|both| !both.they_refuse && both.we_refuse.is_none());
    let total = verdicts.len();
    println!("of {total} documents they refuse {they}, we refuse {we}, and both accept {neither}");
    let share = |part: usize, percent: usize| part * 100 >= total * percent;
    assert!(share(they, 30) && share(total - they, 10));
    assert!(share(we, 30) && share(total - we, 5));
    for by in [Refusal::Parser, Refusal::Schema, Refusal::Rules] {
        let ours = count(&|both| both.we_refuse == Some(by));
        let needed = count(&|both| both.they_refuse && both.we_refuse == Some(by));
        println!("{by:?}: the first of ours to refuse {ours}, of which they refuse {needed}");
        assert!(needed > 0, "without it nothing would be missed");
    }
}

/// Fails with the smallest documents if there is a violation.
fn report(base: &Doc, violations: &[&Mutant], violates: &dyn Fn(&[String]) -> Vec<Option<String>>) {
    if violations.is_empty() {
        return;
    }
    let mut shown: Vec<(String, String)> = violations
        .iter()
        .take(40)
        .map(|mutant| smallest(base, mutant, violates))
        .collect();
    shown.sort_by_key(|(document, _)| difference(&base.document(), document).len());
    shown.dedup();
    let list = shown
        .iter()
        .map(|(document, why)| format!("{}  {why}\n", difference(&base.document(), document)));
    panic!(
        "{} documents that cloud-init refuses are accepted by us; the smallest, whole, and how each differs from\n\
         ours:\n{}\n{}",
        violations.len(),
        shown[0].0,
        list.collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn accepted_documents_arrive_unchanged() {
    let (Some(official), Some(multipass)) = (Official::find(), Multipass::build()) else {
        return;
    };
    let judges = Ours::new();
    let base = base();
    let accepted: Vec<String> = mutants(&base)
        .into_iter()
        .map(|(_, document)| document)
        .chain([ours().text, base.document()])
        .filter(|document| judges.refusal(document).is_none())
        .collect();
    let arrived: Vec<String> = multipass
        .pass("launch", &accepted)
        .into_iter()
        .map(|arrived| arrived.unwrap_or_else(|| "Multipass refuses to launch".to_owned()))
        .collect();
    let verdicts = official.judge(&arrived, true);
    let mut violations = Vec::new();
    for (document, verdict) in accepted.iter().zip(verdicts) {
        let expected = expected_reading(document);
        let why = verdict.refused.or_else(|| {
            (verdict.reading != expected).then(|| format!("reads as {}", verdict.reading))
        });
        violations.extend(why.map(|why| {
            let difference = difference(&base.document(), document);
            format!("{difference}  {why}\n")
        }));
    }
    println!("{} accepted documents arrive", accepted.len());
    violations.sort_by_key(String::len);
    assert!(
        violations.is_empty(),
        "{}:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

/// What the guest must read: what we read, with the modes as they are spelled, and what Multipass adds.
fn expected_reading(document: &str) -> Json {
    let source = Source {
        path: CLOUD_INIT.to_owned(),
        text: document.to_owned(),
    };
    let root = yaml::parse(&source).expect("it was parsed before");
    let mut expected = root.to_json();
    let packages = expected["packages"].as_array_mut().expect("packages");
    packages.push(Json::from("pollinate"));
    let files = root.get("write_files").expect("files").items();
    for (at, file) in files.iter().enumerate() {
        if let Some(mode) = file.get("permissions") {
            let spelled = source.text[mode.span.clone()].trim();
            expected["write_files"][at]["permissions"] = Json::from(spelled);
        }
    }
    expected
}
