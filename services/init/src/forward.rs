//! `forward`: forwards TCP connections from its own ports to one host, and to nothing else.
//!
//! It never inspects the data. It resolves the host's name for each connection, and connects only to an address inside the
//! request's network, so no name server can direct it to another network.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The maximum number of concurrent connections on all ports; each takes two threads.
const MOST: usize = 256;
/// The stack of a thread holds little more than its frame; the buffers are on the heap.
const STACK: usize = 64 * 1024;
const BUFFER: usize = 16 * 1024;
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after an error that does not concern a single connection, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// `TCP_LISTEN` as `/proc/net/tcp` writes it.
const LISTENS: &str = "0A";

/// The connections to forward, and their destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    /// The host's name or address.
    pub(crate) to: String,
    /// The network that must contain its address.
    pub(crate) within: Network,
    /// Each of our ports, with the host's.
    pub(crate) ports: Vec<(u16, u16)>,
    /// How long a connection may be idle.
    pub(crate) idle: Duration,
}

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: u32,
    mask: u32,
}

impl Network {
    /// Parses `ADDRESS/LENGTH`; refuses bits beyond the length.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
        let length = length.parse::<u32>().ok().filter(|length| *length <= 32)?;
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        (address & !mask == 0).then_some(Self { address, mask })
    }

    fn holds(self, address: SocketAddr) -> bool {
        match address {
            SocketAddr::V4(v4) => u32::from(*v4.ip()) & self.mask == self.address,
            SocketAddr::V6(_) => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.mask.count_ones();
        write!(f, "{}/{length}", Ipv4Addr::from(self.address))
    }
}

/// Listens on all ports, then forwards until the process is killed.
pub(crate) fn run(request: &Forward) -> ExitCode {
    let mut bound = Vec::new();
    for (port, target) in &request.ports {
        match TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)) {
            Ok(listener) => bound.push((listener, *port, *target)),
            Err(error) => {
                eprintln!("polis-init: forward: cannot listen on port {port}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let room = Room::default();
    thread::scope(|scope| {
        for (listener, port, target) in &bound {
            println!(
                "polis-init: forward: port {port} to {}:{target}",
                request.to
            );
            let room = &room;
            scope.spawn(move || serve(request, listener, *target, room));
        }
    });
    ExitCode::FAILURE
}

/// Whether something listens on each of `ports`, for Docker's health check.
pub(crate) fn check(ports: &[(u16, u16)]) -> ExitCode {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    for (port, _) in ports {
        if !listens(&table, *port) {
            eprintln!("polis-init: forward: nothing listens on port {port}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Whether a `/proc/net/tcp` has a socket that listens on `port`.
fn listens(table: &str, port: u16) -> bool {
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let local = words.get(1).and_then(|local| local.split_once(':'));
        let is_port = local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port));
        is_port && words.get(3) == Some(&LISTENS)
    })
}

/// The number of open connections.
#[derive(Debug, Default)]
struct Room(AtomicUsize);

/// The slot of one connection.
#[derive(Debug)]
struct Seat<'a>(&'a Room);

impl Room {
    fn take(&self) -> Option<Seat<'_>> {
        let seat = Seat(self);
        (self.0.fetch_add(1, Ordering::Relaxed) < MOST).then_some(seat)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts connections on one port. Closes a connection immediately if there is no free slot or the host is unreachable.
fn serve(request: &Forward, listener: &TcpListener, target: u16, room: &Room) {
    thread::scope(|scope| {
        loop {
            let Ok((client, _)) = listener.accept() else {
                thread::sleep(PAUSE);
                continue;
            };
            let Some(seat) = room.take() else { continue };
            let carry = move || {
                let _seat = seat;
                if let Err(error) = connection(request, &client, target) {
                    eprintln!("polis-init: forward: {}:{target}: {error}", request.to);
                }
            };
            // Without a thread the connection is dropped.
            let _started = thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, carry);
        }
    });
}

/// Forwards one connection until it ends.
fn connection(request: &Forward, client: &TcpStream, target: u16) -> io::Result<()> {
    let host = dial(request, target)?;
    for stream in [client, &host] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(request.idle))?;
        stream.set_write_timeout(Some(request.idle))?;
    }
    let life = Life::new(request.idle);
    thread::scope(|scope| {
        let back = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || carry(&host, client, &life))?;
        carry(client, &host, &life);
        let _ended = back.join();
        Ok(())
    })
}

fn dial(request: &Forward, target: u16) -> io::Result<TcpStream> {
    let mut found = (request.to.as_str(), target).to_socket_addrs()?;
    let address = found.find(|address| request.within.holds(*address));
    let address = address.ok_or_else(|| {
        let text = format!("{} has no address in {}", request.to, request.within);
        io::Error::other(text)
    })?;
    TcpStream::connect_timeout(&address, DIAL_TIMEOUT)
}

