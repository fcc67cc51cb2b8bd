//! The journal of changes, and each way in which it interferes.

use std::time::Duration;

use polis_base::Digest;
use reqwest::Method;
use serde_json::json;
use xtask_loopback::{EmbeddedRegistry, Entry, Faults, Hold, Journal, Trip};

use crate::support::twin::{Answer, Twin, client};

const DRAFT: &str = r#"{"tag_name":"v1","draft":true}"#;
const SOON: Duration = Duration::from_secs(10);

fn entry(server: &'static str, method: &str, path: &str, status: Option<u16>) -> Entry {
    Entry {
        server,
        method: method.to_owned(),
        path: path.to_owned(),
        status,
    }
}

async fn releases(twin: &Twin) -> usize {
    let list = twin.get("/releases").await.json;
    list.as_array().unwrap().len()
}

#[tokio::test]
async fn changes_are_recorded_in_order_across_servers() {
    let twin = Twin::start();
    let dir = tempfile::tempdir().unwrap();
    let registry =
        EmbeddedRegistry::start_journaled(dir.path(), &Faults::none(), &twin.journal).unwrap();
    twin.post("/releases", DRAFT).await;
    let begin = format!("{}/v2/a/x/blobs/uploads/", registry.url());
    twin.client.post(&begin).send().await.unwrap();
    twin.client
        .get(format!("{}/v2/", registry.url()))
        .send()
        .await
        .unwrap();
    twin.post("/releases/1/assets?name=a&label=b", "x").await;
    let releases = "/repos/o/r/releases";
    assert_eq!(
        twin.journal.entries(),
        [
            entry("github", "POST", releases, Some(201)),
            entry("registry", "POST", "/v2/a/x/blobs/uploads/", Some(202)),
            entry(
                "github",
                "POST",
                &format!("{releases}/1/assets?name=a&label=b"),
                Some(201)
            ),
        ]
    );
    twin.journal.clear();
    assert_eq!(twin.journal.entries(), []);
    twin.delete("/releases/99").await;
    assert_eq!(
        twin.journal.entries(),
        [entry(
            "github",
            "DELETE",
            &format!("{releases}/99"),
            Some(404)
        )]
    );
}

#[tokio::test]
async fn a_request_is_rejected_before_or_misreported_after() {
    let twin = Twin::start();
    twin.journal.trip(1, Trip::RefuseBefore(503));
    twin.journal.trip(2, Trip::AnswerAfter(500));
    assert_eq!(twin.post("/releases", DRAFT).await.status, 201);
    assert_eq!(twin.post("/releases", DRAFT).await.status, 503);
    assert_eq!(releases(&twin).await, 1);
    assert_eq!(twin.post("/releases", DRAFT).await.status, 500);
    assert_eq!(releases(&twin).await, 2);
    assert_eq!(twin.post("/releases", DRAFT).await.status, 201);
    let kept = twin.journal.entries();
    let statuses: Vec<Option<u16>> = kept.iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [Some(201), Some(503), Some(500), Some(201)]);
}

#[tokio::test]
async fn a_response_is_truncated_with_and_without_a_body() {
    let twin = Twin::start();
    twin.journal.trip(0, Trip::CutAfter);
    twin.journal.trip(1, Trip::CutAfter);
    let url = format!("{}/repos/o/r/releases", twin.server.url());
    let created = twin.client.post(&url).bearer_auth("s3cret").body(DRAFT);
    let created = created.send().await.unwrap();
    assert_eq!(created.status(), 201);
    created.bytes().await.unwrap_err();
    assert_eq!(releases(&twin).await, 1);
    let deleted = twin.client.delete(format!("{url}/1")).bearer_auth("s3cret");
    let error = deleted.send().await.unwrap_err();
    assert!(error.is_request(), "no answer at all: {error:?}");
    assert_eq!(releases(&twin).await, 0);
    let kept = twin.journal.entries();
    let statuses: Vec<Option<u16>> = kept.iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [Some(201), Some(204)]);
}

#[tokio::test]
async fn a_request_is_held_before_and_after() {
    let twin = Twin::start();
    for (number, trip, there) in [
        (0, Trip::Before as fn(Hold) -> Trip, 0),
        (1, Trip::After, 2),
    ] {
        let hold = Hold::default();
        assert!(!hold.wait(Duration::ZERO), "nothing is held yet");
        twin.journal.trip(number, trip(hold.clone()));
        let held = twin.post("/releases", DRAFT);
        let look = async {
            let waiting = hold.clone();
            let waited = tokio::task::spawn_blocking(move || waiting.wait(SOON));
            assert!(waited.await.unwrap());
            assert_eq!(releases(&twin).await, there);
            assert_eq!(twin.journal.entries()[number].status, None);
            hold.release();
        };
        let (answer, ()) = tokio::join!(held, look);
        assert_eq!(answer.status, 201);
        assert_eq!(releases(&twin).await, number + 1);
    }
}

#[tokio::test]
async fn a_held_request_whose_client_is_gone_is_never_applied() {
    let twin = Twin::start();
    let hold = Hold::default();
    twin.journal.trip(0, Trip::Before(hold.clone()));
    let impatient = Duration::from_millis(200);
    let url = format!("{}/repos/o/r/releases", twin.server.url());
    let request = twin.client.post(&url).bearer_auth("s3cret").body(DRAFT);
    request.timeout(impatient).send().await.unwrap_err();
    assert!(hold.wait(SOON));
    // No request shows what the server does after its client is gone, so wait.
    tokio::time::sleep(impatient).await;
    hold.release();
    tokio::time::sleep(impatient).await;
    assert_eq!(releases(&twin).await, 0);
    assert_eq!(twin.journal.entries()[0].status, None);
}

#[tokio::test]
async fn two_doors_share_content_and_are_held_separately() {
    let twin = Twin::start();
    let (one, other) = (Journal::default(), Journal::default());
    let doors = [
        twin.server.door(&one).unwrap(),
        twin.server.door(&other).unwrap(),
    ];
    one.trip(0, Trip::RefuseBefore(502));
    for (door, status) in doors.iter().zip([502, 201]) {
        let url = format!("{}/repos/o/r/releases", door.url());
        let request = twin.client.post(&url).bearer_auth("s3cret").body(DRAFT);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(releases(&twin).await, 1);
    assert_eq!((one.entries().len(), other.entries().len()), (1, 1));
    assert_eq!(twin.journal.entries(), []);

    let dir = tempfile::tempdir().unwrap();
    let registry = EmbeddedRegistry::start(dir.path()).unwrap();
    let door = registry.door(&one).unwrap();
    let digest = Digest::of(b"x").to_string();
    let push = format!("{}/v2/a/blobs/uploads/?digest={digest}", door.url());
    let pushed = client().request(Method::POST, push).body("x").send().await;
    assert_eq!(pushed.unwrap().status(), 201);
    let there = format!("{}/v2/a/blobs/{digest}", registry.url());
    let there = client().get(there).send().await.unwrap();
    assert_eq!(there.bytes().await.unwrap(), "x");
    assert_eq!(one.entries().len(), 2);
    assert_eq!(json!(other.entries().len()), 1);
}
