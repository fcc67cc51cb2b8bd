//! Selects the requests that go through a proxy: https, if the environment sets a proxy. Our http requests never leave
//! this machine, where a proxy would resolve loopback addresses to itself.

use std::env;

/// Addresses that never go through a proxy.
const LOOPBACK: &str = "127.0.0.0/8,::1,localhost";

/// The https proxy of the environment.
pub(crate) fn https() -> Option<String> {
    first(
        |name| env::var(name).ok(),
        &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
    )
}

/// The addresses to connect to directly, in the form of `NO_PROXY`.
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
    fn the_first_non_empty_variable_wins() {
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
