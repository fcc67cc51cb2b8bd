//! Which requests go through a proxy: https ones, where the environment names one. Plain http
//! never leaves this machine here, and a proxy would look for loopback addresses on its own.

use std::env;

/// What never goes through a proxy, whatever the environment says.
const LOOPBACK: &str = "127.0.0.0/8,::1,localhost";

/// The proxy for https that the environment names.
pub(crate) fn https() -> Option<String> {
    first(
        |name| env::var(name).ok(),
        &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
    )
}

/// What goes around the proxy, in the form of `NO_PROXY`.
pub(crate) fn exceptions() -> String {
    match first(|name| env::var(name).ok(), &["NO_PROXY", "no_proxy"]) {
        Some(listed) => format!("{LOOPBACK},{listed}"),
        None => LOOPBACK.to_owned(),
    }
}

fn first(get: impl Fn(&str) -> Option<String>, names: &[&str]) -> Option<String> {
    names
        .iter()
        .filter_map(|name| get(name))
        .find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_set_and_not_empty_counts() {
        let get = |name: &str| match name {
            "A" => Some(String::new()),
            "B" => Some("http://proxy:3128".to_owned()),
            _ => None,
        };
        assert_eq!(
            first(get, &["X", "A", "B"]).as_deref(),
            Some("http://proxy:3128")
        );
        assert_eq!(first(get, &["X", "A"]), None);
    }
}
