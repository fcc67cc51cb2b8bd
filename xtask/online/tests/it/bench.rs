//! Benchmarks. Each prints its measurement and fails if it misses its limit. They need an idle machine, so only `cargo
//! xtask bench online` runs them, one after the other.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::IntoResponse as _;
use futures_util::stream;
use polis_base::Digest;
use sha2::{Digest as _, Sha256};
use xtask_loopback::{EmbeddedFiles, EmbeddedProxy, EmbeddedRegistry, Faults};
use xtask_online::registry::{Credentials, Logins, Registry};
use xtask_testkit::{Ran, Tree};

use crate::support::docker::DockerRegistry;
use crate::support::test_env::{CLOUD_INIT, COMPOSE, Others, PROGRAM};
use crate::support::tokens::{Issuer, Policy};
use crate::support::{endpoints, external_tool, layout, run};

const LATENCY: Duration = Duration::from_millis(100);

/// A tree whose compose file names only `images`, and stand-in servers for everything else.
struct Bench {
    tree: Tree,
    endpoints: Vec<String>,
    others: Others,
    _server: EmbeddedFiles,
}

impl Bench {
    fn of(images: &[String], endpoints: Vec<String>) -> Self {
        let tree = Tree::data();
        let services = images.iter().enumerate();
        let services = services.map(|(n, image)| format!("  s{n}:\n    image: {image}\n"));
        let text = format!("name: bench\nservices:\n{}", services.collect::<String>());
        tree.write(COMPOSE, &text);
        tree.write("compose/pin-waivers.yaml", "version: 1\nwaivers: []\n");
        let others = Others::of(&tree);
        let (server, more) = others.serve(&Faults::none());
        Self {
            tree,
            endpoints: [endpoints, more].concat(),
            others,
            _server: server,
        }
    }

    /// Runs a verb, which must succeed; returns its duration and its peak memory in KiB.
    fn run(&self, verb: &str, env: &[(&str, &str)]) -> (Duration, u64) {
        let mut args = vec!["-v", PROGRAM, verb, "--quiet"];
        for endpoint in &self.endpoints {
            args.extend(["--endpoint", endpoint]);
        }
        let start = Instant::now();
        let ran: Ran = self.tree.run_with("/usr/bin/time", &args, env);
        let took = start.elapsed();
        assert_eq!(ran.code, 0, "{}", ran.seen());
        let line = ran
            .stderr
            .lines()
            .find(|line| line.contains("Maximum resident"));
        let memory = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        (took, memory.expect("the memory"))
    }
}

