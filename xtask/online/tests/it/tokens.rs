//! The token login that public registries use, against Docker's registry: a token server made
//! here checks the password and signs what the registry then verifies.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use xtask_online::ErrorKind;
use xtask_online::registry::{Credentials, Logins, Registry};

use crate::support::docker::DockerRegistry;
use crate::support::{endpoints, layout, real_part, run};

/// `me:s3cret` as basic authentication sends it.
const BASIC: &str = "Basic bWU6czNjcmV0";

/// The token server's share: where the key is, once it is known, and the scopes it was asked.
#[derive(Default)]
struct Issuer {
    key: OnceLock<(PathBuf, PathBuf)>,
    scopes: Mutex<Vec<String>>,
}

#[tokio::test]
async fn a_password_is_exchanged_for_a_token_that_dockers_registry_accepts() {
    let Some(openssl) = real_part("openssl") else {
        return;
    };
    let issuer = Arc::new(Issuer::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let realm = format!("http://{}/token", listener.local_addr().unwrap());
    let router = Router::new().fallback(issue).with_state(issuer.clone());
    tokio::spawn(async { axum::serve(listener, router).await });
    let Some(server) = DockerRegistry::with_tokens(&realm) else {
        return;
    };
    issuer.key.set((openssl, server.dir().to_owned())).unwrap();

    let endpoints = endpoints(&[format!("ghcr.io=http://{}", server.host())]);
    let client = |secret: &str| {
        let logins = Logins::none().with("ghcr.io", Credentials::new("me", secret));
        Registry::new(&endpoints, logins).unwrap()
    };
    let (dir, to) = (
        tempfile::tempdir().unwrap(),
        "ghcr.io/a/x:v1".parse().unwrap(),
    );
    let root = layout::index(dir.path(), "x");
    let registry = client("s3cret");
    assert_eq!(registry.push_layout(dir.path(), &to).await.unwrap(), root);
    registry.retag(&to.pinned(root), "latest").await.unwrap();
    let scopes = issuer.scopes.lock().unwrap().clone();
    assert_eq!(
        scopes,
        ["repository:a/x:pull", "repository:a/x:pull,push"],
        "one login each for reading and writing"
    );

    // A refused login is told as one, and not followed by an anonymous request.
    let error = client("s3crets").resolve(&to).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/a/x:v1: access refused: the login was refused: wrong user or password"
    );
    let anonymous = Registry::new(&endpoints, Logins::none()).unwrap();
    let error = anonymous.push_layout(dir.path(), &to).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorised, "{error}");
}

async fn issue(State(issuer): State<Arc<Issuer>>, request: Request) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_none_or(|given| given != BASIC) {
        return (StatusCode::UNAUTHORIZED, "wrong user or password").into_response();
    }
    let query = reqwest::Url::parse(&format!("http://x{}", request.uri())).unwrap();
    let scope = query
        .query_pairs()
        .find(|(key, _)| key == "scope")
        .unwrap()
        .1
        .into_owned();
    issuer.scopes.lock().unwrap().push(scope.clone());
    let (openssl, dir) = issuer.key.get().unwrap();
    json!({"token": token(openssl, dir, &scope)})
        .to_string()
        .into_response()
}

/// A signed token that grants `scope`.
fn token(openssl: &Path, dir: &Path, scope: &str) -> String {
    let [kind, name, actions] = scope.split(':').collect::<Vec<_>>().try_into().unwrap();
    let pem = fs::read_to_string(dir.join("auth.pem")).unwrap();
    let certificate: String = pem
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]});
    let claims = json!({
        "iss": "issuer.test", "sub": "me", "aud": "registry.test", "jti": "1",
        "nbf": now - 60, "iat": now, "exp": now + 300,
        "access": [{"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}],
    });
    let signed = format!(
        "{}.{}",
        base64url(header.to_string().as_bytes()),
        base64url(claims.to_string().as_bytes())
    );
    let input = tempfile::NamedTempFile::new().unwrap();
    fs::write(input.path(), &signed).unwrap();
    let (key, input) = (dir.join("auth.key"), input.path().to_owned());
    let signature = run(
        openssl,
        [
            "dgst".as_ref(),
            "-sha256".as_ref(),
            "-sign".as_ref(),
            key.as_os_str(),
            input.as_os_str(),
        ],
    );
    format!("{signed}.{}", base64url(&signature))
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            out.push(char::from(
                ALPHABET[(bits >> (18 - 6 * place) & 63) as usize],
            ));
        }
    }
    out
}
