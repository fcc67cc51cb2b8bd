//! Tests with real packets what `bridge-accept` blocks: a machine with the workspace's bridge and an egress bridge, a container on
//! each, and a host behind the machine with a private and a public address. Each is a network namespace.

use std::io::Read as _;
use std::io::Write as _;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket,
};
use std::thread;
use std::time::Duration;

use crate::common::succeed;
use crate::namespace::Namespace;

/// Long enough for any answer here; only attempts that must fail wait until it expires.
const ANSWER: Duration = Duration::from_secs(1);
/// How often to retry an attempt that must succeed, since a busy machine may be slow.
const TRIES: usize = 20;

const BANNER: &[u8] = b"SSH-2.0-test\r\n";

/// The addresses of the host behind the machine: a private one, and one (RFC 5737) that the rules treat as public.
const LAN: &str = "192.168.77.2";
const PUBLIC: &str = "203.0.113.2";

/// The namespaces. Tests access the containers only through their sockets.
struct Topology {
    machine: Namespace,
    workspace: Namespace,
    helper: Namespace,
    lan: Namespace,
}

impl Topology {
    fn new() -> Option<Self> {
        let topology = Self {
            machine: Namespace::with_chain()?,
            workspace: Namespace::new()?,
            helper: Namespace::new()?,
            lan: Namespace::new()?,
        };
        // Without duplicate address detection, link-local addresses work immediately.
        for namespace in [
            &topology.machine,
            &topology.workspace,
            &topology.helper,
            &topology.lan,
        ] {
            namespace.shell("for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done; ip link set lo up");
        }
        let (workspace, helper, lan) = (
            topology.workspace.id(),
            topology.helper.id(),
            topology.lan.id(),
        );
        topology.machine.shell(&format!(
            "echo 1 >/proc/sys/net/ipv4/ip_forward
             echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
             for bridge in polis out; do ip link add br-$bridge type bridge; ip link set br-$bridge up; done
             ip link add p0 master br-polis type veth peer name eth0 netns {workspace}
             ip link add p1 master br-out type veth peer name eth0 netns {helper}
             ip link add lan0 type veth peer name eth0 netns {lan}
             for link in p0 p1 lan0; do ip link set $link up; done
             ip address add 10.20.1.1/24 dev br-out
             ip address add fd20::1/64 dev br-out
             ip address add 192.168.77.1/24 dev lan0
             ip address add 203.0.113.1/24 dev lan0
             ip address add fd77::1/64 dev lan0"
        ));
        let link = "ip link set eth0 up";
        topology
            .workspace
            .shell(&format!("{link}; ip address add 10.10.1.128/24 dev eth0"));
        topology.helper.shell(&format!(
            "{link}; ip address add 10.20.1.128/24 dev eth0; ip route add default via 10.20.1.1
             ip address add fd20::128/64 dev eth0; ip route add default via fd20::1"
        ));
        topology.lan.shell(&format!(
            "{link}; ip address add {LAN}/24 dev eth0; ip address add {PUBLIC}/24 dev eth0
             ip address add 168.63.129.16/32 dev eth0; ip route add 10.20.1.0/24 via 192.168.77.1
             ip address add fd77::2/64 dev eth0; ip route add default via fd77::1"
        ));
        topology
            .machine
            .shell("ip route add 168.63.129.16/32 dev lan0");
        for namespace in [&topology.machine, &topology.lan] {
            for port in [22, 53] {
                serve(namespace, port);
            }
        }
        Some(topology)
    }

    /// Makes this the machine's only name server.
    fn name_server(&self, address: &str) {
        self.machine.shell(&format!(
            "mount --make-rprivate /; mount -t tmpfs tmpfs /mnt; echo nameserver {address} >/mnt/resolv.conf
             mount --bind /mnt/resolv.conf /etc/resolv.conf"
        ));
    }

