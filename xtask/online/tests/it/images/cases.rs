//! The cases: images that meet their contracts in different ways, and one image for each way to violate one.

mod stored;

use polis_base::Digest;
use serde_json::{Value, json};
use xtask_loopback::Fault;

pub(super) use stored::bytes;

use super::build::{self, Entry, Image, Layer, Packed, Pushed, UID, program, text};

const PASSWD: &str = "root:x:0:0::/:/bin/sh\nthing:x:65532:65532::/:/nologin\n";

/// An image, and the expected result.
pub(super) struct Case {
    pub(super) name: &'static str,
    /// A change before the push.
    pub(super) change: fn(&mut Image),
    /// A change in the registry after the push.
    pub(super) after: After,
    /// Additional settings of its service in the compose file.
    pub(super) service: &'static str,
    pub(super) state: &'static str,
    /// Part of the first problem's message.
    pub(super) about: &'static str,
}

/// What happens to a pushed image.
pub(super) enum After {
    Nothing,
    /// This part is deleted.
    Lose(fn(&Pushed) -> Digest),
    /// A bit of this part is flipped.
    Flip(fn(&Pushed) -> Digest),
    /// This part is truncated.
    Shorten(fn(&Pushed) -> Digest),
    /// This part is extended.
    Lengthen(fn(&Pushed) -> Digest),
    /// The server always answers requests for the image with this fault.
    Answer(Fault),
}

const LAYER: fn(&Pushed) -> Digest = |pushed| pushed.layers[0];

/// An image that meets its contract.
pub(super) fn good() -> Image {
    let layer = Layer::of(vec![
        ("usr", Entry::Dir(0o755, 0)),
        ("usr/bin", Entry::Dir(0o755, 0)),
        ("bin", Entry::Symlink("usr/bin")),
        ("usr/bin/bash", program()),
        ("usr/bin/thing", program()),
        ("usr/local/bin/tool", program()),
        ("usr/lib/thing/mod.so", text("ELF")),
        ("usr/share/thing", Entry::Dir(0o755, 0)),
        ("var/lib/thing", Entry::Dir(0o750, UID)),
        ("etc/passwd", text(PASSWD)),
        ("etc/group", text("thing:x:65532:\n")),
    ]);
    Image {
        layers: vec![layer],
        config: json!({
            "os": "linux",
            "architecture": "amd64",
            "config": {"User": "65532", "Entrypoint": ["/usr/bin/thing"], "Cmd": ["--serve"]},
        }),
        index: Some(("linux", "amd64")),
        manifest: |_| {},
    }
}

pub(super) fn fine(name: &'static str, change: fn(&mut Image)) -> Case {
    broken(name, change, "verified", "")
}

fn broken(
    name: &'static str,
    change: fn(&mut Image),
    state: &'static str,
    about: &'static str,
) -> Case {
    Case {
        name,
        change,
        after: After::Nothing,
        service: "",
        state,
        about,
    }
}

fn corrupt_images(
    name: &'static str,
    after: After,
    state: &'static str,
    about: &'static str,
) -> Case {
    Case {
        after,
        ..broken(name, |_| {}, state, about)
    }
}

