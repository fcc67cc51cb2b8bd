//! Findings as SARIF 2.1.0, for GitHub code scanning and editors.
//!
//! Paths are relative to the top of the repository, and columns count characters, which SARIF calls
//! `unicodeCodePoints`. Fingerprints do not depend on line numbers: inserting lines above a finding does not close and
//! reopen its alert.

use std::collections::BTreeMap;

use polis_base::Digest;
use serde_json::{Value, json};

use super::Report;
use crate::error::{Error, Outcome};
use crate::finding::{Finding, Severity};
use crate::source::Place;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The name of the fingerprint that GitHub code scanning compares.
const FINGERPRINT: &str = "primaryLocationLineHash";

/// The log of a verb that ran to completion.
pub(crate) fn of_report(report: &Report) -> Value {
    log(report.verb, report.outcome(), &report.findings, &[])
}

/// The log of a verb that failed.
pub(crate) fn of_error(verb: &str, error: &Error) -> Value {
    let said = [vec![error.message.clone()], error.causes.clone()].concat();
    let notification = json!({
        "level": "error",
        "message": {"text": said.join(": ")},
    });
    log(verb, error.outcome, &error.findings, &[notification])
}

fn log(verb: &str, outcome: Outcome, findings: &[Finding], notifications: &[Value]) -> Value {
    let rules = rules(findings);
    let mut seen = BTreeMap::new();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let index = rules.iter().position(|rule| rule.rule == finding.rule);
            result(finding, index.unwrap_or_default(), &mut seen)
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "cargo xtask",
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|finding| rule(finding)).collect::<Vec<_>>(),
            }},
            // Each verb has its own category: uploading the findings of one does not close the alerts of another.
            "automationDetails": {"id": format!("{verb}/")},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "the top of the repository"}}},
            "invocations": [{
                "executionSuccessful": notifications.is_empty(),
                "exitCode": outcome.code(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

/// The first finding of each rule, sorted by rule.
fn rules(findings: &[Finding]) -> Vec<&Finding> {
    let mut rules: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in findings {
        rules.entry(finding.rule).or_insert(finding);
    }
    rules.into_values().collect()
}

fn rule(finding: &Finding) -> Value {
    let mut rule = json!({
        "id": finding.rule,
        "shortDescription": {"text": finding.rule.replace('-', " ")},
        "defaultConfiguration": {"level": level(finding.severity)},
    });
    if let Some(help) = &finding.help {
        rule["help"] = json!({"text": help});
    }
    rule
}

fn result(finding: &Finding, index: usize, seen: &mut BTreeMap<Digest, usize>) -> Value {
    let message = match &finding.help {
        Some(help) => format!("{}\n{help}", finding.message),
        None => finding.message.clone(),
    };
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": {"text": message},
        "partialFingerprints": {FINGERPRINT: fingerprint(finding, seen)},
    });
    if let Some(place) = &finding.place {
        result["locations"] = json!([{"physicalLocation": {
            "artifactLocation": {"uri": uri(&place.path), "uriBaseId": "%SRCROOT%"},
            "region": region(place),
        }}]);
    }
    result
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn region(place: &Place) -> Value {
    json!({
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.line,
        "endColumn": place.end_column(),
        "snippet": {"text": place.excerpt},
    })
}

/// A hash of the rule, the text of the line without indentation, and how many equal ones came before.
fn fingerprint(finding: &Finding, seen: &mut BTreeMap<Digest, usize>) -> String {
    let place = finding.place.as_ref();
    let path = place.map_or("", |place| place.path.as_str());
    let text = place.map_or(finding.message.as_str(), |place| place.excerpt.trim());
    let digest = Digest::of(format!("{}\0{path}\0{text}", finding.rule).as_bytes());
    let before = seen.entry(digest).or_insert(0);
    *before += 1;
    format!("{}:{before}", &digest.hex()[..16])
}

/// A path as a relative URI reference.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
