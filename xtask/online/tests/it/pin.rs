//! `pin` on several files: the real program on a copy of the tree whose compose file, Dockerfile and workflow all name
//! images.

use expect_test::expect;
use polis_base::{Digest, ImageRef};
use xtask_loopback::EmbeddedRegistry;
use xtask_online::registry::{Logins, Registry};
use xtask_testkit::{Ran, Tree};

use crate::support::{endpoints, layout, names};

const PROGRAM: &str = env!("CARGO_BIN_EXE_xtask-online");
const FILES: [(&str, &str); 3] = [
    (
        "compose/docker-compose.yml",
        "x-a: &a 'v.example/o/a:v1' # keep\r\nservices:\r\n  a: {image: *a}\r\n  b:\r\n    image: \"${B:-v.example/o/b:v1}\"\r\n    volumes:\r\n      - {type: image, source: v.example/o/c:v1, target: /c}\r\n",
    ),
    (
        "tools/Dockerfile",
        "ARG BASE=v.example/o/base:v1\nFROM \\\n  ${BASE} AS build\nCOPY --from=v.example/o/c:v1 /c /c\nFROM build",
    ),
    (
        ".github/workflows/tools.yml",
        "jobs:\n  t:\n    container: {image: v.example/o/c:v1} # why\n    steps: []\n",
    ),
];

struct TestEnv {
    tree: Tree,
    registry: EmbeddedRegistry,
    _storage: tempfile::TempDir,
}

impl TestEnv {
    fn start() -> Self {
        let tree = Tree::data();
        for (path, text) in FILES {
            let path = tree.root().join(path);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        tree.write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
        let storage = tempfile::tempdir().expect("storage");
        let registry = EmbeddedRegistry::start(storage.path()).expect("a registry");
        Self {
            tree,
            registry,
            _storage: storage,
        }
    }

    fn endpoint(&self) -> String {
        format!("v.example={}", self.registry.url())
    }

    fn run(&self, args: &[&str]) -> Ran {
        let endpoint = self.endpoint();
        let common = ["--quiet", "--endpoint", endpoint.as_str()];
        self.tree.run(PROGRAM, &[args, &common].concat())
    }

    fn push(&self, image: &str) -> Digest {
        let dir = tempfile::tempdir().expect("layout");
        layout::index(dir.path(), image);
        let image: ImageRef = image.parse().expect("a reference");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime
            .block_on(async {
                let registry = Registry::new(&endpoints(&[self.endpoint()]), Logins::none());
                registry
                    .expect("a client")
                    .push_layout(dir.path(), &image)
                    .await
            })
            .expect("a push")
    }

    fn texts(&self) -> [String; 3] {
        FILES.map(|(path, _)| self.tree.read(path))
    }
}

#[test]
fn several_files_are_pinned_together_or_not_at_all() {
    let test_env = TestEnv::start();
    let images = ["a", "b", "c"].map(|name| format!("v.example/o/{name}:v1"));
    let digests = images.each_ref().map(|image| test_env.push(image));

    // A failed lookup is named, and nothing changes.
    let failed = test_env.run(&["pin"]);
    assert_eq!(failed.code, 2, "{}", failed.seen());
    assert!(
        failed
            .stderr
            .contains("1 of 4 images could not be looked up; nothing was changed")
            && failed.stderr.contains("v.example/o/base:v1"),
        "{}",
        failed.seen()
    );
    assert_eq!(test_env.texts(), FILES.map(|(_, text)| text.to_owned()));

    let base = "v.example/o/base:v1".to_owned();
    let base = (base.clone(), test_env.push(&base));
    let check = test_env.run(&["pin", "--check"]);
    assert_eq!(check.code, 2, "{}", check.seen());
    assert_eq!(test_env.texts(), FILES.map(|(_, text)| text.to_owned()));
    let pinned = images.into_iter().zip(digests).chain([base]);
    let pins: Vec<(String, String)> = pinned
        .map(|(image, digest)| (image.clone(), format!("{image}@{digest}")))
        .collect();
    let with_pins = |text: String| {
        let pinned = pins.iter();
        pinned.fold(text, |text, (image, pin)| text.replace(image, pin))
    };
    let said = pins
        .iter()
        .fold(check.stdout.clone(), |said, (image, pin)| {
            said.replace(pin, &format!("{image}@DIGEST"))
        });
    let said = said.split("--- a/docs/pins.md").next().expect("a diff");
    // A snapshot has no CRLF line ends. That they are preserved is checked below.
    let said = &said.replace('\r', "");
    expect![[r#"
        --- a/.github/workflows/tools.yml
        +++ b/.github/workflows/tools.yml
        @@ -2,3 +2,3 @@
           t:
        -    container: {image: v.example/o/c:v1} # why
        +    container: {image: v.example/o/c:v1@DIGEST} # why
             steps: []
        --- a/compose/docker-compose.yml
        +++ b/compose/docker-compose.yml
        @@ -1,2 +1,2 @@
        -x-a: &a 'v.example/o/a:v1' # keep
        +x-a: &a 'v.example/o/a:v1@DIGEST' # keep
         services:
        @@ -4,4 +4,4 @@
           b:
        -    image: "${B:-v.example/o/b:v1}"
        +    image: "${B:-v.example/o/b:v1@DIGEST}"
             volumes:
        -      - {type: image, source: v.example/o/c:v1, target: /c}
        +      - {type: image, source: v.example/o/c:v1@DIGEST, target: /c}
        --- a/tools/Dockerfile
        +++ b/tools/Dockerfile
        @@ -1,5 +1,5 @@
        -ARG BASE=v.example/o/base:v1
        +ARG BASE=v.example/o/base:v1@DIGEST
         FROM \
           ${BASE} AS build
        -COPY --from=v.example/o/c:v1 /c /c
        +COPY --from=v.example/o/c:v1@DIGEST /c /c
         FROM build
        \ No newline at end of file
    "#]]
    .assert_eq(said);
    assert!(
        check
            .stdout
            .ends_with("would change; run `cargo xtask pin`\n")
    );

    a_file_that_cannot_be_replaced_restores_all(&test_env);

    let ran = test_env.run(&["pin"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let expected = FILES.map(|(_, text)| with_pins(text.to_owned()));
    assert_eq!(test_env.texts(), expected);
    let again = test_env.run(&["pin", "--format", "json"]).report()["data"].clone();
    assert_eq!(
        (&again["files"], &again["diff"]),
        (&serde_json::json!([]), &"".into())
    );
    assert_eq!(test_env.texts(), expected);
}

/// The last file is a mount point, so it can be written but not replaced. The changes of the earlier files are undone.
fn a_file_that_cannot_be_replaced_restores_all(test_env: &TestEnv) {
    let file = test_env.tree.root().join("tools/Dockerfile");
    let file = file.to_str().expect("a path in UTF-8");
    let mounted = test_env.tree.run("mount", &["--bind", file, file]);
    if mounted.code != 0 {
        println!("skipped: nothing can be mounted here: {}", mounted.stderr);
        return;
    }
    let ran = test_env.run(&["pin"]);
    let texts = test_env.texts();
    let left = names(&test_env.tree.root().join("tools"));
    assert_eq!(test_env.tree.run("umount", &[file]).code, 0);
    assert_eq!(ran.code, 5, "{}", ran.seen());
    assert!(
        ran.stderr.contains("tools/Dockerfile") && ran.stderr.contains("nothing was changed"),
        "{}",
        ran.seen()
    );
    assert_eq!(texts, FILES.map(|(_, text)| text.to_owned()));
    assert_eq!(left, ["Dockerfile"]);
}
