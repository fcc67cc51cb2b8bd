//! Pins that are right, and each way in which they can be wrong.

use super::*;

/// The script of a tree that downloads the two tools.
const SCRIPT: &str = "
      fetch ${PIN[DOCKER_KEY_URL]} ${PIN[DOCKER_KEY_FINGERPRINT]} ${PIN[DOCKER_REPO_URL]} ${PIN[DOCKER_REPO_SUITE]}
      fetch ${PIN[SYSBOX_VERSION]} ${PIN[SYSBOX_URL_$ARCH]} ${PIN[SYSBOX_SHA256_$ARCH]}
      fetch ${PIN[YQ_VERSION]} ${PIN[YQ_URL_$ARCH]} ${PIN[YQ_SHA256_$ARCH]} ${PIN[$name]}
";

fn document(change: impl Fn(String) -> String) -> Source {
    let mut lines = vec![
        "DOCKER_KEY_URL=https://d.example/ubuntu/gpg".to_owned(),
        format!("DOCKER_KEY_FINGERPRINT={}", "AB".repeat(20)),
        "DOCKER_REPO_URL=https://d.example/ubuntu".to_owned(),
        "DOCKER_REPO_SUITE=noble".to_owned(),
    ];
    for (tool, version) in [("sysbox", "0.7.1"), ("yq", "v4.44.6")] {
        lines.push(format!("{}_VERSION={version}", tool.to_ascii_uppercase()));
        for arch in ARCHITECTURES {
            let name = format!("{}_{}", "URL", arch.to_ascii_uppercase());
            lines.push(format!(
                "{}_{name}=https://g.example/{version}/{tool}_{arch}",
                tool.to_ascii_uppercase()
            ));
            lines.push(format!(
                "{}_SHA256_{}={}",
                tool.to_ascii_uppercase(),
                arch.to_ascii_uppercase(),
                Digest::of(arch.as_bytes()).hex()
            ));
        }
    }
    let body: String = lines
        .iter()
        .map(|line| format!("      {}\n", change(line.clone())))
        .collect();
    Source {
        path: CLOUD_INIT.to_owned(),
        text: format!(
            "write_files:\n  - path: {PINS_ENV}\n    content: |\n      # pins\n{body}  - path: /script\n    content: |{SCRIPT}runcmd: []\n"
        ),
    }
}

fn read_text(source: &Source) -> Result<Pins, Vec<Finding>> {
    read(source, &crate::yaml::parse(source).unwrap())
}

#[test]
fn reads_every_download_with_its_place() {
    let source = document(|line| line);
    let pins = read_text(&source).unwrap();
    assert_eq!(pins.downloads.len(), 4);
    let arm = &pins.downloads[3];
    assert_eq!(
        (arm.tool.as_str(), arm.architecture, arm.version.as_str()),
        ("yq", "arm64", "v4.44.6")
    );
    assert_eq!(
        arm.place.excerpt[arm.place.highlight.clone()],
        Digest::of(b"arm64").hex()
    );
}

/// Each way a pin can be wrong gives its own message at its own line.
#[test]
fn every_wrong_pin_is_a_finding() {
    let cases: [(&str, &str, &str); 11] = [
        (
            "DOCKER_REPO_SUITE=",
            "DOCKER_REPO_SUITE=../noble",
            "is not the code name of a release of Ubuntu",
        ),
        (
            "SYSBOX_SHA256_ARM64=",
            "",
            "`SYSBOX_SHA256_ARM64` is missing",
        ),
        (
            "SYSBOX_SHA256_AMD64=",
            "SYSBOX_SHA256_AMD64=abc",
            "is not 64 lower-case hex digits (it has 3 characters)",
        ),
        (
            "YQ_URL_ARM64=",
            "YQ_URL_ARM64=http://g.example/v4.44.6/yq_arm64",
            "is not an https URL",
        ),
        (
            "YQ_URL_ARM64=",
            "YQ_URL_ARM64=https://g.example/v4.44.6/yq_amd64",
            "does not name `arm64`",
        ),
        (
            "YQ_VERSION=",
            "YQ_VERSION=v4.44.7",
            "no URL is that of `v4.44.7`",
        ),
        (
            "DOCKER_KEY_FINGERPRINT=",
            "DOCKER_KEY_FINGERPRINT=AB",
            "is not 40 upper-case hex digits",
        ),
        (
            "DOCKER_KEY_URL=",
            "DOCKER_KEY_URI=https://d.example/gpg",
            "`DOCKER_KEY_URI` is not the name of a pin",
        ),
        (
            "DOCKER_REPO_URL=",
            "DOCKER_REPO_URL=\"https://d.example\"",
            "a value is plain text",
        ),
        ("YQ_VERSION=", "YQ_VERSION", "expected `NAME=value`"),
        (
            "YQ_VERSION=",
            "JQ_VERSION=v4.44.6",
            "`JQ_VERSION` is not a pin that the provisioning script reads",
        ),
    ];
    for (start, replacement, message) in cases {
        let source = document(|line| {
            if line.starts_with(start) {
                replacement.to_owned()
            } else {
                line
            }
        });
        let findings = read_text(&source).expect_err(replacement);
        let text: Vec<_> = findings
            .iter()
            .map(|finding| finding.message.as_str())
            .collect();
        assert!(
            text.iter().any(|found| found.contains(message)),
            "{message}: {text:?}"
        );
    }
}

/// Which downloads there are is told by the lines and by the script: neither may know one that the other does not.
#[test]
fn the_script_and_the_lines_know_the_same_downloads() {
    let source = document(|line| line);
    let with = |from: &str, to: &str| {
        let text = source.text.replacen(from, to, 1);
        assert_ne!(text, source.text, "{from}");
        let source = Source {
            text,
            ..source.clone()
        };
        let findings = read_text(&source).expect_err(to);
        let messages = findings.into_iter().map(|finding| finding.message);
        messages.collect::<Vec<_>>().join("\n")
    };
    let unread = with("${PIN[YQ_SHA256_$ARCH]}", "");
    for name in ["YQ_SHA256_AMD64", "YQ_SHA256_ARM64"] {
        let expected = format!("`{name}` is not a pin that the provisioning script reads");
        assert!(unread.contains(&expected), "{unread}");
    }
    let unpinned = with(
        "${PIN[YQ_VERSION]}",
        "${PIN[YQ_VERSION]} ${PIN[JQ_VERSION]}",
    );
    for name in ["JQ_VERSION", "JQ_URL_AMD64", "JQ_SHA256_ARM64"] {
        let expected = format!("`{name}` is missing");
        assert!(unpinned.contains(&expected), "{unpinned}");
    }
    let nameless = with("${PIN[YQ_VERSION]}", "${PIN[YQ_VERSION]} ${PIN[JQ]}");
    assert!(nameless.contains("the script reads `JQ`"), "{nameless}");
}

#[test]
fn a_missing_entry_is_a_finding() {
    let source = Source {
        path: CLOUD_INIT.to_owned(),
        text: "packages: [jq]\n".to_owned(),
    };
    assert_eq!(
        read_text(&source).expect_err("no entry")[0].rule,
        "pins-missing"
    );
}
