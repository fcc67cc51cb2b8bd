//! Pushing with token authentication, as public registries use it, against Docker's registry.

use xtask_online::ErrorKind;
use xtask_online::registry::{Credentials, Logins, Registry};

use crate::support::docker::DockerRegistry;
use crate::support::tokens::{Issuer, Policy};
use crate::support::{endpoints, layout};

#[tokio::test]
async fn a_password_is_exchanged_for_a_token_that_dockers_registry_accepts() {
    let Some(issuer) = Issuer::start(Policy::Password).await else {
        return;
    };
    let Some(server) = DockerRegistry::with_tokens(&issuer.realm()) else {
        return;
    };
    issuer.sign_with(server.dir());

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
    assert_eq!(
        issuer.take_scopes(),
        ["repository:a/x:pull", "repository:a/x:pull,push"],
        "one token each for reading and writing"
    );

    // A rejected login is reported as such, and not followed by an anonymous request.
    let error = client("s3crets").resolve(&to).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "ghcr.io/a/x:v1: access denied: the login was rejected: wrong user or password"
    );
    let anonymous = Registry::new(&endpoints, Logins::none()).unwrap();
    let error = anonymous.push_layout(dir.path(), &to).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unauthorised, "{error}");
    assert!(
        error
            .detail
            .starts_with("the server issues no token without a login"),
        "{error}"
    );
}
