//! How layers are downloaded: each only once, resumed after a broken connection, in constant memory.

use std::fs;
use std::process::Child;
use std::time::Duration;

use xtask_loopback::Fault;
use xtask_testkit::Tree;

use super::build::{Entry, Image, Layer, Packed};
use super::cases::{Case, fine};
use super::{Site, states};
use crate::support::test_env::PROGRAM;

/// More than the program may use in memory, compressed or not. The content is incompressible.
const LARGE: usize = 80 << 20;
/// The memory that the program may use: its code and libraries, and the decompressors.
const MEMORY: u64 = 64 << 20;

/// Bytes without repetitions.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut words = Vec::with_capacity(length);
    while words.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        words.extend(state.to_le_bytes());
    }
    words
}

fn large(image: &mut Image, packed: Packed, bytes: Vec<u8>) {
    let entries = vec![("opt/large", Entry::File(0o644, 0, bytes))];
    image.layers.push(Layer {
        packed,
        ..Layer::of(entries)
    });
}

#[test]
fn a_layer_of_several_images_is_read_once() {
    let one = |name| -> Case { fine(name, |image| large(image, Packed::Gzip, noise(100_000))) };
    let Some(site) = Site::start(&[one("one"), one("two"), one("three")]) else {
        return;
    };
    let ran = site.run(&["--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let seen = site.proxy.take_seen();
    for layer in &site.pushed[0].layers {
        assert!(site.pushed[2].layers.contains(layer));
        let asked = |method: &str| {
            let of_layer = seen
                .iter()
                .filter(|line| line.ends_with(&layer.to_string()));
            of_layer.filter(|line| line.starts_with(method)).count()
        };
        // The other repositories are only asked whether they have it.
        assert_eq!((asked("GET"), asked("HEAD")), (1, 2), "{seen:#?}");
    }
}

#[test]
fn a_broken_download_resumes_where_it_stopped() {
    let Some(site) = Site::start(&[fine("cut", |image| {
        large(image, Packed::Gzip, noise(3_000_000))
    })]) else {
        return;
    };
    let layer = site.pushed[0].layers[1];
    let path = format!("/v2/o/cut/blobs/{layer}");
    for at in [1_000_000, 700_000] {
        site.faults.add("GET", &path, 1, Fault::Cut(at));
    }
    let ran = site.run(&["--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    assert_eq!(site.faults.left(), 0);
    let asked = site.proxy.take_seen();
    assert_eq!(asked.iter().filter(|line| line.ends_with(&path)).count(), 3);
    // If a server never makes progress, the download is aborted and nothing is trusted.
    site.faults.add("GET", &path, 100, Fault::Cut(10));
    let ran = site.run(&["--format", "json"]);
    assert_eq!(
        (ran.code, states(&ran)[0].1.as_str()),
        (3, "unreachable"),
        "{}",
        ran.seen()
    );
}

#[test]
#[cfg(target_os = "linux")]
fn memory_does_not_grow_with_the_layers() {
    let cases = [
        fine("noise", |image| large(image, Packed::Gzip, noise(LARGE))),
        fine("zeros-zstd", |image| {
            large(image, Packed::Zstd, vec![0; 2 * LARGE])
        }),
    ];
    let Some(site) = Site::start(&cases) else {
        return;
    };
    let endpoint = format!("ghcr.io={}", site.proxy.url());
    let args = ["verify-images", "--quiet", "--endpoint", &endpoint];
    let (code, peak) = watched(&site.tree, &args);
    assert_eq!(code, Some(0));
    println!(
        "peak of {} MB for layers of {} MB",
        peak >> 20,
        (3 * LARGE) >> 20
    );
    assert!(peak > 1 << 20, "the peak was not seen: {peak}");
    assert!(peak < MEMORY, "{} MB", peak >> 20);
}

/// The exit code of the program, and its peak memory.
#[cfg(target_os = "linux")]
fn watched(tree: &Tree, args: &[&str]) -> (Option<i32>, u64) {
    let mut child = tree.start(PROGRAM, args, &[]);
    let mut peak = 0;
    loop {
        peak = peak.max(high_water(&child).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code(), peak);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The peak memory of a running program, as recorded by the kernel.
#[cfg(target_os = "linux")]
fn high_water(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}