fn ms(time: Duration) -> String {
    format!("{:7.0} ms", time.as_secs_f64() * 1000.0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn bench_1_eleven_images() {
    let skopeo = external_tool("skopeo").expect("skopeo");
    let issuer = Issuer::start(Policy::Password).await.expect("openssl");
    let token_server = issuer.realm();
    let origin = token_server.strip_suffix("/token").unwrap();
    let tokens = EmbeddedProxy::start(origin, LATENCY, &Faults::none()).unwrap();
    let realm = format!("{}/token", tokens.url());
    let server = DockerRegistry::with_tokens(&realm).expect("docker-registry");
    issuer.sign_with(server.dir());
    let direct = endpoints(&[format!("ghcr.io=http://{}", server.host())]);
    let logins = Logins::none().with("ghcr.io", Credentials::new("me", "s3cret"));
    let writer = Registry::new(&direct, logins).unwrap();
    let mut images = Vec::new();
    for n in 0..11 {
        let dir = tempfile::tempdir().unwrap();
        layout::index(dir.path(), &n.to_string());
        let to = format!("ghcr.io/a/i{n}:v1").parse().unwrap();
        let digest = writer.push_layout(dir.path(), &to).await.unwrap();
        images.push(to.pinned(digest).to_string());
    }
    let target = format!("http://{}", server.host());
    let proxy = EmbeddedProxy::start(&target, LATENCY, &Faults::none()).unwrap();
    let bench = Bench::of(&images, vec![format!("ghcr.io={}", proxy.url())]);
    tokens.take_seen();

    let login = [
        ("POLIS_REGISTRY_USER", "me"),
        ("POLIS_REGISTRY_PASSWORD", "s3cret"),
    ];
    let (ours, _) = bench.run("verify-pins", &login);
    let (seen, given) = (proxy.take_seen(), tokens.take_seen());

    let start = Instant::now();
    for n in 0..11 {
        let image = format!("docker://{}/a/i{n}:v1", proxy.host());
        let options = [
            "inspect",
            "--tls-verify=false",
            "--creds",
            "me:s3cret",
            "--no-tags",
        ];
        run(&skopeo, options.into_iter().chain([image.as_str()]));
    }
    let theirs = start.elapsed();
    let count = |start: &str| seen.iter().filter(|line| line.starts_with(start)).count();
    let challenges = seen.iter().filter(|line| *line == "GET /v2/").count();
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!("11 images, {} ms latency", LATENCY.as_millis());
    println!(
        "  skopeo inspect in a loop  {} ({} requests)",
        ms(theirs),
        proxy.take_seen().len()
    );
    println!("  verify-pins               {}, ratio {ratio:.1}", ms(ours));
    println!(
        "  requests: {challenges} challenge, {} tokens, {} HEAD, {} GET of platforms",
        given.len(),
        count("HEAD "),
        count("GET ") - challenges
    );
    assert_eq!((challenges, given.len(), count("HEAD ")), (1, 11, 11));
    assert!(ours < Duration::from_secs(1) && ratio >= 3.0);
}

/// `count` images in `latencies.len()` registries, each with its latency.
fn spread(count: usize, latencies: &[Duration]) -> (Duration, u64) {
    let storage = tempfile::tempdir().unwrap();
    let mut servers = Vec::new();
    let (mut images, mut endpoints_of) = (Vec::new(), Vec::new());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (at, latency) in latencies.iter().enumerate() {
        let host = format!("r{at}.example");
        let server = EmbeddedRegistry::start(&storage.path().join(&host)).unwrap();
        let direct = endpoints(&[format!("{host}={}", server.url())]);
        let writer = runtime.block_on(async { Registry::new(&direct, Logins::none()).unwrap() });
        for n in (at..count).step_by(latencies.len()) {
            let dir = tempfile::tempdir().unwrap();
            layout::index(dir.path(), &n.to_string());
            let to = format!("{host}/a/i{n}:v1").parse().unwrap();
            let push = writer.push_layout(dir.path(), &to);
            images.push(to.pinned(runtime.block_on(push).unwrap()).to_string());
        }
        let proxy = EmbeddedProxy::start(&server.url(), *latency, &Faults::none()).unwrap();
        endpoints_of.push(format!("{host}={}", proxy.url()));
        servers.push((server, proxy));
    }
    Bench::of(&images, endpoints_of).run("verify-pins", &[])
}

#[test]
#[ignore = "a benchmark"]
fn bench_2_two_hundred_images() {
    let even = [LATENCY; 20];
    let (few, few_memory) = spread(20, &even);
    let (many, many_memory) = spread(200, &even);
    let (_, more_memory) = spread(400, &even);
    let (_, most_memory) = spread(800, &even);
    let mut uneven = even;
    uneven[7] = LATENCY * 4;
    let (slow, _) = spread(200, &uneven);
    let mib = |kib: u64| kib as f64 / 1024.0;
    let growth = many.as_secs_f64() / few.as_secs_f64();
    println!("20 registries, {} ms latency", LATENCY.as_millis());
    println!(
        "   20 images                {}, {:.1} MiB",
        ms(few),
        mib(few_memory)
    );
    println!(
        "  200 images                {}, {:.1} MiB, ratio {growth:.1}",
        ms(many),
        mib(many_memory)
    );
    println!(
        "  400 and 800 images                    {:.1} and {:.1} MiB",
        mib(more_memory),
        mib(most_memory)
    );
    println!("  200, one registry at 400  {}", ms(slow));
    assert!(growth < 3.0, "ten times the images");
    // Memory is used per connection, and connections per registry are limited.
    assert!(mib(most_memory) < mib(more_memory) + 8.0);
}

const PIECE: usize = 1024 * 1024;
const PIECES: usize = 1024;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn bench_3_a_large_download() {
    let piece: Vec<u8> = (0..PIECE).map(|n| (n * 7 % 251) as u8).collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let digest = write(&file, &piece);
    let bench = Bench::of(&[], Vec::new());
    let text = bench.tree.read(CLOUD_INIT);
    let name = "YQ_SHA256_AMD64=";
    let at = text.find(name).unwrap() + name.len();
    let old = &text[at..at + 64];
    bench
        .tree
        .write(CLOUD_INIT, &text.replace(old, &digest.hex()));

    // Only this one file is large; everything else stays the same.
    let small = bench.others.files.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let piece = Bytes::from(piece);
    let router = Router::new().fallback(move |request: axum::extract::Request| {
        let path = request.uri().path();
        let small = small
            .get(path)
            .filter(|_| !path.ends_with("yq_linux_amd64"));
        let (piece, small) = (piece.clone(), small.cloned());
        async move {
            if let Some(bytes) = small {
                return bytes.into_response();
            }
            let pieces =
                stream::iter((0..PIECES).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
            let length = [(header::CONTENT_LENGTH, (PIECE * PIECES).to_string())];
            (length, Body::from_stream(pieces)).into_response()
        }
    });
    tokio::spawn(async { axum::serve(listener, router).await });
    let mut bench = bench;
    bench
        .endpoints
        .retain(|text| !text.starts_with("github.com="));
    bench.endpoints.push(format!("github.com={url}"));

    // Once to fill the page cache, because hashing is compared, not the disk.
    run("sha256sum", [&file]);
    let start = Instant::now();
    run("sha256sum", [&file]);
    let theirs = start.elapsed();
    let (ours, memory) = bench.run("verify-checksums", &[]);
    let rate = |time: Duration| (PIECE * PIECES) as f64 / time.as_secs_f64() / 1e6;
    let ratio = rate(ours) / rate(theirs);
    let memory = memory as f64 / 1024.0;
    println!("1 GiB");
    println!(
        "  sha256sum of the file     {}, {:.0} MB/s",
        ms(theirs),
        rate(theirs)
    );
    println!(
        "  verify-checksums          {}, {:.0} MB/s, ratio {ratio:.2}, {memory:.1} MiB",
        ms(ours),
        rate(ours)
    );
    assert!(ratio >= 0.9 && memory < 32.0);
}

/// Writes the large file; returns its digest.
fn write(path: &Path, piece: &[u8]) -> Digest {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    let mut hasher = Sha256::new();
    for _ in 0..PIECES {
        file.write_all(piece).unwrap();
        hasher.update(piece);
    }
    Digest::from_hasher(hasher)
}

/// Three programs on the same 22 images of two platforms. `pindock check --update` compares tags and digests, `skopeo
/// inspect` in a loop requests one, and `verify-pins` also reads the manifest of each platform, the downloads, keys and
/// actions.
#[test]
#[ignore = "a benchmark"]
fn bench_4_against_pindock() {
    let (pindock, skopeo) = (external_tool("pindock"), external_tool("skopeo"));
    let (pindock, skopeo) = (pindock.expect("pindock, of PyPI"), skopeo.expect("skopeo"));
    for latency in [Duration::ZERO, LATENCY] {
        let storage = tempfile::tempdir().unwrap();
        let server = EmbeddedRegistry::start(storage.path()).unwrap();
        let proxy = EmbeddedProxy::start(&server.url(), latency, &Faults::none()).unwrap();
        let host = proxy.host();
        let direct = endpoints(&[format!("{host}={}", server.url())]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let writer = runtime.block_on(async { Registry::new(&direct, Logins::none()).unwrap() });
        let images: Vec<_> = (0..22)
            .map(|n| {
                let dir = tempfile::tempdir().unwrap();
                layout::index(dir.path(), &n.to_string());
                let to = format!("{host}/a/i{n}:v1").parse().unwrap();
                let push = writer.push_layout(dir.path(), &to);
                to.pinned(runtime.block_on(push).unwrap()).to_string()
            })
            .collect();
        let bench = Bench::of(&images, vec![format!("{host}={}", proxy.url())]);
        let compose = bench.tree.root().join(COMPOSE);
        proxy.take_seen();
        let timed = |theirs: &dyn Fn()| {
            let start = Instant::now();
            theirs();
            (start.elapsed(), proxy.take_seen().len())
        };
        let ours = timed(&|| {
            let _ = bench.run("verify-pins", &[]);
        });
        let pindock = timed(&|| {
            let compose = compose.to_str().unwrap();
            run(&pindock, ["check", "--update", compose]);
        });
        let skopeo = timed(&|| {
            for image in &images {
                let (name, digest) = image.split_once('@').unwrap();
                let repository = name.rsplit_once(':').unwrap().0;
                let image = format!("docker://{repository}@{digest}");
                run(
                    &skopeo,
                    ["inspect", "--tls-verify=false", "--no-tags", &image],
                );
            }
        });
        println!("22 images, {} ms latency", latency.as_millis());
        let rows = [
            ("verify-pins", ours),
            ("pindock", pindock),
            ("skopeo", skopeo),
        ];
        for (name, (took, requests)) in rows {
            println!("  {name:<12} {} {requests:4} requests", ms(took));
        }
        assert!(ours.0 < skopeo.0, "slower than skopeo at {latency:?}");
        // At 0 ms, ours is limited by the speed of a development build.
        assert!(
            latency.is_zero() || ours.0 < pindock.0,
            "slower than pindock"
        );
    }
}