    fn guard_workspace(&self) {
        let ran = self.machine.accept(&["br-polis"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    fn guard(&self) {
        let ran = self.machine.accept(&["--egress", "br-out", "br-polis"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

/// A server like sshd, and an echo over UDP, on every address of a namespace.
fn serve(namespace: &Namespace, port: u16) {
    let any = (Ipv6Addr::UNSPECIFIED, port);
    let listener = namespace.inside(|| TcpListener::bind(any).expect("a listener"));
    let socket = namespace.inside(|| UdpSocket::bind(any).expect("a socket"));
    // Both stop with the test program.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(BANNER);
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

/// Whether a server's banner can be read.
fn banner(from: &Namespace, to: SocketAddr) -> bool {
    from.inside(|| {
        let Ok(mut stream) = TcpStream::connect_timeout(&to, ANSWER) else {
            return false;
        };
        stream.set_read_timeout(Some(ANSWER)).expect("a time-out");
        let mut line = vec![0; BANNER.len()];
        stream.read_exact(&mut line).is_ok() && line == BANNER
    })
}

/// Whether a server's banner can be read, after retries.
fn answers(from: &Namespace, to: SocketAddr) -> bool {
    (0..TRIES).any(|_| banner(from, to))
}

/// The servers among these whose banner can be read, tried concurrently.
fn reached(from: &Namespace, servers: &[SocketAddr]) -> Vec<SocketAddr> {
    thread::scope(|scope| {
        let tries: Vec<_> = servers
            .iter()
            .map(|server| scope.spawn(|| banner(from, *server).then_some(*server)))
            .collect();
        let ended = tries
            .into_iter()
            .map(|attempt| attempt.join().expect("no panic"));
        ended.flatten().collect()
    })
}

/// The address that answers a datagram.
fn echo(from: &Namespace, to: SocketAddr) -> Option<SocketAddr> {
    from.inside(|| {
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).expect("a socket");
        socket.set_read_timeout(Some(ANSWER)).expect("a time-out");
        socket.send_to(b"who?", to).ok()?;
        let mut buffer = [0; 64];
        socket.recv_from(&mut buffer).ok().map(|(_, from)| from)
    })
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

/// All nodes on the link of `eth0`.
fn all_nodes(namespace: &Namespace, port: u16) -> SocketAddr {
    let address = "ff02::1".parse().expect("an address");
    SocketAddrV6::new(address, port, 0, scope(namespace)).into()
}

/// The interface index of `eth0`.
fn scope(namespace: &Namespace) -> u32 {
    let line = succeed(namespace.command("ip").args(["-o", "link", "show", "eth0"]));
    let number = line.split(':').next();
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

#[test]
fn the_workspace_cannot_talk_to_the_machine_over_ipv6() {
    let Some(topology) = Topology::new() else {
        return;
    };
    // The hole: a multicast reaches the machine, which runs an SSH server.
    let found = echo(&topology.workspace, all_nodes(&topology.workspace, 53)).expect("the machine");
    let mut ssh = found;
    ssh.set_port(22);
    assert!(answers(&topology.workspace, ssh), "{ssh}");
    // Another firewall that accepts SSH does not reopen it.
    topology
        .machine
        .iptables("-A INPUT -p tcp --dport 22 -j ACCEPT");

    for _ in 0..2 {
        topology.guard_workspace();
        assert_eq!(
            echo(&topology.workspace, all_nodes(&topology.workspace, 53)),
            None
        );
        assert_eq!(echo(&topology.workspace, found), None);
        assert!(!banner(&topology.workspace, ssh));
    }
}

#[test]
fn the_workspace_cannot_reach_other_addresses_of_the_machine_or_pass_it() {
    let Some(topology) = Topology::new() else {
        return;
    };
    // The machine answers ARP for any of its addresses on every interface, so on this one too.
    topology
        .machine
        .shell("ip address add 10.10.1.1/24 dev br-polis");
    topology
        .lan
        .shell("ip route add 10.10.1.0/24 via 192.168.77.1");
    topology
        .workspace
        .shell("ip route add default via 10.10.1.1");
    let addresses = [
        at("10.20.1.1", 22),
        at("192.168.77.1", 22),
        at(LAN, 22),
        at(PUBLIC, 22),
    ];
    assert!(
        addresses
            .iter()
            .all(|server| answers(&topology.workspace, *server)),
        "before"
    );
    let known = neighbours(&topology.workspace);
    topology.guard_workspace();
    topology.workspace.shell("ip neighbour flush dev eth0");
    assert_eq!(reached(&topology.workspace, &addresses), []);
    let asked = neighbours(&topology.workspace);
    assert!(
        !asked.contains("lladdr"),
        "the machine answers ARP: {asked}"
    );
    // Knowing the machine's hardware address does not help either.
    let mut words = known
        .split_whitespace()
        .skip_while(|word| *word != "lladdr");
    let address = words.nth(1).expect("an address");
    topology.workspace.shell(&format!(
        "ip neighbour replace 10.10.1.1 lladdr {address} dev eth0"
    ));
    assert_eq!(reached(&topology.workspace, &addresses), []);
}

/// The neighbours of a container, as `ip` lists them.
fn neighbours(namespace: &Namespace) -> String {
    succeed(
        namespace
            .command("ip")
            .args(["-4", "neighbour", "show", "dev", "eth0"]),
    )
}

#[test]
fn an_egress_bridge_reaches_only_public_addresses_and_name_servers() {
    let Some(topology) = Topology::new() else {
        return;
    };
    topology.name_server(LAN);
    let closed = [
        at(LAN, 22),
        at("192.168.77.1", 22),
        at("10.20.1.1", 22),
        at("10.20.1.1", 53),
        at("203.0.113.1", 22),
        at("168.63.129.16", 22),
        at("fd20::1", 22),
        at("fd77::2", 22),
    ];
    assert!(
        closed
            .iter()
            .all(|server| answers(&topology.helper, *server)),
        "before"
    );
    topology.guard();
    assert_eq!(reached(&topology.helper, &closed), []);
    assert!(answers(&topology.helper, at(PUBLIC, 22)));
    assert!(answers(&topology.helper, at(LAN, 53)), "DNS over TCP");
    assert_eq!(echo(&topology.helper, at(LAN, 53)), Some(at(LAN, 53)));
}

#[test]
fn on_the_machine_only_its_name_server_is_reachable() {
    let Some(topology) = Topology::new() else {
        return;
    };
    topology.name_server("192.168.77.1");
    topology.guard();
    let server = at("192.168.77.1", 53);
    // The server chooses the machine's address from which it answers.
    assert!((0..TRIES).any(|_| echo(&topology.helper, server).is_some()));
    assert!(answers(&topology.helper, server));
    assert!(!banner(&topology.helper, at("192.168.77.1", 22)));
    assert_eq!(echo(&topology.helper, at("10.20.1.1", 53)), None);
    assert_eq!(echo(&topology.helper, at(LAN, 53)), None);
}

#[test]
fn replies_from_an_egress_bridge_pass() {
    let Some(topology) = Topology::new() else {
        return;
    };
    serve(&topology.helper, 80);
    topology.guard();
    let server = at("10.20.1.128", 80);
    assert!(answers(&topology.machine, server));
    assert!(answers(&topology.lan, server));
    assert_eq!(echo(&topology.lan, server), Some(server));
}

#[test]
fn an_ingress_bridge_can_only_reply() {
    let Some(topology) = Topology::new() else {
        return;
    };
    serve(&topology.helper, 80);
    let ran = topology
        .machine
        .accept(&["--ingress", "br-out", "br-polis"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let server = at("10.20.1.128", 80);
    assert!(answers(&topology.machine, server));
    assert!(answers(&topology.lan, server));
    for closed in ["10.20.1.1", "192.168.77.1", LAN, PUBLIC] {
        assert!(!banner(&topology.helper, at(closed, 22)), "{closed}");
        assert_eq!(echo(&topology.helper, at(closed, 53)), None, "{closed}");
    }
    // Nor over IPv6, to the machine or beyond it.
    for closed in ["fd20::1", "fd77::2"] {
        assert!(!banner(&topology.helper, at(closed, 22)), "{closed}");
    }
}

#[test]
fn an_open_connection_is_cut() {
    let Some(topology) = Topology::new() else {
        return;
    };
    let socket = topology
        .helper
        .inside(|| UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    socket.set_read_timeout(Some(ANSWER)).expect("a time-out");
    let mut buffer = [0; 64];
    for open in [true, false] {
        socket.send_to(b"who?", at(LAN, 22)).expect("a datagram");
        assert_eq!(socket.recv_from(&mut buffer).is_ok(), open);
        topology.guard();
    }
}

#[test]
fn a_restart_of_docker_opens_nothing() {
    let Some(topology) = Topology::new() else {
        return;
    };
    topology.guard();
    // The effect of a restart of Docker on its chains.
    for arguments in ["-F", "-X", "-N DOCKER-USER", "-P FORWARD ACCEPT"] {
        topology.machine.iptables(arguments);
    }
    assert!(!banner(&topology.helper, at(LAN, 22)));
    assert_eq!(
        echo(&topology.workspace, all_nodes(&topology.workspace, 53)),
        None
    );
    let again = topology.machine.accept(&["br-polis", "--egress=br-out"]);
    assert!(again.stdout.ends_with("added at the head\n"), "{again:?}");
    assert!(!banner(&topology.helper, at(LAN, 22)));
    assert!(answers(&topology.helper, at(PUBLIC, 22)));
}

#[test]
fn a_missing_resolv_conf_is_an_error() {
    let Some(machine) = Namespace::with_chain() else {
        return;
    };
    machine.shell("mount --make-rprivate /; mount -t tmpfs tmpfs /etc");
    let ran = machine.accept(&["br-polis", "--egress", "br-out"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.stderr,
        "polis-init: bridge-accept br-polis: cannot read /etc/resolv.conf: No such file or directory (os error 2)\n  \
         next: run this container with `network_mode: host`, where Docker provides the file\n"
    );
    assert_eq!(machine.rules(), ["-A DOCKER-USER -j RETURN"]);
    assert_eq!(
        machine.accept(&["br-polis"]).code,
        Some(0),
        "only --egress needs it"
    );
}
