//! Intercepts TLS: presents a certificate from certgen to the client, and verifies the certificate of the server.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::Acceptor;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

/// The authorities that gate trusts.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

type Client = StreamOwned<ServerConnection, TcpStream>;
type Server = StreamOwned<ClientConnection, TcpStream>;

pub(crate) struct Tls {
    certgen: SocketAddr,
    outward: Arc<ClientConfig>,
    certificates: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl Tls {
    pub(crate) fn new(certgen: SocketAddr, authorities: Option<&str>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for file in [ROOTS].into_iter().chain(authorities) {
            let listed =
                CertificateDer::pem_file_iter(file).map_err(|error| format!("{file}: {error}"))?;
            roots.add_parsable_certificates(listed.flatten());
        }
        let mut outward = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        outward.alpn_protocols = vec![b"http/1.1".to_vec()];
        let outward = Arc::new(outward);
        Ok(Self {
            certgen,
            outward,
            certificates: Mutex::default(),
        })
    }

    /// Both sides of an intercepted connection, and the name that the client requested, or `address`.
    pub(crate) fn open(
        &self,
        mut client: TcpStream,
        server: TcpStream,
        address: &str,
    ) -> io::Result<(Client, Server, String)> {
        let mut acceptor = Acceptor::default();
        let accepted = loop {
            if acceptor.read_tls(&mut client)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => break accepted,
                Ok(None) => {}
                Err((error, _)) => return Err(io::Error::other(error)),
            }
        };
        let host = accepted
            .client_hello()
            .server_name()
            .unwrap_or(address)
            .to_owned();
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let outward =
            ClientConnection::new(Arc::clone(&self.outward), name).map_err(io::Error::other)?;
        let mut server = StreamOwned::new(outward, server);
        server.conn.complete_io(&mut server.sock)?;
        let config = self.certificate(&host)?;
        let inward = accepted.into_connection(config);
        let inward = inward.map_err(|(error, _)| io::Error::other(error))?;
        Ok((StreamOwned::new(inward, client), server, host))
    }

    fn certificate(&self, host: &str) -> io::Result<Arc<ServerConfig>> {
        let known = self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(host)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let answer = self.ask(host)?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let certificate = CertificateDer::from_pem_slice(text("certificate").as_bytes())
            .map_err(io::Error::other)?;
        let key =
            PrivateKeyDer::from_pem_slice(text("key").as_bytes()).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let mut certificates = self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        certificates.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn ask(&self, host: &str) -> io::Result<serde_json::Value> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(self.certgen)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut failed = io::Error::other("certgen was not queried");
        for _ in 0..3 {
            socket.send(host.as_bytes())?;
            let mut answer = [0; 8192];
            match socket.recv(&mut answer) {
                Ok(length) => {
                    return serde_json::from_slice(&answer[..length]).map_err(io::Error::other);
                }
                Err(error) => failed = error,
            }
        }
        Err(io::Error::other(format!(
            "certgen does not answer: {failed}"
        )))
    }
}
