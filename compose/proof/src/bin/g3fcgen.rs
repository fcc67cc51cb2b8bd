//! Stand-in for g3fcgen in the published certgen image: issues a certificate for the host that a datagram names, signed by the
//! authority in g3fcgen.yaml. Only the stand-in for g3proxy uses its protocol: a name, answered with JSON.

use std::collections::HashMap;
use std::net::UdpSocket;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use serde_json::json;
use time::{Duration, OffsetDateTime};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["-c", path] => path.to_owned(),
        [] => "/etc/g3fcgen/g3fcgen.yaml".to_owned(),
        ["--version" | "-V"] => return println!("stand-in: g3fcgen"),
        _ => stop("expected -c FILE"),
    };
    if let Err(why) = run(&path) {
        stop(&why);
    }
}

fn stop(why: &str) -> ! {
    eprintln!("stand-in: g3fcgen: {why}");
    std::process::exit(1)
}

fn run(path: &str) -> Result<(), String> {
    let read =
        |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let yaml =
        xtask_yaml::parse(&read(path)?).map_err(|wrong| format!("{path}: {}", wrong.message))?;
    let yaml = yaml.to_json();
    let file = |key: &str| read(yaml["backend"][key].as_str().unwrap_or_default());
    let key = KeyPair::from_pem(&file("ca_private_key")?)
        .map_err(|error| format!("ca_private_key: {error}"))?;
    let issuer = Issuer::from_ca_cert_pem(&file("ca_certificate")?, key);
    let issuer = issuer.map_err(|error| format!("ca_certificate: {error}"))?;
    let own = KeyPair::generate().map_err(|error| error.to_string())?;
    let address = std::env::var("UDP_LISTEN_ADDR").unwrap_or_else(|_| "127.0.0.1:2999".to_owned());
    let socket = UdpSocket::bind(&address).map_err(|error| format!("{address}: {error}"))?;
    println!("stand-in: g3fcgen listens on {address}");
    let mut issued: HashMap<String, String> = HashMap::new();
    let mut question = [0; 512];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut question) else {
            continue;
        };
        let host = String::from_utf8_lossy(&question[..length]).into_owned();
        if !issued.contains_key(&host) {
            match issue(&host, &own, &issuer) {
                Ok(certificate) => {
                    println!("stand-in: a certificate for {host}");
                    let answer = json!({"certificate": certificate, "key": own.serialize_pem()});
                    issued.insert(host.clone(), answer.to_string());
                }
                Err(why) => eprintln!("stand-in: no certificate for {host}: {why}"),
            }
        }
        if let Some(answer) = issued.get(&host) {
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    }
}

fn issue(host: &str, key: &KeyPair, issuer: &Issuer<'_, KeyPair>) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, host);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(90);
    params
        .signed_by(key, issuer)
        .map(|certificate| certificate.pem())
}
