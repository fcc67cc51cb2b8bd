//! What a manifest may contain, and the errors for anything else.

use super::*;

/// A manifest like upstream's `openclaw`, with every possible key.
pub(crate) const FULL: &str = include_str!("openclaw.yaml");

/// The manifest with `old` replaced.
fn edited(old: &str, new: &str) -> Result<Manifest, ManifestError> {
    assert_eq!(FULL.matches(old).count(), 1, "{old}");
    Manifest::parse(&FULL.replace(old, new))
}

fn told(old: &str, new: &str) -> String {
    let wrong = edited(old, new).expect_err(new);
    match wrong.at {
        Some((line, column)) => format!("{line}:{column}: {}", wrong.reason),
        None => wrong.reason,
    }
}

#[test]
fn errors_have_a_position() {
    let shown: Vec<String> = [
        ("  install: install.sh", "  instal: install.sh"),
        ("kind: AgentPlugin", "kind: AgentPlugins"),
        ("    user: polis", "    user: Polis!"),
        ("interval: 30s", "interval: 30"),
        ("container: 18789", "container: 80"),
        ("  version: \"1.0.0\"\n", ""),
        ("memoryLimit: 6G", "memoryLimit: lots"),
        ("protectSystem: strict", "protectSystem: stritc"),
        ("    noNewPrivileges: true", "    noNewPrivileges: perhaps"),
        ("  name: openclaw", "  name: ../x"),
        ("  name: openclaw", "  name: docker"),
        ("    workdir: /app", "    workdir: /app\n    privileged: true"),
        ("    - BRAVE_SEARCH_API_KEY", "    - BRAVE-KEY"),
        ("retries: 5", "retries: 500"),
        ("  packaging: script", "  packaging: [script"),
        ("  packaging: script", "  packaging: script\n  packaging: script"),
        (
            "      containerPath: /home/polis/.openclaw",
            "      containerPath: /home/polis/.openclaw\n    - name: data\n      containerPath: /home/polis/x",
        ),
    ]
    .iter()
    .map(|(old, new)| told(old, new))
    .collect();
    expect_test::expect![[r#"
        17:3: unknown key `instal`; did you mean `install`?
        2:7: unknown value `AgentPlugins`; did you mean `AgentPlugin`?
        22:11: invalid user name `Polis!`
        32:15: invalid duration `30`: expected 1s to 1h, such as `30s` or `2m30s`
        48:18: invalid port 80: expected 1024 to 65535
        11:3: missing key `version`
        53:18: invalid memory size `lots`: expected 16M to 1024G, such as `512M` or `2G`
        38:20: unknown value `stritc`; did you mean `strict`?
        42:22: invalid boolean
        5:9: invalid name `../x`: expected up to 40 of a-z, 0-9 and -, starting with a letter
        5:9: the name `docker` is reserved for a part of the workspace
        22:5: unknown key `privileged`; expected one of command, workdir, user, envFile, env
        62:9: invalid variable name `BRAVE-KEY`
        34:14: invalid u8
        16:14: externally tagged enum expected scalar or mapping
        17:3: duplicate mapping key: packaging
        spec.persistence: `data` is listed twice"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn a_volume_is_below_the_home_and_not_shared_with_others() {
    let path = |path: &str| {
        edited(
            "containerPath: /home/polis/.openclaw",
            &format!("containerPath: {path}"),
        )
    };
    for good in [
        "/home/polis/.x",
        "/home/polis/a/b",
        "/home/polis/.config/x",
        "/home/polis/.x/",
    ] {
        assert!(path(good).is_ok(), "{good}");
    }
    for bad in [
        "/home/polis",
        "/home/polis/",
        "/home",
        "/",
        "/root/.ssh",
        "/run",
        "/etc/systemd/system",
        "/usr/local/share/ca-certificates",
        "/var/lib/docker",
        "/opt/agents/openclaw",
        "/home/polis/../x",
        "/home/polis/./x",
        "/home//polis/x",
        "/home/polis/.ssh",
        "/home/polis/.config",
        "/home/polis/.config/gcloud/x",
        "home/polis/x",
        "\"/home/polis/x:rw\"",
        "\"/home/polis/${HOME}\"",
        "\"/home/polis/x y\"",
        "/home/polisher/x",
    ] {
        assert!(path(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_command_starts_with_the_path_of_a_program() {
    for bad in [
        "sh -c x",
        "+/bin/sh",
        "-/bin/sh",
        "!/bin/sh",
        "@/bin/sh x",
        "",
        "'/bin/sh",
        "\"'+/bin/sh'\"",
        "./x",
    ] {
        let command = |text: &str| format!("    command: {text:?}");
        let old = FULL
            .lines()
            .find(|line| line.starts_with("    command: \"/usr"))
            .unwrap();
        assert!(edited(old, &command(bad)).is_err(), "{bad}");
    }
    let words = crate::agent::text::Command::try_from("/bin/sh -c 'a b' \"c d\" e\\ f".to_owned());
    assert_eq!(words.unwrap().0, ["/bin/sh", "-c", "a b", "c d", "e f"]);
}

#[test]
fn a_file_that_would_take_long_to_parse_is_refused() {
    let anchors = "a: &a [x]\n".repeat(10_000);
    assert!(
        Manifest::parse(&anchors)
            .unwrap_err()
            .reason
            .contains("64 KiB")
    );
    let nested = format!("spec: {}", "[".repeat(30_000));
    assert!(Manifest::parse(&nested).is_err());
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            before.trim_end_matches(", ")
        ));
    }
    let begun = std::time::Instant::now();
    assert!(Manifest::parse(&bomb).is_err());
    assert!(begun.elapsed().as_secs() < 5);
}

/// Every object of the schema lists exactly the keys that the types accept.
#[test]
fn the_schema_lists_the_keys_of_the_types() {
    let schema = include_str!("../../../../schemas/agent.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let full: serde_json::Value = serde_saphyr::from_str(FULL).unwrap();
    assert!(validator.is_valid(&full));
    let mut seen = 0;
    let mut left = vec![(String::new(), full.clone(), schema.clone())];
    while let Some((place, value, schema)) = left.pop() {
        if let Some(items) = value.as_array() {
            if let Some(first) = items.first().filter(|first| first.is_object()) {
                left.push((format!("{place}/0"), first.clone(), schema["items"].clone()));
            }
            continue;
        }
        let (Some(object), Some(listed)) = (value.as_object(), schema["properties"].as_object())
        else {
            continue;
        };
        let mut broken = full.clone();
        broken.pointer_mut(&place).unwrap()["zzz"] = serde_json::Value::Null;
        assert!(!validator.is_valid(&broken), "{place}");
        let error = serde_saphyr::from_str::<Manifest>(&broken.to_string()).unwrap_err();
        let serde_saphyr::Error::SerdeUnknownField { expected, .. } = error.without_snippet()
        else {
            panic!("{place}: {error}");
        };
        let taken: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(
            taken,
            listed.keys().map(String::as_str).collect(),
            "{place}"
        );
        // The manifest has all of its parts, so that everything below is checked.
        assert_eq!(taken.len(), object.len(), "{place}");
        seen += 1;
        for (key, below) in object {
            left.push((format!("{place}/{key}"), below.clone(), listed[key].clone()));
        }
    }
    assert_eq!(seen, 12);
}
