//! The URL under which releases are published.

/// Checks the URL of releases: `https`, and `http` only on this machine, where eavesdropping is not a concern.
pub(crate) fn check(text: &str) -> std::result::Result<String, String> {
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| {
        let rest = url.strip_prefix("http://")?;
        let host = rest.split('/').next()?;
        let name = match host.strip_prefix('[') {
            Some(_) => host.split_inclusive(']').next()?,
            None => host.split(':').next()?,
        };
        matches!(name, "127.0.0.1" | "localhost" | "[::1]").then_some(rest)
    });
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~%:/[]".contains(c);
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(plain) => {
            Ok(url.to_owned())
        }
        _ => Err(format!(
            "invalid URL of releases `{text}`: expected https://HOST/PATH, or http:// on a loopback address, without a \
             name, a password or a query"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_come_by_https_or_from_this_machine() {
        for good in [
            "https://github.com/odralabshq/polis/releases",
            "https://mirror.example:8443/polis/",
            "http://127.0.0.1:8080",
            "http://localhost/x",
            "http://[::1]:80/x",
        ] {
            assert_eq!(check(good), Ok(good.trim_end_matches('/').to_owned()));
        }
        for bad in [
            "",
            "https://",
            "https:///x",
            "http://example.org/x",
            "http://127.0.0.1.example.org/x",
            "http://localhost@example.org/x",
            "https://user:word@example.org/x",
            "https://example.org/x?y",
            "https://example.org/x y",
            "ftp://127.0.0.1/x",
            "file:///etc/passwd",
            "--output",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
