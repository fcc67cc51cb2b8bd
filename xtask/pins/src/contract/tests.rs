//! The strict reader: a small contract, and one thing wrong in it at a time.

use super::*;
use xtask_host::finding::Finding;

const WHOLE: &str = "image: v.example/o/a
sources:
  here: a Dockerfile
  base: its base image
platforms:
  here: [linux/amd64]
user:
  here: 65532
entrypoint:
  here: [/usr/bin/a, -x]
programs:
  here: [/usr/bin/a, /usr/local/bin/b]
  base: [bash]
without:
  base: [grep]
paths:
  here:
    - {path: /etc/a.conf, kind: config, read_by: a}
    - {path: /usr/lib/m.so, kind: module}
environment:
  here: [{name: A_B, read_by: /usr/lib/m.so}]
users:
  base: {nonroot: 65532}
digests:
  here: {repository: o/r, asset: digests.json}
signature:
  here: {identity: ^https://h/o/r$, issuer: https://i.example, cosign: 3}
";

fn parsed(text: &str) -> std::result::Result<Contract, Vec<Finding>> {
    Contract::parse(Source {
        path: "compose/images/a.yaml".to_owned(),
        text: text.to_owned(),
    })
}

#[test]
fn reads_every_fact_with_its_source_and_location() {
    let contract = parsed(WHOLE).expect("a contract");
    assert_eq!(contract.name(), "a");
    assert_eq!(contract.image, "v.example/o/a");
    assert_eq!((contract.place.line, contract.place.column), (1, 8));
    assert_eq!(contract.platforms[0].value, "linux/amd64");
    let user = contract.user.as_ref().expect("a user");
    assert_eq!((user.value, user.from.as_str()), (65532, "here"));
    let entrypoint = contract.entrypoint.as_ref().expect("an entry point");
    assert_eq!(entrypoint.value, ["/usr/bin/a", "-x"]);
    assert_eq!(contract.command, None);
    let module = contract.path("/usr/lib/m.so").expect("a module");
    assert_eq!(module.value.kind, PathKind::Module);
    assert_eq!(module.place.line, 19);
    assert_eq!(contract.environment[0].value.name, "A_B");
    assert_eq!(contract.users[0].value.uid, 65532);
    assert_eq!(contract.describe("base"), Some("its base image"));
    let digests = contract.digests.expect("a list of digests").value;
    assert_eq!(
        (&*digests.repository, &*digests.asset),
        ("o/r", "digests.json")
    );
    let signature = contract.signature.expect("a signature").value;
    let signer = Signer::Keyless {
        identity: "^https://h/o/r$".to_owned(),
        issuer: "https://i.example".to_owned(),
    };
    assert_eq!((signature.signer, signature.cosign), (signer, Some(3)));
}

#[test]
fn a_signer_may_be_a_key_of_the_tree() {
    let keyless = "{identity: ^https://h/o/r$, issuer: https://i.example, cosign: 3}";
    for (key, path, logged) in [
        ("{key: keys/a.pub}", "keys/a.pub", true),
        ("{key: a.pub, logged: true}", "a.pub", true),
        ("{key: a.pub, logged: false}", "a.pub", false),
    ] {
        let contract = parsed(&WHOLE.replacen(keyless, key, 1)).expect(key);
        let signature = contract.signature.expect("a signature").value;
        let signer = Signer::Key {
            path: path.to_owned(),
            logged,
        };
        assert_eq!(
            (signature.signer, signature.cosign),
            (signer, None),
            "{key}"
        );
    }
}

#[test]
fn the_facts_about_a_publisher_must_be_complete() {
    let keyless = "{identity: ^https://h/o/r$, issuer: https://i.example, cosign: 3}";
    for signature in [
        "{}",
        "{identity: ^a$}",
        "{issuer: https://i.example}",
        "{identity: a, issuer: https://i.example}",
        "{identity: ^a, issuer: https://i.example}",
        "{identity: ^$, issuer: https://i.example}",
        "{identity: ^a$, issuer: http://i.example}",
        "{identity: ^a$, issuer: https://i.example, key: a.pub}",
        "{identity: ^a$, issuer: https://i.example, logged: false}",
        "{key: /a.pub}",
        "{key: ../a.pub}",
        "{key: a/../../b.pub}",
        "{key: 'env://A'}",
        "{key: a.pub, issuer: https://i.example}",
        "{key: a.pub, logged: no}",
        "{key: a.pub, cosign: '3'}",
        "{key: a.pub, cosign: -1}",
        "{key: a.pub, tlog: false}",
    ] {
        let findings = parsed(&WHOLE.replacen(keyless, signature, 1)).expect_err(signature);
        let lines: Vec<_> = findings
            .iter()
            .filter_map(|found| found.place.as_ref())
            .collect();
        assert!(lines.iter().all(|place| place.line == 27), "{findings:#?}");
    }
    for list in [
        "{repository: o/r}",
        "{asset: digests.json}",
        "{repository: o, asset: digests.json}",
        "{repository: o/r/s, asset: digests.json}",
        "{repository: ../r, asset: digests.json}",
        "{repository: o/r, asset: a/b.json}",
        "{repository: o/r, asset: 'a?b'}",
        "{repository: o/r, asset: a.json, tag: v1}",
    ] {
        let text = WHOLE.replacen("{repository: o/r, asset: digests.json}", list, 1);
        let findings = parsed(&text).expect_err(list);
        let place = findings[0].place.as_ref().expect("a place");
        assert_eq!(place.line, 25, "{findings:#?}");
    }
}

#[test]
fn a_bare_name_is_found_where_the_image_looks_for_it() {
    let contract = parsed(WHOLE).expect("a contract");
    for (program, there) in [
        ("a", true),
        ("/usr/bin/a", true),
        ("/bin/a", false),
        ("b", true),
        ("/usr/local/bin/b", true),
        ("/usr/bin/b", false),
        ("bash", true),
        ("/bin/bash", true),
        ("/usr/bin/bash", true),
        ("/usr/local/bin/bash", false),
        ("/usr/bin/x/bash", false),
        ("ash", false),
        ("grep", false),
    ] {
        assert_eq!(contract.has_program(program), there, "{program}");
    }
    assert!(contract.lacks("/bin/grep").is_some());
    assert!(contract.lacks("sed").is_none());
}

#[test]
fn every_defect_is_a_finding_at_its_location() {
    for (from, to, line, message) in [
        (
            "image: v.example/o/a",
            "image: v.example/o/a:1",
            1,
            "without tag and digest",
        ),
        (
            "image: v.example/o/a",
            "image: a",
            1,
            "without tag and digest",
        ),
        ("image: v.example/o/a\n", "", 1, "expected `image`"),
        ("user:\n", "users:\n  base: {}\nuse:\n", 1, ""),
        ("without:", "with:", 14, "unknown key `with`"),
        (
            "platforms:\n  here: [linux/amd64]\n",
            "",
            1,
            "expected `platforms`",
        ),
        ("[linux/amd64]", "[]", 6, "expected a list in `platforms`"),
        ("[linux/amd64]", "[amd64]", 6, "expected a platform"),
        (
            "[linux/amd64]",
            "[linux/amd64, linux/amd64]",
            6,
            "`linux/amd64` is listed twice",
        ),
        (
            "here: 65532",
            "here: '65532'",
            8,
            "expected a uid as a number",
        ),
        ("here: 65532", "here: -1", 8, "expected a uid as a number"),
        (
            "here: 65532",
            "here: 65532\n  base: 1",
            9,
            "expected one source for `user`",
        ),
        (
            "  here: 65532\n",
            "  there: 65532\n",
            8,
            "`there` is not defined in `sources`",
        ),
        (
            "user:\n  here: 65532",
            "user: 65532",
            7,
            "expected `user` to be a map",
        ),
        (
            "[/usr/bin/a, -x]",
            "/usr/bin/a",
            10,
            "expected a list of strings",
        ),
        (
            "[/usr/bin/a, -x]",
            "[/usr/bin/a, 1]",
            10,
            "expected a list of strings",
        ),
        (
            "base: [bash]",
            "base: [bash, bin/x]",
            13,
            "expected a program",
        ),
        (
            "base: [bash]",
            "base: [bash, /bin/../x]",
            13,
            "expected a program",
        ),
        (
            "base: [bash]",
            "base: [bash, bash]",
            13,
            "`bash` is listed twice",
        ),
        (
            "base: [grep]",
            "base: [/bin/grep]",
            15,
            "expected the name of a program",
        ),
        (
            "base: [grep]",
            "base: [bash]",
            15,
            "both in `programs` and in `without`",
        ),
        (
            "kind: config, read_by: a}",
            "kind: config}",
            18,
            "expected `read_by`",
        ),
        (
            "kind: config, read_by: a}",
            "kind: config, read_by: c}",
            18,
            "`c` reads this, but",
        ),
        (
            "kind: config,",
            "kind: conf,",
            18,
            "expected `kind` to be one of",
        ),
        (
            "kind: config,",
            "mode: 1, kind: config,",
            18,
            "unknown key `mode`",
        ),
        (
            "/etc/a.conf",
            "etc/a.conf",
            18,
            "expected an absolute `path`",
        ),
        ("/etc/a.conf", "/etc/", 18, "expected an absolute `path`"),
        (
            "/etc/a.conf",
            "/usr/lib/m.so",
            19,
            "`/usr/lib/m.so` is listed twice",
        ),
        ("name: A_B", "name: A-B", 21, "expected the `name`"),
        (
            "read_by: /usr/lib/m.so}]",
            "read_by: /usr/lib/n.so}]",
            21,
            "`/usr/lib/n.so` reads this",
        ),
        ("{nonroot: 65532}", "{nonroot: root}", 23, "expected a uid"),
        (
            "  base: its base image\n",
            "  base: its base image\n  more: x\n",
            5,
            "no fact comes from",
        ),
        (
            "  base: its base image\n",
            "  base: ''\n",
            4,
            "expected a name and its description",
        ),
        ("platforms:\n", "platforms:\n\there", 6, "a tab"),
    ] {
        let text = WHOLE.replacen(from, to, 1);
        assert_ne!(text, WHOLE, "{from}");
        let findings = parsed(&text).expect_err(to);
        let found = findings.iter().any(|finding| {
            let place = finding.place.as_ref().map(|place| place.line);
            finding.message.contains(message) && (message.is_empty() || place == Some(line))
        });
        assert!(found, "{to}: {findings:#?}");
    }
}
