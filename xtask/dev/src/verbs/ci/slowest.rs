//! The slowest tests of a run, from the JUnit report that cargo-nextest writes.

use std::fmt::Write as _;

/// A test with its test program, and its duration in seconds.
pub(super) type Timed = (String, f64);

/// The `count` slowest tests in `report`, slowest first.
pub(super) fn slowest(report: &str, count: usize) -> Vec<Timed> {
    let cases = report.split("<testcase ").skip(1);
    let mut timed: Vec<Timed> = cases
        .filter_map(|case| {
            let tag = case.split('>').next()?;
            let name = format!(
                "{} {}",
                attribute(tag, "classname")?,
                attribute(tag, "name")?
            );
            Some((name, attribute(tag, "time")?.parse().ok()?))
        })
        .collect();
    timed.sort_by(|one, other| other.1.total_cmp(&one.1));
    timed.truncate(count);
    timed
}

/// The value of an attribute. Test names need no XML escapes.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = tag.split('"');
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        if key.trim().trim_end_matches('=') == name {
            return Some(value);
        }
    }
    None
}

/// One line per test.
pub(super) fn listed(timed: &[Timed]) -> String {
    let mut text = String::new();
    for (name, seconds) in timed {
        let _ = writeln!(text, "  {seconds:>7.1} s  {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0"?>
<testsuites name="nextest-run" time="9.9">
  <testsuite name="polis::it" tests="2">
    <testcase name="work::one" classname="polis::it" timestamp="2026-01-01T00:00:00Z" time="0.250">
    </testcase>
    <testcase name="work::two" classname="polis::it" time="12.5"><failure message="a &lt;testcase"/></testcase>
    <testcase name="without" classname="polis::it"></testcase>
  </testsuite>
</testsuites>"#;

    #[test]
    fn the_slowest_come_first() {
        let all = slowest(REPORT, 10);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["polis::it work::two", "polis::it work::one"]);
        assert_eq!(slowest(REPORT, 1).len(), 1);
        assert_eq!(
            listed(&slowest(REPORT, 1)),
            "     12.5 s  polis::it work::two\n"
        );
        assert!(slowest("", 3).is_empty());
    }
}
