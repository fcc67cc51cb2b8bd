//! Stand-in for CoreDNS in the published resolver image: answers over UDP and TCP according to the Corefile's `hosts`, `template`,
//! `blocklist` and `forward`. It ignores CoreDNS's other plugins; an unknown directive is fatal, as in the real one.

mod corefile;
mod message;

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corefile::Zone;
use message::{Question, REFUSED, SERVFAIL};

/// How long an upstream name server may take, and how many times to query each.
const ANSWER: Duration = Duration::from_secs(2);
const TRIES: usize = 2;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["-plugins"] => return println!("stand-in: coredns\n{}", corefile::PLUGINS.join("\n")),
        ["-version" | "--version"] => return println!("stand-in: coredns"),
        ["-conf", path] => path.to_owned(),
        [] => "Corefile".to_owned(),
        _ => stop("expected -conf FILE"),
    };
    let text =
        std::fs::read_to_string(&path).unwrap_or_else(|error| stop(&format!("{path}: {error}")));
    let zones = corefile::read(&text).unwrap_or_else(|why| stop(&format!("{path}: {why}")));
    let zones: Arc<[Zone]> = zones.into();
    let mut ports: Vec<u16> = zones.iter().map(|zone| zone.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let running: Vec<_> = ports
        .into_iter()
        .map(|port| {
            let address = SocketAddr::from(([0, 0, 0, 0], port));
            let failed = |error: io::Error| -> ! { stop(&format!("{address}: {error}")) };
            let udp = UdpSocket::bind(address).unwrap_or_else(|error| failed(error));
            let tcp = TcpListener::bind(address).unwrap_or_else(|error| failed(error));
            println!("stand-in: coredns listens on {address}");
            let shared = Arc::clone(&zones);
            std::thread::spawn(move || serve_tcp(&tcp, &shared));
            let shared = Arc::clone(&zones);
            std::thread::spawn(move || serve_udp(udp, &shared))
        })
        .collect();
    for thread in running {
        let _ = thread.join();
    }
}

fn stop(why: &str) -> ! {
    eprintln!("stand-in: coredns: {why}");
    std::process::exit(1)
}

fn serve_udp(socket: UdpSocket, zones: &Arc<[Zone]>) {
    let socket = Arc::new(socket);
    let mut query = [0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut query) else {
            continue;
        };
        let (query, socket, zones) = (
            query[..length].to_vec(),
            Arc::clone(&socket),
            Arc::clone(zones),
        );
        let thread = std::thread::Builder::new().stack_size(128 * 1024);
        let _ = thread.spawn(move || {
            if let Some(answer) = answer(&zones, &query, from) {
                let _ = socket.send_to(&answer, from);
            }
        });
    }
}

fn serve_tcp(listener: &TcpListener, zones: &Arc<[Zone]>) {
    for client in listener.incoming().flatten() {
        let zones = Arc::clone(zones);
        std::thread::spawn(move || conversation(client, &zones));
    }
}

fn conversation(mut client: TcpStream, zones: &[Zone]) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let from = client.peer_addr()?;
    loop {
        let mut length = [0; 2];
        client.read_exact(&mut length)?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        client.read_exact(&mut query)?;
        let Some(answer) = answer(zones, &query, from) else {
            return Ok(());
        };
        let mut framed = u16::try_from(answer.len())
            .map_err(io::Error::other)?
            .to_be_bytes()
            .to_vec();
        framed.extend(answer);
        client.write_all(&framed)?;
    }
}

/// The answer to a query; `None` if the message is not a query.
fn answer(zones: &[Zone], query: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let question = Question::parse(query)?;
    let zone = zones
        .iter()
        .filter(|zone| message::is_below(&question.name, &zone.name))
        .max_by_key(|zone| zone.name.len());
    let answer = zone.map_or_else(
        || question.refusal(query, REFUSED),
        |zone| by_zone(zone, &question, query),
    );
    if zone.is_some_and(|zone| zone.log) {
        let rcode = answer.get(3).map_or(0, |byte| byte & 0x0f);
        println!(
            "stand-in: {from} - type {} {} rcode {rcode}",
            question.kind, question.name
        );
    }
    Some(answer)
}

fn by_zone(zone: &Zone, question: &Question, query: &[u8]) -> Vec<u8> {
    for template in &zone.templates {
        match template.judge(question) {
            corefile::Judged::Answer(rcode) => return question.refusal(query, rcode),
            corefile::Judged::Next => {}
        }
    }
    let listed = zone.hosts.iter().filter(|(name, _)| *name == question.name);
    let addresses: Vec<IpAddr> = listed.map(|(_, address)| *address).collect();
    if !addresses.is_empty() {
        return question.addresses(query, &addresses);
    }
    if zone
        .blocked
        .iter()
        .any(|name| message::is_below(&question.name, name))
    {
        return question.refusal(query, message::NXDOMAIN);
    }
    let Some(forward) = &zone.forward else {
        let rcode = if zone.hosts.is_empty() {
            REFUSED
        } else {
            message::NXDOMAIN
        };
        return question.refusal(query, rcode);
    };
    if forward.running.fetch_add(1, Ordering::SeqCst) >= forward.limit {
        forward.running.fetch_sub(1, Ordering::SeqCst);
        return question.refusal(query, REFUSED);
    }
    let answer = ask(&forward.servers, query);
    forward.running.fetch_sub(1, Ordering::SeqCst);
    answer.unwrap_or_else(|error| {
        eprintln!("stand-in: {}: {error}", question.name);
        question.refusal(query, SERVFAIL)
    })
}

fn ask(servers: &[SocketAddr], query: &[u8]) -> io::Result<Vec<u8>> {
    let mut failed = io::Error::other("no name server is configured");
    for server in servers.iter().cycle().take(servers.len() * TRIES) {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(ANSWER))?;
        let mut answer = vec![0; 4096];
        let received = socket
            .connect(server)
            .and_then(|()| socket.send(query))
            .and_then(|_| socket.recv(&mut answer));
        match received {
            Ok(length) if answer[..2] == query[..2] => {
                answer.truncate(length);
                return Ok(answer);
            }
            Ok(_) => failed = io::Error::other("an answer to another question"),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
