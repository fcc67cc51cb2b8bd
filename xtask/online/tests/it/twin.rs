//! The rules of GitHub in late 2026 that the embedded one implements, each tested by plain HTTP.

mod immutable;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};
use xtask_loopback::Probe;

use crate::support::twin::{Answer, COMMIT, Twin};
use crate::support::{external_tool, run};

const FROZEN: &str = "state cannot be changed when release is immutable";
const NO_TAG: &str = "Published releases must have a valid tag";
const BURNT: &str = "tag_name was used by an immutable release";

#[tokio::test]
async fn a_tag_names_a_commit_directly_or_through_an_object() {
    let twin = Twin::start();
    assert_eq!(twin.get("/git/ref/tags/v1").await.status, 404);
    let object = twin.server.tag("v1", COMMIT).unwrap();
    twin.server.tag_lightweight("rel/v2", COMMIT).unwrap();
    let twin = twin.restarted();

    let named = twin.get("/git/ref/tags/v1").await.json;
    assert_eq!(named["ref"], "refs/tags/v1");
    assert_eq!(
        (&named["object"]["type"], &named["object"]["sha"]),
        (&json!("tag"), &json!(object))
    );
    let tag = twin.get(&format!("/git/tags/{object}")).await.json;
    assert_eq!((&tag["tag"], &tag["sha"]), (&json!("v1"), &json!(object)));
    assert_eq!(
        (&tag["object"]["type"], &tag["object"]["sha"]),
        (&json!("commit"), &json!(COMMIT))
    );
    let named = twin.get("/git/ref/tags/rel/v2").await.json;
    assert_eq!(
        (&named["object"]["type"], &named["object"]["sha"]),
        (&json!("commit"), &json!(COMMIT))
    );
    let no_object = twin.get(&format!("/git/tags/{COMMIT}")).await;
    assert_eq!(no_object.status, 404, "a lightweight tag has no object");

    let moved = twin.server.tag("v1", &COMMIT.replace('0', "a")).unwrap();
    assert_ne!(moved, object);
    twin.server.untag("v1").unwrap();
    assert_eq!(twin.get("/git/ref/tags/v1").await.status, 404);
    assert_eq!(twin.get(&format!("/git/tags/{object}")).await.status, 404);
}

#[tokio::test]
async fn publishing_creates_a_missing_tag_and_keeps_an_existing_one() {
    let twin = Twin::start();
    let other = COMMIT.replace('0', "b");
    twin.server.tag_lightweight("v2", &other).unwrap();
    for (tag, commit) in [("v1", COMMIT), ("v2", &other)] {
        let draft = twin.draft(tag).await;
        let public = twin.publish(draft).await;
        assert_eq!(public.json["target_commitish"], COMMIT);
        assert_eq!(public.json["immutable"], false);
        let named = twin.get(&format!("/git/ref/tags/{tag}")).await;
        assert_eq!(named.json["object"]["sha"], *commit, "{tag}");
        assert_eq!(twin.publish(draft).await.status, 200, "may be repeated");
    }
    let branch = r#"{"tag_name":"v3","target_commitish":"main"}"#;
    assert_eq!(twin.post("/releases", branch).await.status, 201);
    let head = twin.get("/git/ref/tags/v3").await.json["object"]["sha"].clone();
    assert_eq!(head.as_str().map(str::len), Some(40));
}

