//! The registry's response to `GET /v2/`, which says how to authenticate.

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants clients to authenticate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Not at all.
    Open,
    /// With user name and password in every request.
    Basic,
    /// With a token.
    Bearer(Realm),
}

/// A token server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Realm {
    /// Its address.
    pub(super) url: String,
    /// The service that the token is for.
    pub(super) service: Option<String>,
}

/// The challenge in the headers of a 401. If there are several, a token is preferred, because it is limited to one
/// repository and a password is not.
///
/// # Errors
/// A sentence, if none is supported.
pub(super) fn read(headers: &HeaderMap) -> Result<Challenge, String> {
    let mut basic = false;
    for header in headers.get_all(WWW_AUTHENTICATE) {
        let text = header.to_str().unwrap_or_default();
        let challenges = http_auth::parse_challenges(text)
            .map_err(|error| format!("cannot read WWW-Authenticate: {error}"))?;
        for challenge in challenges {
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = true;
            } else if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let value = |name: &str| {
                    let mut params = challenge.params.iter();
                    let found = params.find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.to_unescaped())
                };
                let url = value("realm").ok_or("the Bearer challenge has no realm")?;
                let service = value("service");
                return Ok(Challenge::Bearer(Realm { url, service }));
            }
        }
    }
    match basic {
        true => Ok(Challenge::Basic),
        false => Err("status 401 without a supported challenge".to_owned()),
    }
}

impl Realm {
    /// The URL to request a token with `scope` from.
    ///
    /// # Errors
    /// If the realm is not a URL.
    pub(super) fn address(&self, scope: &str) -> Result<Url, String> {
        let mut url = self.url()?;
        self.append(&mut url, scope);
        Ok(url)
    }

    /// The same parameters as a form for a POST request, with the additional fields `more`.
    ///
    /// # Errors
    /// If the realm is not a URL.
    pub(super) fn form(&self, scope: &str, more: &[(&str, &str)]) -> Result<String, String> {
        let mut url = self.url()?;
        url.set_query(None);
        self.append(&mut url, scope);
        url.query_pairs_mut().extend_pairs(more);
        Ok(url.query().unwrap_or_default().to_owned())
    }

    fn url(&self) -> Result<Url, String> {
        Url::parse(&self.url).map_err(|error| format!("the realm is not a URL: {error}"))
    }

    fn append(&self, url: &mut Url, scope: &str) {
        let mut pairs = url.query_pairs_mut();
        if let Some(service) = &self.service {
            pairs.append_pair("service", service);
        }
        pairs.append_pair("scope", scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Result<Challenge, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        read(&headers)
    }

    #[test]
    fn quoting_and_order_do_not_matter() {
        let realm = |url: &str, service: Option<&str>| {
            Ok(Challenge::Bearer(Realm {
                url: url.to_owned(),
                service: service.map(str::to_owned),
            }))
        };
        let full =
            r#"Bearer realm="https://a.b/t?x=1,2",service="a \"b\", c",scope="repository:x:pull""#;
        assert_eq!(
            parse(&[full]),
            realm("https://a.b/t?x=1,2", Some("a \"b\", c"))
        );
        let both = r#"Basic realm="x", bearer REALM="https://a.b/t""#;
        assert_eq!(parse(&[both]), realm("https://a.b/t", None));
        assert_eq!(
            parse(&["Basic realm=x", r#"Bearer realm="https://a""#]),
            realm("https://a", None)
        );
        assert_eq!(parse(&["Basic realm=x"]), Ok(Challenge::Basic));
    }

    #[test]
    fn unsupported_challenges_are_errors() {
        for values in [
            &[][..],
            &["Negotiate"],
            &["Bearer service=x"],
            &["Bearer realm=\"x"],
        ] {
            assert!(parse(values).is_err(), "{values:?}");
        }
    }

    #[test]
    fn fields_are_escaped() {
        let realm = Realm {
            url: "https://a.b/token?x=1".to_owned(),
            service: Some("a b&c".to_owned()),
        };
        let fields = "service=a+b%26c&scope=repository%3Aa%2Fx%3Apull%2Cpush";
        let scope = "repository:a/x:pull,push";
        assert_eq!(
            realm.address(scope).unwrap().as_str(),
            format!("https://a.b/token?x=1&{fields}")
        );
        assert_eq!(
            realm.form(scope, &[("k", "é")]).unwrap(),
            format!("{fields}&k=%C3%A9")
        );
    }
}
