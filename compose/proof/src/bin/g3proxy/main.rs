//! Stand-in for g3proxy in the published gate image: accepts connections by TPROXY, intercepts TLS with certificates from
//! certgen, sends bodies to ICAP for inspection and forwards them, as configured by the keys that our g3proxy.yaml sets.
//!
//! Like the real one, it connects before it reads, and forwards protocols that it does not know.

mod config;
mod http;
mod icap;
mod message;
mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use http::Inspection;
use icap::Pool;
use tls::Tls;

/// How long a destination may take to accept.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a client may stay silent before the server is assumed to speak first.
const FIRST_BYTES: Duration = Duration::from_secs(3);
/// How long either side may be silent.
const SILENCE: Duration = Duration::from_secs(300);

/// What all connections share.
struct Proxy {
    config: Config,
    inspection: Inspection,
    tls: Tls,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["-c" | "--config-file", path] => path.to_owned(),
        ["--version" | "-V"] => return println!("stand-in: g3proxy"),
        _ => stop("expected -c FILE"),
    };
    let config = Config::read(&path).unwrap_or_else(|why| stop(&format!("{path}: {why}")));
    let listener = listen(config.listen)
        .unwrap_or_else(|error| stop(&format!("cannot listen on {}: {error}", config.listen)));
    let tls =
        Tls::new(config.certgen, config.authorities.as_deref()).unwrap_or_else(|why| stop(&why));
    println!("stand-in: g3proxy listens on {}", config.listen);
    let proxy = Arc::new(Proxy {
        inspection: Inspection {
            request: Pool::new(config.request.clone()),
            response: Pool::new(config.response.clone()),
        },
        tls,
        config,
    });
    let keeper = Arc::clone(&proxy);
    std::thread::spawn(move || {
        loop {
            keeper.inspection.request.fill();
            keeper.inspection.response.fill();
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        let proxy = Arc::clone(&proxy);
        let thread = std::thread::Builder::new().stack_size(256 * 1024);
        // If no thread can be started, the connection is closed.
        let _ = thread.spawn(move || {
            let told = describe(&client);
            if let Err(error) = serve(&proxy, client) {
                println!("stand-in: {told}: {error}");
            }
        });
    }
}

fn stop(why: &str) -> ! {
    eprintln!("stand-in: g3proxy: {why}");
    std::process::exit(1)
}

fn describe(client: &TcpStream) -> String {
    let show =
        |address: io::Result<SocketAddr>| address.map_or("?".to_owned(), |at| at.to_string());
    format!(
        "{} -> {}",
        show(client.peer_addr()),
        show(client.local_addr())
    )
}

/// A listener that takes connections to any address.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_ip_transparent_v4(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn serve(proxy: &Proxy, client: TcpStream) -> io::Result<()> {
    let (from, to) = (client.peer_addr()?, client.local_addr()?);
    let refused = |why: &str| Err(io::Error::other(format!("refused: {why}")));
    if !proxy.config.ingress.is_empty() && !config::any(&proxy.config.ingress, from.ip()) {
        return refused("ingress_network_filter");
    }
    if config::any(&proxy.config.forbidden, to.ip()) || always_forbidden(to.ip()) {
        return refused("egress_network_filter");
    }
    let server = TcpStream::connect_timeout(&to, CONNECT)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(SILENCE))?;
    }
    let mut first = [0; 8];
    client.set_read_timeout(Some(FIRST_BYTES))?;
    let seen = client.peek(&mut first).unwrap_or(0);
    client.set_read_timeout(Some(SILENCE))?;
    server.set_read_timeout(Some(SILENCE))?;
    let host = to.ip().to_string();
    match &first[..seen] {
        [0x16, 0x03, ..] => {
            println!("stand-in: {from} -> {to}: tls");
            let (mut client, mut server, host) = proxy.tls.open(client, server, &host)?;
            http::relay(
                &proxy.inspection,
                from.ip(),
                &host,
                &mut client,
                &mut server,
            )
        }
        start if message::is_request(start) => {
            println!("stand-in: {from} -> {to}: http");
            let (mut client, mut server) = (client, server);
            http::relay(
                &proxy.inspection,
                from.ip(),
                &host,
                &mut client,
                &mut server,
            )
        }
        _ => {
            println!("stand-in: {from} -> {to}: not inspected");
            both_ways(client, server)
        }
    }
}

/// The destinations that g3proxy forbids by default.
fn always_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_link_local() || address == Ipv4Addr::UNSPECIFIED
        }
        IpAddr::V6(_) => true,
    }
}

fn both_ways(client: TcpStream, server: TcpStream) -> io::Result<()> {
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Write);
    });
    let (mut client, mut server) = (client, server);
    let _ = io::copy(&mut client, &mut server);
    let _ = server.shutdown(std::net::Shutdown::Write);
    let _ = back.join();
    Ok(())
}
