//! `gh`, GitHub's own client, creates, reads and changes releases at the embedded GitHub. Version 2.46 has no `release
//! verify`, which would need a signature that only GitHub can make.

use std::fs;
use std::path::PathBuf;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::twin::{COMMIT, Twin};
use crate::support::{command, external_tool};

struct Gh {
    program: PathBuf,
    twin: Twin,
}

impl Gh {
    fn start() -> Option<Self> {
        Some(Self {
            program: external_tool("gh")?,
            twin: Twin::start(),
        })
    }

    /// The output of `gh release ARGUMENTS`, and whether it succeeded.
    fn release(&self, arguments: &[&str]) -> (bool, String) {
        let (home, url) = (self.twin.dir.path(), self.twin.server.url());
        let ran = command(&self.program)
            .arg("release")
            .args(arguments)
            .current_dir(home)
            .env("HOME", home)
            .env("GH_CONFIG_DIR", home.join("gh"))
            // gh uses http for this host only; the proxy answers for it.
            .env("GH_HOST", "github.localhost")
            .env("GH_REPO", "github.localhost/o/r")
            .env("http_proxy", &url)
            .env("GH_TOKEN", "s3cret")
            .env("GH_ENTERPRISE_TOKEN", "s3cret")
            .env("GH_NO_UPDATE_NOTIFIER", "1")
            .env("GIT_CEILING_DIRECTORIES", home)
            .output()
            .unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        (
            ran.status.success(),
            String::from_utf8(said).unwrap().replace(&url, "URL"),
        )
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let (success, said) = self.release(arguments);
        assert!(success, "{arguments:?}: {said}");
        said
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let (success, said) = self.release(arguments);
        assert!(!success, "{arguments:?}: {said}");
        said
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.twin.dir.path().join(name), text).unwrap();
    }
}

#[tokio::test]
async fn gh_creates_a_release_that_everyone_can_read() {
    let Some(gh) = Gh::start() else {
        return;
    };
    gh.file("polis.tar.gz", "archive");
    gh.file("SHA256SUMS", "sums");
    gh.ok(&[
        "create",
        "v1",
        "--draft",
        "--title",
        "One",
        "--notes",
        "n",
        "polis.tar.gz",
    ]);
    gh.ok(&["upload", "v1", "SHA256SUMS"]);
    let twice = gh.refused(&["upload", "v1", "SHA256SUMS"]);
    expect![[r#"
        asset under the same name already exists: [SHA256SUMS]
    "#]]
    .assert_eq(&twice);
    gh.ok(&["upload", "v1", "SHA256SUMS", "--clobber"]);
    gh.ok(&["edit", "v1", "--title", "Polis 1", "--target", COMMIT]);
    let draft = gh.ok(&["view", "v1", "--json", "isDraft,tagName,targetCommitish"]);
    let draft: Value = serde_json::from_str(&draft).unwrap();
    let expected = json!({"isDraft": true, "tagName": "v1", "targetCommitish": COMMIT});
    assert_eq!(draft, expected, "an edit keeps the tag");
    gh.ok(&["edit", "v1", "--draft=false", "--latest"]);
    expect![[r#"
        title:	Polis 1
        tag:	v1
        draft:	false
        prerelease:	false
        author:	o
        created:	1970-01-01T00:00:00Z
        published:	1970-01-01T00:00:00Z
        url:	http://api.github.localhost/o/r/releases/tag/v1
        asset:	polis.tar.gz
        asset:	SHA256SUMS
        --
        n
    "#]]
    .assert_eq(&gh.ok(&["view"]));
    gh.ok(&["download", "v1", "--dir", "down"]);
    let down = gh.twin.dir.path().join("down");
    assert_eq!(crate::support::names(&down), ["SHA256SUMS", "polis.tar.gz"]);
    assert_eq!(fs::read(down.join("polis.tar.gz")).unwrap(), b"archive");
    let named = gh.twin.get("/git/ref/tags/v1").await.json;
    assert_eq!(named["object"]["sha"], COMMIT);
    gh.ok(&["delete-asset", "v1", "SHA256SUMS", "--yes"]);
    gh.ok(&["delete", "v1", "--yes"]);
    assert_eq!(gh.twin.get("/releases").await.json, json!([]));
}

#[tokio::test]
async fn gh_reads_our_release_and_cannot_change_an_immutable_one() {
    let Some(gh) = Gh::start() else {
        return;
    };
    gh.file("b", "more");
    let (release, _) = gh.twin.immutable("v1").await;
    assert!(gh.ok(&["view", "v1"]).contains("asset:\ta\n"));
    let mut said = gh.refused(&["upload", "v1", "b"]);
    said += &gh.refused(&["delete-asset", "v1", "a", "--yes"]);
    said += &gh.refused(&["edit", "v1", "--draft"]);
    said += &gh.refused(&["create", "v2", "--notes", "n"]);
    gh.ok(&["edit", "v1", "--title", "Polis 1"]);
    gh.ok(&["delete", "v1", "--yes"]);
    said += &gh.refused(&["create", "v1", "--notes", "n"]);
    gh.ok(&["create", "v1", "--notes", "n", "--draft"]);
    said += &gh.refused(&["edit", "v1", "--draft=false"]);
    let said = said.replace(&format!("releases/{release}"), "releases/ID");
    expect![[r#"
        HTTP 422: Cannot upload assets to an immutable release. (http://api.github.localhost/repos/o/r/releases/ID/assets?label=&name=b)
        HTTP 422: Validation Failed (http://api.github.localhost/repos/o/r/releases/assets/2)
        Cannot delete asset from an immutable release
        HTTP 422: Validation Failed (http://api.github.localhost/repos/o/r/releases/ID)
        state cannot be changed when release is immutable
        HTTP 422: Validation Failed (http://api.github.localhost/repos/o/r/releases)
        Published releases must have a valid tag
        HTTP 422: Validation Failed (http://api.github.localhost/repos/o/r/releases)
        tag_name was used by an immutable release
        HTTP 422: Validation Failed (http://api.github.localhost/repos/o/r/releases/3)
        tag_name was used by an immutable release
    "#]].assert_eq(&said);
}
