//! Mutated responses of registries and key servers: no reader panics or hangs.

use std::time::Instant;

use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use xtask_testkit::fuzz::fuzz;

use super::challenge::{self, Challenge};
use super::docker_config::DockerConfig;
use super::media::media_type;
use super::token;
use crate::openpgp::primary_fingerprints;
use crate::openpgp::tests::V6;

fn corpus(texts: &[&str]) -> Vec<Vec<u8>> {
    texts
        .iter()
        .map(|text| text.as_bytes().to_owned())
        .collect()
}

#[test]
fn fuzz_challenges() {
    let corpus = corpus(&[
        r#"Bearer realm="https://a.b/t?x=1,2",service="a \"b\", c",scope="repository:a/x:pull""#,
        r#"Basic realm="x", bearer REALM="https://a.b/t""#,
        "Negotiate",
    ]);
    let words = ["Bearer ", "realm=", "\\\"", "https://[::1]:99999/", "é"];
    fuzz("challenge", &corpus, &words, 50_000, |bytes| {
        let Ok(value) = HeaderValue::from_bytes(bytes) else {
            return;
        };
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, value)]);
        if let Ok(Challenge::Bearer(realm)) = challenge::read(&headers) {
            let _ = (
                realm.address("repository:a:pull"),
                realm.form("x", &[("k", "v")]),
            );
        }
    });
}

#[test]
fn fuzz_tokens_and_documents() {
    let corpus = corpus(&[
        r#"{"token": "a", "access_token": "b", "expires_in": 300, "issued_at": "x"}"#,
        r#"{"auths": {"ghcr.io": {"auth": "ZG9ja2VyOmxvZ2lu", "identitytoken": "x"}}, "credHelpers": {"a.b": "x"}}"#,
        r#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}"#,
    ]);
    let words = [
        "18446744073709551615",
        "null",
        "-1",
        "1e999",
        "\"expires_in\": ",
        "\"auth\": \"",
        "==",
    ];
    fuzz("token", &corpus, &words, 50_000, |bytes| {
        let _ = token::read(bytes, Instant::now());
        let _ = media_type(bytes);
        let text = String::from_utf8_lossy(bytes);
        if let Ok(config) = DockerConfig::parse("config.json", &text)
            // Looking up a helper would start a program.
            && !text.contains("cred")
        {
            let _ = config.login("ghcr.io");
        }
    });
}

#[test]
fn fuzz_keys() {
    let corpus = corpus(&[
        V6,
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmA==\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ]);
    let words = [
        "=AAAA\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
        "\n\n",
        "////",
    ];
    fuzz("openpgp", &corpus, &words, 30_000, |bytes| {
        let _ = primary_fingerprints(bytes);
    });
}
