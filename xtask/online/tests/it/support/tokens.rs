//! A token server like those of public registries: it verifies credentials and signs tokens, which Docker's registry
//! then verifies.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{external_tool, run};

/// `me:s3cret` as sent by basic authentication.
const BASIC: &str = "Basic bWU6czNjcmV0";

/// The credentials that the server accepts, and its kind of response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// User name and password.
    Password,
    /// User name and password, with tokens named `access_token` that are valid for a second.
    Brief,
    /// The identity token `id3ntity`, or user name and password.
    Identity,
}

/// A running token server.
pub(crate) struct Issuer {
    realm: String,
    shared: Arc<Shared>,
}

struct Shared {
    policy: Policy,
    openssl: PathBuf,
    /// The directory of the key, once it is known.
    keys: OnceLock<PathBuf>,
    scopes: Mutex<Vec<String>>,
    /// The number of issued tokens, which makes them unique.
    given: AtomicUsize,
}

impl Issuer {
    /// `None` if openssl is not installed.
    pub(crate) async fn start(policy: Policy) -> Option<Self> {
        let shared = Arc::new(Shared {
            policy,
            openssl: external_tool("openssl")?,
            keys: OnceLock::new(),
            scopes: Mutex::default(),
            given: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(issue)
            .with_state(Arc::clone(&shared));
        tokio::spawn(async { axum::serve(listener, router).await });
        Some(Self { realm, shared })
    }

    /// The URL that the registry announces.
    pub(crate) fn realm(&self) -> String {
        self.realm.clone()
    }

    /// From now on, signs with the key `auth.key` of the certificate `auth.pem` in `dir`.
    pub(crate) fn sign_with(&self, dir: &Path) {
        self.shared.keys.set(dir.to_owned()).unwrap();
    }

    /// The scopes of the tokens issued since the last call.
    pub(crate) fn take_scopes(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.scopes.lock().unwrap())
    }
}

async fn issue(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let post = parts.method == Method::POST;
    let fields = match post {
        true => String::from_utf8(to_bytes(body, 65536).await.unwrap().to_vec()).unwrap(),
        false => parts.uri.query().unwrap_or_default().to_owned(),
    };
    let fields = reqwest::Url::parse(&format!("http://x/?{fields}")).unwrap();
    let field = |name: &str| {
        let mut pairs = fields.query_pairs();
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if post {
        let form = parts.headers.get(header::CONTENT_TYPE).unwrap();
        assert_eq!(form, "application/x-www-form-urlencoded");
        assert_eq!(field("grant_type").as_deref(), Some("refresh_token"));
        assert!(field("client_id").is_some());
        let right = field("refresh_token").as_deref() == Some("id3ntity");
        if !right || shared.policy != Policy::Identity {
            return (StatusCode::UNAUTHORIZED, "wrong identity token").into_response();
        }
    } else if parts
        .headers
        .get(header::AUTHORIZATION)
        .is_none_or(|given| given != BASIC)
    {
        return (StatusCode::UNAUTHORIZED, "wrong user or password").into_response();
    }
    assert_eq!(field("service").as_deref(), Some("registry.test"));
    let scope = field("scope").unwrap();
    let number = shared.given.fetch_add(1, Ordering::Relaxed);
    shared.scopes.lock().unwrap().push(scope.clone());
    let token = token(&shared.openssl, shared.keys.get().unwrap(), &scope, number);
    let reply = match shared.policy {
        Policy::Brief => json!({"access_token": token, "expires_in": 1}),
        Policy::Password | Policy::Identity => json!({"token": token, "expires_in": 300}),
    };
    reply.to_string().into_response()
}

/// A signed token that grants `scope`.
fn token(openssl: &Path, dir: &Path, scope: &str, number: usize) -> String {
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
        "iss": "issuer.test", "sub": "me", "aud": "registry.test", "jti": number.to_string(),
        "nbf": now - 60, "iat": now, "exp": now + 300,
        "access": [{"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}],
    });
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
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
    format!("{signed}.{}", encode(&signature))
}
