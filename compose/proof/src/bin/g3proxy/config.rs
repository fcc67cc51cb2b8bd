//! Parses the keys of g3proxy.yaml that the stand-in implements.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

/// The configuration of the stand-in.
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) ingress: Vec<Network>,
    pub(crate) forbidden: Vec<Network>,
    pub(crate) certgen: SocketAddr,
    /// Authorities for the certificates of servers, in addition to those of the system.
    pub(crate) authorities: Option<String>,
    pub(crate) request: Service,
    pub(crate) response: Service,
}

/// An ICAP service and the connections to it.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) address: String,
    pub(crate) bypass: bool,
    pub(crate) min_idle: usize,
    pub(crate) max_idle: usize,
    pub(crate) idle: Duration,
}

/// An IPv4 network: address and mask.
#[derive(Clone, Copy)]
pub(crate) struct Network(u32, u32);

/// Whether one of `networks` contains `address`.
pub(crate) fn any(networks: &[Network], address: IpAddr) -> bool {
    let IpAddr::V4(address) = address else {
        return false;
    };
    let bits = u32::from(address);
    networks
        .iter()
        .any(|Network(net, mask)| bits & mask == *net)
}

impl Config {
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let yaml = xtask_yaml::parse(&text)
            .map_err(|wrong| wrong.message)?
            .to_json();
        let server = &yaml["server"][0];
        let named = |list: &str, key: &str| {
            let wanted = &server[key];
            let all = yaml[list].as_array().into_iter().flatten();
            all.into_iter()
                .find(|one| one["name"] == *wanted)
                .ok_or_else(|| format!("the server's {key} is not in `{list}`"))
        };
        if server["type"] != "tcp_tproxy" {
            return Err("the first server is not a tcp_tproxy".to_owned());
        }
        let (escaper, auditor) = (named("escaper", "escaper")?, named("auditor", "auditor")?);
        let filter = &escaper["egress_network_filter"];
        Ok(Self {
            listen: address(&server["listen"], "listen")?,
            ingress: networks(&server["ingress_network_filter"])?,
            forbidden: networks(&filter["forbid"])?,
            certgen: address(
                &auditor["tls_cert_agent"]["query_peer_addr"],
                "query_peer_addr",
            )?,
            authorities: auditor["tls_interception_client"]["ca_certificate"]
                .as_str()
                .map(str::to_owned),
            request: service(&auditor["icap_reqmod_service"])?,
            response: service(&auditor["icap_respmod_service"])?,
        })
    }
}

fn address(value: &Value, key: &str) -> Result<SocketAddr, String> {
    let text = value.as_str().unwrap_or_default();
    text.parse()
        .map_err(|_| format!("{key}: expected IP:PORT, found `{text}`"))
}

fn networks(value: &Value) -> Result<Vec<Network>, String> {
    let texts = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    // The stack has no IPv6.
    let texts = texts.filter(|text| !text.contains(':'));
    texts
        .map(|text| network(text).ok_or_else(|| format!("`{text}` is not a network")))
        .collect()
}

fn network(text: &str) -> Option<Network> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    Some(Network(u32::from(address) & mask, mask))
}

fn service(value: &Value) -> Result<Service, String> {
    let url = value["url"].as_str().unwrap_or_default().to_owned();
    let rest = url
        .strip_prefix("icap://")
        .and_then(|rest| rest.split_once('/'));
    let (address, _) = rest.ok_or_else(|| format!("`{url}` is not the URL of an ICAP service"))?;
    let pool = &value["icap_connection_pool"];
    // The real one's defaults.
    let count = |key: &str, default| pool[key].as_u64().map_or(default, |count| count as usize);
    let idle = match &pool["idle_timeout"] {
        Value::Number(seconds) => seconds.as_u64(),
        Value::String(text) => text.trim_end_matches('s').parse().ok(),
        _ => Some(60),
    };
    Ok(Service {
        address: address.to_owned(),
        bypass: value["bypass"].as_bool().unwrap_or(false),
        min_idle: count("min_idle_count", 32),
        max_idle: count("max_idle_count", 1024),
        idle: Duration::from_secs(idle.ok_or("idle_timeout: expected seconds")?),
        url,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_only_its_addresses() {
        let networks = [
            network("10.0.0.0/8").unwrap(),
            network("168.63.129.16").unwrap(),
        ];
        let held = |address: &str| any(&networks, address.parse().unwrap());
        assert!(held("10.255.0.1") && held("168.63.129.16"));
        assert!(!held("11.0.0.1") && !held("168.63.129.17"));
        assert!(network("10.0.0.0/33").is_none());
    }
}
