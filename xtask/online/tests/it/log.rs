//! The log of `-v` and `RUST_LOG`, which must not contain secrets.

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use xtask_loopback::Fault;
use xtask_testkit::Ran;

use crate::support::test_env::TestEnv;

/// Secrets that must never be logged: a GitHub token, a password, the token it is exchanged for, a signature, a body.
const SECRETS: [&str; 5] = [
    "ghp_t0ken",
    "passw0rd",
    "the-t0ken-of-the-realm",
    "s1gnature",
    "the-b0dy",
];

/// An empty registry that requires a token from its own server.
async fn registry(request: Request) -> Response {
    let headers = request.headers();
    let host = headers[header::HOST].to_str().unwrap();
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap());
    match (request.uri().path(), authorization) {
        ("/token", Some(basic)) if basic.starts_with("Basic ") => {
            r#"{"token": "the-t0ken-of-the-realm", "expires_in": 300}"#.into_response()
        }
        (_, Some("Bearer the-t0ken-of-the-realm")) => {
            (StatusCode::NOT_FOUND, "the-b0dy").into_response()
        }
        _ => {
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            let challenge = [(header::WWW_AUTHENTICATE, challenge)];
            (StatusCode::UNAUTHORIZED, challenge, "the-b0dy").into_response()
        }
    }
}

/// Looks up every pin, with a registry login, a GitHub token, a redirect to a signed URL and a temporary fault.
fn verify_pins(args: &[&str], env: &[(&str, &str)]) -> Ran {
    let test_env = TestEnv::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap();
    let registry_url = format!("http://{}", listener.local_addr().unwrap());
    let service = axum::serve(listener, Router::new().fallback(registry));
    runtime.spawn(async { service.await });
    let path = test_env
        .others
        .files
        .keys()
        .find(|path| path.contains("/yq"));
    let path = path.expect("the machine downloads yq");
    let signed = format!("https://github.com{path}?X-Amz-Signature=s1gnature");
    test_env
        .other_faults
        .add("GET", path, 1, Fault::Status(503));
    test_env
        .other_faults
        .add("GET", path, 1, Fault::Redirect(signed));
    let secrets = [
        ("GITHUB_TOKEN", "ghp_t0ken"),
        ("POLIS_REGISTRY_USER", "me"),
        ("POLIS_REGISTRY_PASSWORD", "passw0rd"),
    ];
    let args = [&["verify-pins"], args].concat();
    let ran = test_env.run_at(
        &args,
        &[&secrets, env].concat(),
        &[("ghcr.io", registry_url)],
    );
    for secret in SECRETS {
        assert!(!ran.stderr.contains(secret), "{secret}: {}", ran.stderr);
    }
    ran
}

/// Fails unless `log` has a line with all of `words`.
fn assert_logged(log: &str, words: &[&str]) {
    let told = |line: &str| words.iter().all(|word| line.contains(word));
    assert!(log.lines().any(told), "no line with {words:?} in\n{log}");
}

#[test]
fn vv_logs_everything_except_secrets() {
    let log = verify_pins(&["-vv"], &[]).stderr;
    assert_logged(&log, &["DEBUG", "request", "method=GET", "/v2/"]);
    assert_logged(&log, &["INFO", "answer", "status=401", "/v2/", "ms="]);
    assert_logged(
        &log,
        &[
            "INFO",
            "token",
            "/token",
            "seconds=250",
            "scope=\"repository:",
        ],
    );
    assert_logged(&log, &["INFO", "answer", "status=503", "/yq"]);
    assert_logged(
        &log,
        &["INFO", "trying again", "kind=Unreachable", "attempt=2"],
    );
    assert_logged(&log, &["INFO", "redirected", "/yq", "?..."]);
    assert_logged(
        &log,
        &["INFO", "answer", "status=200", "/repos/actions/checkout/"],
    );
    assert_logged(&log, &["DEBUG", "scheme=\"bearer\""]);
}

#[test]
fn v_logs_less_and_nothing_is_logged_by_default() {
    let log = verify_pins(&["-v"], &[]).stderr;
    assert_logged(&log, &["INFO", "answer", "status=401"]);
    assert!(!log.contains("DEBUG"), "{log}");
    let log = verify_pins(&[], &[]).stderr;
    assert!(!log.contains("INFO"), "{log}");
}

#[test]
fn rust_log_enables_our_events_but_not_those_of_libraries() {
    let log = verify_pins(&[], &[("RUST_LOG", "trace")]).stderr;
    assert_logged(&log, &["INFO", "answer", "status=401"]);
    let foreign = log.lines().find(|line| line.contains("hyper"));
    assert_eq!(foreign, None);
    let ran = verify_pins(&[], &[("RUST_LOG", "a=b=c")]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("invalid filter in RUST_LOG"),
        "{}",
        ran.stderr
    );
}