/// When a connection last carried data, in either direction.
#[derive(Debug)]
struct Life {
    begun: Instant,
    /// In milliseconds since the start.
    last: AtomicU64,
    idle: Duration,
}

impl Life {
    fn new(idle: Duration) -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            idle,
        }
    }

    fn carried(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last) >= self.idle
    }
}

/// Copies one direction. Passes on its end and leaves the other direction open; a failure closes both.
fn carry(from: &TcpStream, to: &TcpStream, life: &Life) {
    let mut buffer = vec![0; BUFFER];
    let (mut reader, mut writer) = (from, to);
    loop {
        let length = match reader.read(&mut buffer) {
            Ok(0) => {
                let _gone = to.shutdown(Shutdown::Write);
                return;
            }
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !life.is_over() => continue,
            Err(_) => break,
        };
        life.carried();
        if writer
            .write_all(buffer.get(..length).unwrap_or_default())
            .is_err()
        {
            break;
        }
        life.carried();
    }
    for stream in [from, to] {
        let _gone = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::parse(text).expect("a network")
    }

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        let at = |text: &str| SocketAddr::new(text.parse().expect("an address"), 1);
        let upper = network("10.10.1.128/25");
        assert_eq!(upper.to_string(), "10.10.1.128/25");
        assert!(upper.holds(at("10.10.1.128")) && upper.holds(at("10.10.1.255")));
        for outside in [
            "10.10.1.127",
            "10.10.2.128",
            "203.0.113.1",
            "::ffff:10.10.1.128",
        ] {
            assert!(!upper.holds(at(outside)), "{outside}");
        }
        assert!(network("0.0.0.0/0").holds(at("203.0.113.1")));
        assert!(network("127.0.0.1/32").holds(at("127.0.0.1")));
        for wrong in [
            "10.10.1.1/25",
            "10.10.1.0/33",
            "10.10.1.0",
            "x/8",
            "::/0",
            "/",
        ] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st\n\
                     \x20  0: 00000000:1FA3 00000000:0000 0A 00000000:00000000\n\
                     \x20  1: 0100007F:1FA4 0100007F:1FA5 01 00000000:00000000\n";
        assert!(listens(table, 8099));
        assert!(!listens(table, 8100) && !listens(table, 8101) && !listens("", 8099));
    }

    #[test]
    fn slots_are_limited_and_released() {
        let room = Room::default();
        let seats: Vec<_> = std::iter::from_fn(|| room.take()).collect();
        assert_eq!(seats.len(), MOST);
        assert!(room.take().is_none());
        drop(seats);
        assert!(room.take().is_some());
    }

    /// Both ends of a loopback connection.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let one = TcpStream::connect(listener.local_addr().expect("an address"));
        (
            one.expect("a connection"),
            listener.accept().expect("the other end").0,
        )
    }

    /// Serves `request` for one connection at a new port; returns the client's end.
    fn carried(to: &str, within: &str, idle: Duration, target: u16) -> TcpStream {
        let request = Forward {
            to: to.to_owned(),
            within: network(within),
            ports: Vec::new(),
            idle,
        };
        let (client, ours) = pair();
        thread::spawn(move || connection(&request, &ours, target));
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a timeout");
        client
    }

    fn host() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        (listener, port)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn closing_one_direction_leaves_the_other_open() {
        let (listener, port) = host();
        let mut client = carried("localhost", "127.0.0.0/8", LONG, port);
        let question = vec![7_u8; 1 << 20];
        let sent = question.clone();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut read = Vec::new();
            stream.read_to_end(&mut read).expect("all of it");
            stream.write_all(b"after the end").expect("an answer");
            read
        });
        client.write_all(&sent).expect("sent");
        client.shutdown(Shutdown::Write).expect("the end");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer, "after the end");
        assert!(server.join().expect("no panic") == question);
    }

    #[test]
    fn an_idle_connection_is_closed_but_one_active_direction_keeps_it_open() {
        let (listener, port) = host();
        let idle = Duration::from_millis(300);
        let mut client = carried("127.0.0.1", "127.0.0.1/32", idle, port);
        let (mut server, _) = listener.accept().expect("a connection");
        let begun = Instant::now();
        for _ in 0..10 {
            server.write_all(b".").expect("it is open");
            thread::sleep(Duration::from_millis(100));
        }
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("the end");
        assert_eq!(all.len(), 10);
        assert!(begun.elapsed() >= Duration::from_secs(1));
    }

    #[test]
    fn addresses_outside_the_network_are_refused() {
        let (listener, port) = host();
        let mut client = carried("127.0.0.1", "10.10.1.128/25", LONG, port);
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("the end");
        assert!(all.is_empty());
        listener.set_nonblocking(true).expect("a mode");
        let none = listener.accept().expect_err("no connection");
        assert_eq!(none.kind(), ErrorKind::WouldBlock);
    }
}