/// Adds a layer on top.
fn upon(image: &mut Image, entries: Vec<(&'static str, Entry)>) {
    image.layers.push(Layer::of(entries));
}

/// Replaces the entry `path` of the first layer.
fn with(image: &mut Image, path: &'static str, entry: Entry) {
    let entries = &mut image.layers[0].entries;
    let found = entries.iter_mut().find(|(name, _)| *name == path);
    found.expect(path).1 = entry;
}

fn without(image: &mut Image, path: &'static str) {
    let entries = &mut image.layers[0].entries;
    let before = entries.len();
    entries.retain(|(name, _)| *name != path);
    assert_ne!(entries.len(), before, "{path}");
}

/// Images that meet their contracts, in different ways.
pub(super) fn kept() -> Vec<Case> {
    vec![
        fine("gzip", |_| {}),
        fine("plain", |image| image.layers[0].packed = Packed::Plain),
        fine("zstd", |image| image.layers[0].packed = Packed::Zstd),
        fine("two-members", |image| {
            image.layers[0].packed = Packed::Twice
        }),
        fine("no-index", |image| image.index = None),
        fine("whiteout", |image| {
            image.layers[0].entries.push(("usr/bin/curl", program()));
            // Through the link `bin`, as a package does that is unaware of merged directories.
            upon(image, vec![("bin/.wh.curl", text(""))]);
        }),
        fine("opaque", |image| {
            image.layers[0].entries.push(("usr/sbin/curl", program()));
            let opaque = ("usr/sbin/.wh..wh..opq", text(""));
            upon(image, vec![("usr/sbin/other", program()), opaque]);
        }),
        fine("upper-layer-repairs", |image| {
            with(image, "usr/bin/thing", text("not executable"));
            upon(image, vec![("bin/thing", program())]);
        }),
        fine("hard-link", |image| {
            with(image, "usr/local/bin/tool", Entry::Link("usr/bin/thing"));
        }),
        fine("links-of-links", |image| {
            with(
                image,
                "usr/local/bin/tool",
                Entry::Symlink("../../../../opt/tool"),
            );
            upon(image, vec![("opt/tool", Entry::Symlink("/bin/bash"))]);
        }),
        fine("path-of-the-image", |image| {
            image.config["config"]["Env"] = json!(["A=b", "PATH=/opt/bin:/usr/bin"]);
            with(image, "usr/local/bin/tool", text(""));
            upon(image, vec![("opt/bin/tool", program())]);
        }),
        fine("user-by-name", |image| {
            image.config["config"]["User"] = json!("thing")
        }),
        fine("long-names", |image| {
            let deep = "opt/a-directory-with-a-name-that-is-long/another-directory-with-a-name-that-is-long/\
                        and-a-file-whose-name-does-not-fit-into-the-field-of-a-header-of-tar";
            upon(image, vec![(deep, program())]);
            with(
                image,
                "usr/local/bin/tool",
                Entry::Symlink(
                    "/opt/a-directory-with-a-name-that-is-long/another-directory-with-a-name-that-is-long/\
                 and-a-file-whose-name-does-not-fit-into-the-field-of-a-header-of-tar",
                ),
            );
        }),
        fine("group-lets-in", |image| {
            with(image, "usr/lib/thing/mod.so", Entry::File(0o040, 7, vec![]));
            with(
                image,
                "etc/group",
                text("thing:x:65532:\nreaders:x:7:thing\n"),
            );
        }),
        Case {
            service: "tmpfs: ['/var/lib:mode=0755']",
            ..fine("mounted-over", |image| {
                with(image, "var/lib/thing", Entry::Dir(0o755, 0));
            })
        },
        Case {
            service: "user: '0:0'",
            ..fine("root-without-power", |_| {})
        },
    ]
}

/// Violations of contracts and of the compose file.
pub(super) fn promises() -> Vec<Case> {
    let broken_user = |name, change, about| broken(name, change, "wrong user", about);
    vec![
        broken(
            "removed-above",
            |image| upon(image, vec![("usr/local/bin/.wh.tool", text(""))]),
            "path missing",
            "`tool`: not in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        broken(
            "hidden-above",
            |image| upon(image, vec![("usr/lib/thing/.wh..wh..opq", text(""))]),
            "path missing",
            "`/usr/lib/thing/mod.so`: /usr/lib/thing/mod.so does not exist",
        ),
        broken(
            "no-directory",
            |image| without(image, "usr/share/thing"),
            "path missing",
            "`/usr/share/thing`: /usr/share does not exist",
        ),
        broken(
            "program-is-directory",
            |image| with(image, "usr/bin/thing", Entry::Dir(0o755, 0)),
            "path missing",
            "`/usr/bin/thing`: /usr/bin/thing is not a file",
        ),
        broken(
            "dead-link",
            |image| with(image, "bin", Entry::Symlink("usr/nowhere")),
            "path missing",
            "`/bin/bash`: /usr/nowhere does not exist",
        ),
        broken(
            "circle",
            |image| with(image, "bin", Entry::Symlink("bin")),
            "path missing",
            "`/bin/bash`: too many levels of symbolic links",
        ),
        Case {
            service: "healthcheck: {test: [CMD, wget, -q, localhost]}",
            ..broken(
                "health-check",
                |_| {},
                "path missing",
                "`wget`, which the health check of service health-check starts: not in ",
            )
        },
        Case {
            service: "healthcheck: {test: [CMD-SHELL, exit 0]}",
            ..broken(
                "shell",
                |_| {},
                "path missing",
                "`/bin/sh`, which the health check of service shell starts: /usr/bin/sh does not exist",
            )
        },
        Case {
            service: "entrypoint: [/start.sh]\n    volumes: ['./start.sh:/start.sh:ro']",
            ..broken(
                "mounted-script",
                |image| upon(image, vec![("usr/bin/env", program())]),
                "path missing",
                "`zsh`, which the entry point /start.sh of service mounted-script starts: not in ",
            )
        },
        broken(
            "no-mode",
            |image| with(image, "usr/bin/thing", text("")),
            "not executable",
            "`/usr/bin/thing`: mode 0644 of /usr/bin/thing does not let uid 65532 (service no-mode) run it",
        ),
        broken(
            "of-root",
            |image| with(image, "usr/local/bin/tool", Entry::File(0o750, 0, vec![])),
            "not executable",
            "`tool`: mode 0750 of /usr/local/bin/tool does not let uid 65532 (service of-root) run it",
        ),
        broken(
            "closed-directory",
            |image| with(image, "usr/bin", Entry::Dir(0o700, 0)),
            "not executable",
            "`bash`: mode 0755 of /usr/bin/bash does not let uid 65532",
        ),
        broken(
            "module-of-root",
            |image| with(image, "usr/lib/thing/mod.so", Entry::File(0o640, 0, vec![])),
            "not readable",
            "`/usr/lib/thing/mod.so`: mode 0640 does not let uid 65532 (service module-of-root) read it",
        ),
        broken(
            "data-of-root",
            |image| with(image, "var/lib/thing", Entry::Dir(0o755, 0)),
            "not writable",
            "`/var/lib/thing`: mode 0755, owned by uid 0",
        ),
        broken_user(
            "runs-as-root",
            |image| image.config["config"]["User"] = Value::Null,
            "runs as uid 0, the contract says 65532",
        ),
        broken_user(
            "runs-as-unknown-user",
            |image| image.config["config"]["User"] = json!("somebody"),
            "runs as `somebody`, who is not in /etc/passwd",
        ),
        broken_user(
            "other-uid",
            |image| with(image, "etc/passwd", text("thing:x:101:101::/:/\n")),
            "`thing` has uid 101, the contract says 65532",
        ),
        broken_user(
            "no-account",
            |image| with(image, "etc/passwd", text("root:x:0:0::/:/\n")),
            "/etc/passwd has no `thing`",
        ),
        broken_user(
            "no-passwd",
            |image| without(image, "etc/passwd"),
            "no /etc/passwd, the contract expects `thing` in it",
        ),
        Case {
            service: "user: stranger",
            ..broken_user(
                "unknown-user",
                |_| {},
                "service unknown-user runs as `stranger`, who is not in /etc/passwd",
            )
        },
        broken(
            "starts-a-shell",
            |image| image.config["config"]["Entrypoint"] = json!(["bash"]),
            "wrong entry point",
            r#"the entry point is ["bash"], the contract says ["/usr/bin/thing"]"#,
        ),
        broken(
            "other-command",
            |image| image.config["config"]["Cmd"] = Value::Null,
            "wrong entry point",
            r#"the command is [], the contract says ["--serve"]"#,
        ),
        broken(
            "has-curl",
            |image| upon(image, vec![("usr/sbin/curl", program())]),
            "unexpected program",
            "found `curl` at /usr/sbin/curl",
        ),
        broken(
            "curl-by-link",
            |image| upon(image, vec![("usr/bin/curl", Entry::Symlink("bash"))]),
            "unexpected program",
            "found `curl` at /usr/bin/bash",
        ),
        broken(
            "other-platform",
            |image| image.index = Some(("linux", "arm64")),
            "missing platform",
            "the index offers linux/arm64",
        ),
        broken(
            "wrong-platform",
            |image| image.config["architecture"] = json!("arm64"),
            "missing platform",
            "the configuration is for linux/arm64",
        ),
    ]
}