#[tokio::test]
async fn a_draft_that_is_edited_without_its_tag_loses_it() {
    let twin = Twin::start();
    let draft = twin.draft("v1").await;
    let path = format!("/releases/{draft}");
    let edited = twin.patch(&path, r#"{"tag_name":"v1","body":"b"}"#).await;
    assert_eq!(edited.json["tag_name"], "v1");
    let edited = twin.patch(&path, r#"{"body":"c"}"#).await;
    let tag = edited.json["tag_name"].as_str().unwrap();
    assert!(tag.starts_with("untagged-"), "{tag}");
    let named = twin.patch(&path, r#"{"tag_name":"v1","draft":true}"#).await;
    assert_eq!(named.json["tag_name"], "v1");
    let public = twin.publish(draft).await;
    assert_eq!(public.json["tag_name"], "v1", "publishing keeps it");
}

#[tokio::test]
async fn the_repository_reports_push_permission() {
    let twin = Twin::start();
    let draft = twin.draft("v1").await;
    let permissions = twin.get("").await.json["permissions"].clone();
    assert_eq!(
        permissions,
        json!({"admin": false, "maintain": false, "push": true, "triage": true, "pull": true})
    );
    let url = format!("{}/repos/o/r", twin.server.url());
    let anonymous = Answer::of(twin.client.get(&url).send().await.unwrap()).await;
    assert_eq!(anonymous.json["full_name"], "o/r");
    assert_eq!(anonymous.json.get("permissions"), None);

    twin.server.set_push(false).unwrap();
    let twin = twin.restarted();
    assert_eq!(twin.get("").await.json["permissions"]["push"], false);
    let refused = (403, "Resource not accessible by integration");
    let body = r#"{"tag_name":"v1","draft":true}"#;
    assert_eq!(twin.post("/releases", body).await.said(), refused);
    assert_eq!(twin.publish(draft).await.said(), refused);
    let path = format!("/releases/{draft}");
    assert_eq!(twin.delete(&path).await.said(), refused);
    assert_eq!(twin.get(&path).await.status, 404);
    let list = twin.get("/releases").await.json;
    assert_eq!(list, json!([]), "without push access there are no drafts");
}

#[tokio::test]
async fn the_latest_release_is_neither_a_draft_nor_a_prerelease() {
    let twin = Twin::start();
    let refused = (422, "Latest release cannot be draft or prerelease");
    for body in [
        r#"{"tag_name":"v1","draft":true,"make_latest":"true"}"#,
        r#"{"tag_name":"v1","prerelease":true,"make_latest":"true"}"#,
    ] {
        assert_eq!(twin.post("/releases", body).await.said(), refused);
    }
    let latest = async || {
        let answer = twin.get("/releases/latest").await.json;
        answer["tag_name"].as_str().map(str::to_owned)
    };
    let release = async |tag: &str, latest: &str| {
        let body = json!({"tag_name": tag, "make_latest": latest}).to_string();
        twin.post("/releases", &body).await.id()
    };
    assert_eq!(latest().await, None);
    let two = release("v2.0.0", "true").await;
    release("v1.0.0", "legacy").await;
    assert_eq!(latest().await.as_deref(), Some("v2.0.0"));
    let ten = release("v10.0.0", "legacy").await;
    assert_eq!(latest().await.as_deref(), Some("v10.0.0"));
    release("v11.0.0", "false").await;
    assert_eq!(latest().await.as_deref(), Some("v10.0.0"));
    let path = format!("/releases/{two}");
    twin.patch(&path, r#"{"make_latest":"true"}"#).await;
    assert_eq!(latest().await.as_deref(), Some("v2.0.0"));
    twin.patch(&path, r#"{"prerelease":true}"#).await;
    assert_eq!(latest().await.as_deref(), Some("v11.0.0"));
    let no = r#"{"make_latest":"false"}"#;
    twin.patch(&format!("/releases/{ten}"), no).await;
    assert_eq!(latest().await.as_deref(), Some("v11.0.0"));
}

#[tokio::test]
async fn an_interrupted_upload_leaves_a_starter_that_blocks_its_name() {
    let twin = Twin::start();
    let draft = twin.draft("v1").await;
    let address = twin.server.url().replace("http://", "");
    let path = format!("/releases/{draft}/assets");
    let mut upload = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /repos/o/r{path}?name=a HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer s3cret\r\n\
         content-type: application/gzip\r\ncontent-length: 100\r\n\r\nten bytes."
    );
    upload.write_all(head.as_bytes()).unwrap();
    upload.shutdown(Shutdown::Write).unwrap();
    let _ = upload.read_to_string(&mut String::new());
    drop(upload);
    let mut assets = json!([]);
    for _ in 0..100 {
        assets = twin.get(&path).await.json;
        if assets != json!([]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asset = &assets[0];
    assert_eq!(
        json!([
            asset["name"],
            asset["state"],
            asset["size"],
            asset["digest"]
        ]),
        json!(["a", "starter", 0, null])
    );
    let again = twin.post(&format!("{path}?name=a"), "bytes").await;
    assert_eq!(again.json["errors"][0]["code"], "already_exists");
    let id = asset["id"].as_u64().unwrap();
    let at = format!("/releases/assets/{id}");
    assert_eq!(twin.delete(&at).await.status, 204);
    let again = twin.post(&format!("{path}?name=a"), "bytes").await;
    assert_eq!((again.status, &again.json["size"]), (201, &json!(5)));

    for (name, state, size) in [("b", "starter", 0), ("c", "uploaded", 2)] {
        let id = twin.server.plant_asset(draft, name, b"xy", state).unwrap();
        let planted = twin.get(&format!("/releases/assets/{id}")).await.json;
        assert_eq!(
            (&planted["state"], &planted["size"]),
            (&json!(state), &json!(size))
        );
    }
    assert!(
        twin.server
            .plant_asset(999, "c", b"xy", "uploaded")
            .is_err()
    );
    twin.publish(draft).await;
    for (name, status) in [("b", 404), ("c", 200)] {
        let url = format!("{}/o/r/releases/download/v1/{name}", twin.server.url());
        let got = twin.client.get(url).send().await.unwrap();
        assert_eq!(got.status(), status, "{name}");
    }
}

#[tokio::test]
async fn users_may_have_no_gravatar() {
    let twin = Twin::start();
    let draft = twin.draft("v1").await;
    let path = format!("/releases/{draft}");
    assert_eq!(twin.get(&path).await.json["author"]["gravatar_id"], "");
    twin.server.set_gravatar(false).unwrap();
    twin.server
        .plant_asset(draft, "a", b"x", "uploaded")
        .unwrap();
    let release = twin.get(&path).await.json;
    assert_eq!(release["author"]["gravatar_id"], json!(null));
    assert_eq!(release["assets"][0]["uploader"]["gravatar_id"], json!(null));
}

#[tokio::test]
async fn the_runs_of_a_workflow_have_all_fields() {
    let twin = Twin::start();
    let runs = json!(["failure", "success", "failure"]).to_string();
    std::fs::write(twin.dir.path().join("github/runs.json"), runs).unwrap();
    let path = "/actions/workflows/drift.yml/runs?per_page=2";
    let runs = twin.get(path).await.json;
    assert_eq!(runs["total_count"], 3);
    let list = runs["workflow_runs"].as_array().unwrap();
    let ends: Vec<&Value> = list.iter().map(|run| &run["conclusion"]).collect();
    assert_eq!(ends, ["failure", "success"]);
    assert_eq!(list[0]["repository"]["full_name"], "o/r");
    assert_eq!(list[0]["head_commit"]["id"], list[0]["head_sha"]);
}

/// A file and a directory whose names git sorts differently than other programs.
#[tokio::test]
async fn trees_have_the_object_ids_of_git() {
    let twin = Twin::start();
    let files =
        ["a.b", "a/c/d", "a0", "b"].map(|path| (path.to_owned(), ("100644", format!("{path}\n"))));
    let commit = twin
        .server
        .push("main", "Work", &files.clone().into())
        .unwrap();
    let commit = twin.get(&format!("/git/commits/{commit}")).await.json;
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    std::fs::create_dir_all(at("a/c")).unwrap();
    for (path, (_, text)) in &files {
        std::fs::write(at(path), text).unwrap();
    }
    let Some(git) = external_tool("git") else {
        return;
    };
    let ask = |args: &[&str]| {
        let dir = dir.path().to_str().unwrap();
        String::from_utf8(run(&git, [&["-C", dir], args].concat())).unwrap()
    };
    ask(&["init", "--quiet"]);
    ask(&["add", "--all"]);
    assert_eq!(commit["tree"]["sha"], ask(&["write-tree"]).trim());
}

#[tokio::test]
async fn a_branch_moves_back_only_by_force_and_has_one_open_pull_request() {
    let twin = Twin::start();
    let files = |text: &str| [("a".to_owned(), ("100644", text.to_owned()))].into();
    let first = twin.server.push("main", "One", &files("1")).unwrap();
    let second = twin.server.push("main", "Two", &files("2")).unwrap();
    let make = json!({"ref": "refs/heads/x/y", "sha": second}).to_string();
    assert_eq!(twin.post("/git/refs", &make).await.status, 201);
    let again = twin.post("/git/refs", &make).await;
    assert_eq!(again.said(), (422, "Reference already exists"));
    let ask = json!({"title": "t", "head": "x/y", "base": "main"}).to_string();
    let same = twin.post("/pulls", &ask).await;
    assert_eq!(same.said(), (422, "No commits between main and x/y"));
    for (force, status) in [(false, 422), (true, 200)] {
        let change = json!({"sha": first, "force": force}).to_string();
        let moved = twin.patch("/git/refs/heads/x/y", &change).await;
        assert_eq!(moved.status, status, "{moved:?}");
    }
    let open = twin.post("/pulls", &ask).await;
    assert_eq!((open.status, &open.json["number"]), (201, &json!(1)));
    let twice = twin.post("/pulls", &ask).await;
    assert_eq!(
        twice.said(),
        (422, "A pull request already exists for o:x/y.")
    );
    for (query, count) in [("o:x/y", 1), ("o:x", 0), ("nonsense", 1)] {
        let path = format!("/pulls?state=all&base=main&head={query}");
        let found = twin.get(&path).await.json;
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{query}");
    }
    let issues = twin.get("/issues").await.json;
    assert!(
        issues[0]["pull_request"].is_object(),
        "numbered as issues are"
    );
}
