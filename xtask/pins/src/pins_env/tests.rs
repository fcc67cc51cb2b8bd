//! Valid pins, and one finding for each way in which they can be invalid.

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
fn reads_every_download_with_its_location() {
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

#[test]
fn every_invalid_pin_is_a_finding() {
    let cases: [(&str, &str, &str); 11] = [
        (
            "DOCKER_REPO_SUITE=",
            "DOCKER_REPO_SUITE=../noble",
            "expected the code name of an Ubuntu release",
        ),
        (
            "SYSBOX_SHA256_ARM64=",
            "",
            "`SYSBOX_SHA256_ARM64` is missing",
        ),
        (
            "SYSBOX_SHA256_AMD64=",
            "SYSBOX_SHA256_AMD64=abc",
            "expected 64 lower-case hex digits, found 3 characters",
        ),
        (
            "YQ_URL_ARM64=",
            "YQ_URL_ARM64=http://g.example/v4.44.6/yq_arm64",
            "expected an https URL",
        ),
        (
            "YQ_URL_ARM64=",
            "YQ_URL_ARM64=https://g.example/v4.44.6/yq_amd64",
            "does not contain its architecture, `arm64`",
        ),
        (
            "YQ_VERSION=",
            "YQ_VERSION=v4.44.7",
            "neither URL of `yq` is for version `v4.44.7`",
        ),
        (
            "DOCKER_KEY_FINGERPRINT=",
            "DOCKER_KEY_FINGERPRINT=AB",
            "expected 40 upper-case hex digits",
        ),
        (
            "DOCKER_KEY_URL=",
            "DOCKER_KEY_URI=https://d.example/gpg",
            "`DOCKER_KEY_URI` does not name a pin",
        ),
        (
            "DOCKER_REPO_URL=",
            "DOCKER_REPO_URL=\"https://d.example\"",
            "expected plain text",
        ),
        ("YQ_VERSION=", "YQ_VERSION", "expected `NAME=value`"),
        (
            "YQ_VERSION=",
            "JQ_VERSION=v4.44.6",
            "the provisioning script does not read `JQ_VERSION`",
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

#[test]
fn the_script_and_pins_env_name_the_same_downloads() {
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
        let expected = format!("the provisioning script does not read `{name}`");
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

/// A version that was changed alone causes one finding, and not one more per URL.
#[test]
fn findings_name_the_next_command() {
    let help = |from: &str, to: &str| {
        let source = document(|line| line);
        let source = Source {
            text: source.text.replacen(from, to, 1),
            ..source
        };
        let findings = read_text(&source).expect_err(to);
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings[0].help.clone().unwrap_or_default()
    };
    assert_eq!(
        help("YQ_VERSION=v4.44.6", "YQ_VERSION=v4.44.7"),
        "restore the version, then run `cargo xtask update yq v4.44.7`: it changes version, URLs and checksums together"
    );
    let sum = Digest::of(b"arm64").hex();
    assert_eq!(
        help(&format!("YQ_SHA256_ARM64={sum}"), "YQ_SHA256_ARM64=abc"),
        "compute it with `curl -fsSL https://g.example/v4.44.6/yq_arm64 | sha256sum`"
    );
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
