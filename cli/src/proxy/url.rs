//! The URL of a proxy. Only characters that a shell, systemd and apt all interpret alike are accepted.

/// Replaces a name and a password.
const MASK: &str = "***";

/// Checks the URL of a proxy. Errors never quote it, since it may contain a password.
pub(crate) fn check(text: &str) -> Result<String, String> {
    let expected = "expected http://HOST:PORT or https://HOST:PORT, with NAME:PASSWORD@ before the host if the proxy requires them";
    let url = text.strip_suffix('/').unwrap_or(text);
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .ok_or(expected)?;
    let (user, place) = match rest.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, rest),
    };
    if user.is_some_and(|user| !user.split(':').all(is_encoded)) {
        return Err(
            "in the name and the password, every character but letters, digits, `-`, `.`, `_` and `~` has to be written as \
             %XX"
            .to_owned(),
        );
    }
    let (host, port) = place.rsplit_once(':').ok_or(expected)?;
    let is_host = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    match is_host && port.parse::<u16>().is_ok_and(|port| port > 0) {
        true => Ok(url.to_owned()),
        false => Err(expected.to_owned()),
    }
}

/// Checks the list of hosts that are reached directly, and returns it without blanks.
pub(crate) fn check_list(text: &str) -> Result<String, String> {
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.:/*".contains(c);
    match entries
        .iter()
        .find(|entry| entry.is_empty() || !entry.chars().all(plain))
    {
        Some(bad) => Err(format!(
            "invalid host, domain or network `{bad}`: expected a list such as `localhost,.example.org,10.0.0.0/8`"
        )),
        None => Ok(entries.join(",")),
    }
}

/// Whether `text` has only unreserved characters and %XX.
fn is_encoded(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        let fits = match byte {
            b'%' => hex(bytes.next()) && hex(bytes.next()),
            byte => byte.is_ascii_alphanumeric() || b"-._~".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Whether `text` can be the name or the address of a host.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    !text.is_empty() && !text.starts_with(['-', '.']) && text.chars().all(plain)
}

/// Whether a URL holds a name or a password.
pub(crate) fn is_secret(text: &str) -> bool {
    masked(text) != text
}

/// `text` without the names and passwords of the URLs in it.
pub(crate) fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        // A password that is not properly encoded may contain anything, even another `@`.
        match line.split_once("://") {
            Some((scheme, rest)) if rest.contains('@') => {
                let place = rest.rsplit_once('@').map_or("", |(_, place)| place);
                shown.push_str(&format!("{scheme}://{MASK}@{place}"));
            }
            _ => shown.push_str(line),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_a_host_and_a_port() {
        for valid in [
            "http://proxy:3128",
            "https://proxy.example.org:443",
            "http://10.0.0.1:8080",
            "http://[fd00::1]:3128",
            "http://me:p%40ss-._~@proxy:3128",
            "http://me@proxy:3128",
        ] {
            assert_eq!(check(valid), Ok(valid.to_owned()));
            assert_eq!(check(&format!("{valid}/")), Ok(valid.to_owned()));
        }
    }

    #[test]
    fn invalid_urls_are_refused_without_quoting_a_password() {
        for bad in [
            "",
            "proxy:3128",
            "http://proxy",
            "http://:3128",
            "http://proxy:0",
            "http://proxy:99999",
            "http://proxy:3128/path",
            "http://proxy:3128?x",
            "http://pro xy:3128",
            "http://$(id):3128",
            "http://[::1:3128",
            "socks5://proxy:1080",
            "http://me:wachtwoord$(id)@proxy:3128",
            "http://me:wachtwoord%4@proxy:3128",
            "http://me:wacht@woord@proxy:3128",
            "http://me:wacht/woord@proxy:3128",
            "http://me:wacht\nwoord@proxy:3128",
        ] {
            let reason = check(bad).expect_err(bad);
            assert!(!reason.contains("woord"), "{reason}");
        }
    }

    #[test]
    fn names_and_passwords_are_hidden() {
        for (text, shown) in [
            ("http://me:word@proxy:1", "http://***@proxy:1"),
            ("http://me:w@o/rd@proxy:1", "http://***@proxy:1"),
            (
                "1 | http-proxy = \"http://me:word@p:1\n2 | x",
                "1 | http-proxy = \"http://***@p:1\n2 | x",
            ),
            ("http://proxy:1", "http://proxy:1"),
            ("4G", "4G"),
        ] {
            assert_eq!(masked(text), shown);
            assert_eq!(is_secret(text), text != shown);
        }
    }

    #[test]
    fn a_list_has_no_blanks_and_no_shell_characters() {
        assert_eq!(
            check_list("localhost, .example.org,10.0.0.0/8"),
            Ok("localhost,.example.org,10.0.0.0/8".to_owned())
        );
        for bad in ["", "a,,b", "a b", "$(id)", "a;b", "a\nb", "a\"b"] {
            assert!(check_list(bad).is_err(), "{bad}");
        }
    }
}
