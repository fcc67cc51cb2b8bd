//! What `bridge-accept` closes, tried with real packets: a machine with the workspace's bridge and an
//! egress bridge, a container on each, and a host behind the machine with a private and a public
//! address. Each is a network namespace.

use std::io::Read as _;
use std::io::Write as _;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket,
};
use std::thread;
use std::time::Duration;

use crate::common::succeed;
use crate::namespace::Namespace;

/// Long enough for any answer here; only attempts that must fail wait it out.
const ANSWER: Duration = Duration::from_secs(1);
/// How often something that must answer is tried, since a busy machine may take longer.
const TRIES: usize = 20;

const BANNER: &[u8] = b"SSH-2.0-test\r\n";

/// The addresses of the host behind the machine: a private one, and one (RFC 5737) that the rules
/// take for public.
const LAN: &str = "192.168.77.2";
const PUBLIC: &str = "203.0.113.2";

/// The namespaces; tests use the containers through their sockets only.
struct Scene {
    machine: Namespace,
    workspace: Namespace,
    helper: Namespace,
    lan: Namespace,
}

impl Scene {
    fn new() -> Option<Self> {
        let scene = Self {
            machine: Namespace::with_chain()?,
            workspace: Namespace::new()?,
            helper: Namespace::new()?,
            lan: Namespace::new()?,
        };
        // Without duplicate address detection, link-local addresses work at once.
        for namespace in [&scene.machine, &scene.workspace, &scene.helper, &scene.lan] {
            namespace.shell("for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done; ip link set lo up");
        }
        let (workspace, helper, lan) = (scene.workspace.id(), scene.helper.id(), scene.lan.id());
        scene.machine.shell(&format!(
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
        scene
            .workspace
            .shell(&format!("{link}; ip address add 10.10.1.128/24 dev eth0"));
        scene.helper.shell(&format!(
            "{link}; ip address add 10.20.1.128/24 dev eth0; ip route add default via 10.20.1.1
             ip address add fd20::128/64 dev eth0; ip route add default via fd20::1"
        ));
        scene.lan.shell(&format!(
            "{link}; ip address add {LAN}/24 dev eth0; ip address add {PUBLIC}/24 dev eth0
             ip address add 168.63.129.16/32 dev eth0; ip route add 10.20.1.0/24 via 192.168.77.1
             ip address add fd77::2/64 dev eth0; ip route add default via fd77::1"
        ));
        scene
            .machine
            .shell("ip route add 168.63.129.16/32 dev lan0");
        for namespace in [&scene.machine, &scene.lan] {
            for port in [22, 53] {
                serve(namespace, port);
            }
        }
        Some(scene)
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
    // Both end with the test program.
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

/// Whether a server's banner can be read at last.
fn answers(from: &Namespace, to: SocketAddr) -> bool {
    (0..TRIES).any(|_| banner(from, to))
}

/// The servers among these whose banner can be read, tried at the same time.
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
    let Some(scene) = Scene::new() else {
        return;
    };
    // The hole: a multicast finds the machine, which runs an SSH server.
    let found = echo(&scene.workspace, all_nodes(&scene.workspace, 53)).expect("the machine");
    let mut ssh = found;
    ssh.set_port(22);
    assert!(answers(&scene.workspace, ssh), "{ssh}");
    // Another firewall that accepts SSH does not open it again.
    scene
        .machine
        .iptables("-A INPUT -p tcp --dport 22 -j ACCEPT");

    for _ in 0..2 {
        scene.guard_workspace();
        assert_eq!(
            echo(&scene.workspace, all_nodes(&scene.workspace, 53)),
            None
        );
        assert_eq!(echo(&scene.workspace, found), None);
        assert!(!banner(&scene.workspace, ssh));
    }
}

#[test]
fn the_workspace_cannot_reach_the_machine_s_other_addresses_or_pass_through_it() {
    let Some(scene) = Scene::new() else {
        return;
    };
    // The machine answers ARP for any of its addresses on every interface, so on this one too.
    scene
        .machine
        .shell("ip address add 10.10.1.1/24 dev br-polis");
    scene
        .lan
        .shell("ip route add 10.10.1.0/24 via 192.168.77.1");
    scene.workspace.shell("ip route add default via 10.10.1.1");
    let addresses = [
        at("10.20.1.1", 22),
        at("192.168.77.1", 22),
        at(LAN, 22),
        at(PUBLIC, 22),
    ];
    assert!(
        addresses
            .iter()
            .all(|server| answers(&scene.workspace, *server)),
        "before"
    );
    let known = neighbours(&scene.workspace);
    scene.guard_workspace();
    scene.workspace.shell("ip neighbour flush dev eth0");
    assert_eq!(reached(&scene.workspace, &addresses), []);
    let asked = neighbours(&scene.workspace);
    assert!(
        !asked.contains("lladdr"),
        "the machine answers ARP: {asked}"
    );
    // Knowing the machine's hardware address does not help either.
    let mut words = known
        .split_whitespace()
        .skip_while(|word| *word != "lladdr");
    let address = words.nth(1).expect("an address");
    scene.workspace.shell(&format!(
        "ip neighbour replace 10.10.1.1 lladdr {address} dev eth0"
    ));
    assert_eq!(reached(&scene.workspace, &addresses), []);
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
    let Some(scene) = Scene::new() else {
        return;
    };
    scene.name_server(LAN);
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
        closed.iter().all(|server| answers(&scene.helper, *server)),
        "before"
    );
    scene.guard();
    assert_eq!(reached(&scene.helper, &closed), []);
    assert!(answers(&scene.helper, at(PUBLIC, 22)));
    assert!(answers(&scene.helper, at(LAN, 53)), "DNS over TCP");
    assert_eq!(echo(&scene.helper, at(LAN, 53)), Some(at(LAN, 53)));
}

#[test]
fn a_name_server_on_the_machine_is_reachable_and_nothing_else_there() {
    let Some(scene) = Scene::new() else {
        return;
    };
    scene.name_server("192.168.77.1");
    scene.guard();
    let server = at("192.168.77.1", 53);
    // The server chooses which of the machine's addresses it answers from.
    assert!((0..TRIES).any(|_| echo(&scene.helper, server).is_some()));
    assert!(answers(&scene.helper, server));
    assert!(!banner(&scene.helper, at("192.168.77.1", 22)));
    assert_eq!(echo(&scene.helper, at("10.20.1.1", 53)), None);
    assert_eq!(echo(&scene.helper, at(LAN, 53)), None);
}

#[test]
fn replies_from_an_egress_bridge_pass() {
    let Some(scene) = Scene::new() else {
        return;
    };
    serve(&scene.helper, 80);
    scene.guard();
    let server = at("10.20.1.128", 80);
    assert!(answers(&scene.machine, server));
    assert!(answers(&scene.lan, server));
    assert_eq!(echo(&scene.lan, server), Some(server));
}

#[test]
fn an_ingress_bridge_answers_and_opens_nothing() {
    let Some(scene) = Scene::new() else {
        return;
    };
    serve(&scene.helper, 80);
    let ran = scene.machine.accept(&["--ingress", "br-out", "br-polis"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let server = at("10.20.1.128", 80);
    assert!(answers(&scene.machine, server));
    assert!(answers(&scene.lan, server));
    for closed in ["10.20.1.1", "192.168.77.1", LAN, PUBLIC] {
        assert!(!banner(&scene.helper, at(closed, 22)), "{closed}");
        assert_eq!(echo(&scene.helper, at(closed, 53)), None, "{closed}");
    }
    // Nor over IPv6, to the machine and beyond it.
    for closed in ["fd20::1", "fd77::2"] {
        assert!(!banner(&scene.helper, at(closed, 22)), "{closed}");
    }
}

#[test]
fn a_connection_that_was_already_open_is_cut() {
    let Some(scene) = Scene::new() else {
        return;
    };
    let socket = scene
        .helper
        .inside(|| UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    socket.set_read_timeout(Some(ANSWER)).expect("a time-out");
    let mut buffer = [0; 64];
    for open in [true, false] {
        socket.send_to(b"who?", at(LAN, 22)).expect("a datagram");
        assert_eq!(socket.recv_from(&mut buffer).is_ok(), open);
        scene.guard();
    }
}

#[test]
fn a_restart_of_docker_opens_nothing() {
    let Some(scene) = Scene::new() else {
        return;
    };
    scene.guard();
    // What a restart of Docker does to its chains.
    for arguments in ["-F", "-X", "-N DOCKER-USER", "-P FORWARD ACCEPT"] {
        scene.machine.iptables(arguments);
    }
    assert!(!banner(&scene.helper, at(LAN, 22)));
    assert_eq!(
        echo(&scene.workspace, all_nodes(&scene.workspace, 53)),
        None
    );
    let again = scene.machine.accept(&["br-polis", "--egress=br-out"]);
    assert!(again.stdout.ends_with("added at the head\n"), "{again:?}");
    assert!(!banner(&scene.helper, at(LAN, 22)));
    assert!(answers(&scene.helper, at(PUBLIC, 22)));
}

#[test]
fn without_a_resolv_conf_nothing_is_guessed() {
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
