//! Stand-in for polis-mcp-agent of the published toolbox image: talks to Valkey as the real one does (TLS with a client
//! certificate, user and password), listens only once that works, and answers `/health`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

type Result<T> = std::result::Result<T, String>;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        return println!("stand-in: polis-mcp-agent");
    }
    if let Err(why) = run() {
        eprintln!("stand-in: polis-mcp-agent: {why}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let valkey = Arc::new(Valkey::new()?);
    let certificates = certificates("polis_AGENT_TLS_CERT")?;
    let key = key("polis_AGENT_TLS_KEY")?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates, key);
    let config = Arc::new(config.map_err(|error| error.to_string())?);
    let mut told = String::new();
    while let Err(why) = valkey.ping() {
        if told != why {
            println!("stand-in: valkey: {why}");
            told = why;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let address = variable("polis_AGENT_LISTEN_ADDR")?;
    let listener = TcpListener::bind(&address).map_err(|error| format!("{address}: {error}"))?;
    println!("stand-in: polis-mcp-agent listens on {address}");
    for client in listener.incoming().flatten() {
        let (config, valkey) = (Arc::clone(&config), Arc::clone(&valkey));
        std::thread::spawn(move || answer(client, config, &valkey));
    }
    Ok(())
}

/// Answers one request. Ignores errors, which mean that the client is gone.
fn answer(client: TcpStream, config: Arc<ServerConfig>, valkey: &Valkey) -> Option<()> {
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut client = StreamOwned::new(ServerConnection::new(config).ok()?, client);
    let mut request = String::new();
    BufReader::new(&mut client)
        .take(8192)
        .read_line(&mut request)
        .ok()?;
    let (status, body) = match request.split(' ').nth(1) {
        Some("/health") => match valkey.ping() {
            Ok(()) => (
                "200 OK",
                r#"{"status":"healthy","stand_in":true}"#.to_owned(),
            ),
            Err(why) => (
                "503 Service Unavailable",
                format!("stand-in: valkey: {why}"),
            ),
        },
        Some("/mcp") => (
            "501 Not Implemented",
            "stand-in: polis-mcp-agent".to_owned(),
        ),
        _ => ("404 Not Found", "stand-in: polis-mcp-agent".to_owned()),
    };
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .ok()?;
    client.conn.send_close_notify();
    client.flush().ok()
}

struct Valkey {
    config: Arc<ClientConfig>,
    address: String,
    host: String,
    user: String,
    password: String,
}

impl Valkey {
    fn new() -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("polis_AGENT_VALKEY_CA")? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        let client = certificates("polis_AGENT_VALKEY_CLIENT_CERT")?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(client, key("polis_AGENT_VALKEY_CLIENT_KEY")?);
        let url = variable("polis_AGENT_VALKEY_URL")?;
        let address = url
            .strip_prefix("rediss://")
            .ok_or("polis_AGENT_VALKEY_URL: expected rediss://")?;
        let path = variable("polis_AGENT_VALKEY_PASS_FILE")?;
        let password =
            std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self {
            config: Arc::new(config.map_err(|error| error.to_string())?),
            host: address.split(':').next().unwrap_or_default().to_owned(),
            address: address.trim_end_matches('/').to_owned(),
            user: variable("polis_AGENT_VALKEY_USER")?,
            password: password.trim_end().to_owned(),
        })
    }

    fn ping(&self) -> Result<()> {
        let stream = TcpStream::connect(&self.address)
            .map_err(|error| format!("{}: {error}", self.address))?;
        stream
            .set_read_timeout(Some(Duration::from_secs(3)))
            .map_err(|error| error.to_string())?;
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        let mut valkey = BufReader::new(StreamOwned::new(
            connection.map_err(|error| error.to_string())?,
            stream,
        ));
        for command in [&["AUTH", &self.user, &self.password][..], &["PING"]] {
            let mut text = format!("*{}\r\n", command.len());
            command
                .iter()
                .for_each(|word| text += &format!("${}\r\n{word}\r\n", word.len()));
            valkey
                .get_mut()
                .write_all(text.as_bytes())
                .map_err(|error| error.to_string())?;
            let mut answer = String::new();
            valkey
                .read_line(&mut answer)
                .map_err(|error| error.to_string())?;
            if !answer.starts_with('+') {
                return Err(answer.trim_end().to_owned());
            }
        }
        Ok(())
    }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set"))
}

fn certificates(name: &str) -> Result<Vec<CertificateDer<'static>>> {
    let path = variable(name)?;
    let all = CertificateDer::pem_file_iter(&path).and_then(|all| all.collect());
    all.map_err(|error| format!("{path}: {error}"))
}

fn key(name: &str) -> Result<PrivateKeyDer<'static>> {
    let path = variable(name)?;
    PrivateKeyDer::from_pem_file(&path).map_err(|error| format!("{path}: {error}"))
}
