//! Immutable releases.

use super::*;

#[tokio::test]
async fn an_immutable_release_keeps_its_files_and_its_tag() {
    let twin = Twin::start();
    let (release, asset) = twin.immutable("v1").await;
    let twin = twin.restarted();
    let path = format!("/releases/{release}");
    let upload = twin.post(&format!("{path}/assets?name=b"), "x").await;
    assert_eq!(
        upload.said(),
        (422, "Cannot upload assets to an immutable release.")
    );
    let deleted = twin.delete(&format!("/releases/assets/{asset}")).await;
    assert_eq!(
        (deleted.status, &deleted.json["errors"]),
        (
            422,
            &json!([{"resource": "ReleaseAsset", "code": "custom",
                     "message": "Cannot delete asset from an immutable release"}])
        )
    );
    for change in [
        r#"{"draft":true}"#,
        r#"{"tag_name":"v2"}"#,
        r#"{"target_commitish":"main"}"#,
    ] {
        let refused = twin.patch(&path, change).await;
        assert_eq!(refused.said(), (422, FROZEN), "{change}");
    }
    let editable = r#"{"name":"n","body":"b","prerelease":true,"make_latest":"false","draft":false,"tag_name":"v1"}"#;
    let edited = twin.patch(&path, editable).await;
    assert_eq!((edited.status, &edited.json["name"]), (200, &json!("n")));
    assert_eq!(edited.json["immutable"], true);

    // Disabling the setting unfreezes nothing, and does not affect earlier releases.
    twin.server.set_immutable(false).unwrap();
    assert_eq!(twin.get(&path).await.json["immutable"], true);
    let free = twin.post("/releases", r#"{"tag_name":"v3"}"#).await;
    twin.server.set_immutable(true).unwrap();
    let path = format!("/releases/{}", free.id());
    assert_eq!(twin.patch(&path, "{}").await.json["immutable"], false);
    let upload = twin.post(&format!("{path}/assets?name=b"), "x").await;
    assert_eq!(upload.status, 201);
}

#[tokio::test]
async fn a_deleted_immutable_release_burns_its_tag() {
    let twin = Twin::start();
    let (release, _) = twin.immutable("v1").await;
    assert_eq!(
        twin.delete(&format!("/releases/{release}")).await.status,
        204
    );
    assert_eq!(twin.get(&format!("/releases/{release}")).await.status, 404);
    assert_eq!(twin.get("/git/ref/tags/v1").await.status, 200);
    let twin = twin.restarted();
    twin.server.set_immutable(false).unwrap();
    let refused = twin.post("/releases", r#"{"tag_name":"v1"}"#).await;
    assert_eq!(refused.said(), (422, BURNT));
    assert_eq!(refused.json["errors"][0]["field"], "tag_name");
    // A draft can have it, but can never be published.
    let draft = twin.draft("v1").await;
    assert_eq!(twin.publish(draft).await.said(), (422, BURNT));
    twin.server.untag("v1").unwrap();
    let refused = twin.publish(draft).await;
    let errors = refused.json["errors"].as_array().unwrap();
    let fields: Vec<&Value> = errors.iter().map(|error| &error["field"]).collect();
    assert_eq!(
        fields,
        [&json!("pre_receive"), &json!("tag_name"), &json!(null)]
    );
    assert_eq!(
        (&errors[1]["message"], &errors[2]["message"]),
        (&json!(BURNT), &json!(NO_TAG))
    );

    // Other releases are not affected.
    for tag in ["v2", "v2"] {
        let body = json!({"tag_name": tag}).to_string();
        let public = twin.post("/releases", &body).await;
        let path = format!("/releases/{}", public.id());
        assert_eq!(twin.delete(&path).await.status, 204);
        assert_eq!(twin.delete(&path).await.status, 404);
    }
    assert_eq!(twin.delete(&format!("/releases/{draft}")).await.status, 204);
    let url = format!("{}/repos/o/r/releases/{draft}", twin.server.url());
    let anonymous = twin.client.delete(url).send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
}

#[tokio::test]
async fn an_immutable_release_needs_its_tag_first() {
    let twin = Twin::start();
    twin.server.set_immutable(true).unwrap();
    let draft = twin.draft("v1").await;
    assert_eq!(twin.publish(draft).await.said(), (422, NO_TAG));
    assert_eq!(twin.get("/git/ref/tags/v1").await.status, 404);
    twin.server.tag("v1", COMMIT).unwrap();
    assert_eq!(twin.publish(draft).await.json["immutable"], true);
}

#[tokio::test]
async fn an_immutable_release_is_attested_after_a_while() {
    let twin = Twin::start();
    twin.server.set_attestation_lag(2).unwrap();
    let (release, _) = twin.immutable("v1").await;
    let sha = twin.get("/git/ref/tags/v1").await.json["object"]["sha"].clone();
    let sha = sha.as_str().unwrap();
    let path = format!("/attestations/sha1:{sha}?predicate_type=release");
    assert_eq!(twin.get(&path).await.said(), (404, "Not Found"));
    twin.server.set_empty_attestations(true).unwrap();
    let none = json!({"attestations": []});
    assert_eq!(twin.get(&path).await.json, none);
    let found = twin.get(&path).await.json;
    let bundle = &found["attestations"][0]["bundle"];
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(payload);
    let statement: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha1"], sha);
    assert_eq!(statement["subject"][1]["name"], "a");

    let url = format!("{}/repos/o/r{path}", twin.server.url());
    let newer = twin
        .client
        .get(url)
        .header("x-github-api-version", "2026-03-10");
    let newer = Answer::of(newer.send().await.unwrap()).await.json;
    let attestation = &newer["attestations"][0];
    assert_eq!(attestation.get("bundle"), None);
    let at = attestation["bundle_url"].as_str().unwrap();
    let there = Answer::of(twin.client.get(at).send().await.unwrap()).await;
    assert_eq!(&there.json, bundle);

    for other in [
        format!("/attestations/sha1:{COMMIT}?predicate_type=release"),
        format!("/attestations/sha1:{sha}?predicate_type=provenance"),
    ] {
        assert_eq!(twin.get(&other).await.json, none, "{other}");
    }
    twin.delete(&format!("/releases/{release}")).await;
    assert_eq!(twin.get(&path).await.json, none);
}

#[tokio::test]
async fn the_setting_requires_permission() {
    let twin = Twin::start();
    let path = "/immutable-releases";
    let forbidden = (403, "Resource not accessible by integration");
    assert_eq!(twin.get(path).await.said(), forbidden);
    twin.server.set_probe(Probe::Told).unwrap();
    let off = json!({"enabled": false, "enforced_by_owner": false});
    assert_eq!(twin.get(path).await.json, off);
    twin.server.set_immutable(true).unwrap();
    assert_eq!(twin.get(path).await.json["enabled"], true);
    twin.server.set_probe(Probe::Missing).unwrap();
    assert_eq!(twin.get(path).await.status, 404);
    assert_eq!(twin.ask(Method::PUT, path, "").await.status, 404);
}
