//! Reproducible release builds of our own programs.
//!
//! Local paths are remapped, the lock file is enforced, and programs for Linux are linked statically: against musl if
//! that target is installed, which uses no file of the host and gives the same bytes everywhere, or else against the
//! host's glibc.
//!
//! The compiler is that of the tree being built: cargo and rustc run in it without the caller's toolchain variables, so
//! that rustup follows the tree's `rust-toolchain.toml`.

use std::path::{Path, PathBuf};

use polis_base::Digest;

use xtask_host::error::{Error, Result};
use xtask_host::process::Run;
use xtask_host::progress::Progress;
use xtask_host::toolchain::{has_target, tool};
use xtask_host::workspace::Workspace;

/// A Rust target that can be built here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The target triple.
    pub triple: String,
    /// The architecture in OCI's terms.
    pub architecture: &'static str,
}

/// An architecture that is not built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The architecture in OCI's terms.
    pub architecture: &'static str,
    /// The reason, and what to do about it.
    pub reason: String,
}

/// The architectures of our images, in OCI's and Rust's terms.
const ARCHITECTURES: [(&str, &str); 2] = [("amd64", "x86_64"), ("arm64", "aarch64")];

/// Environment variables that would change the output, or wrap the compiler.
const MACHINE_DEPENDENT: [&str; 7] = [
    "RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
    "CARGO_BUILD_*",
    "CARGO_PROFILE_*",
    "CARGO_UNSTABLE_*",
];

/// The static Linux targets that can be built here, one per architecture of a release, and the architectures that
/// cannot.
///
/// # Errors
/// If `rustc` cannot be run.
pub fn linux_targets(workspace: &Workspace) -> Result<(Vec<Target>, Vec<LeftOut>)> {
    let host = host(workspace)?;
    let mut targets = Vec::new();
    let mut left_out = Vec::new();
    for (architecture, arch) in ARCHITECTURES {
        let musl = format!("{arch}-unknown-linux-musl");
        let gnu = format!("{arch}-unknown-linux-gnu");
        let triple = if has_target(&workspace.root, &musl)? {
            musl
        } else if gnu == host {
            gnu
        } else {
            let reason = format!("the target is not installed: rustup target add {musl}");
            left_out.push(LeftOut {
                architecture,
                reason,
            });
            continue;
        };
        targets.push(Target {
            triple,
            architecture,
        });
    }
    Ok((targets, left_out))
}

/// The target of the CLI for this machine: static on Linux, the host's own elsewhere.
///
/// # Errors
/// If `rustc` cannot be run.
pub fn cli_target(workspace: &Workspace) -> Result<String> {
    let host = host(workspace)?;
    let musl = host.replace("-linux-gnu", "-linux-musl");
    Ok(if has_target(&workspace.root, &musl)? {
        musl
    } else {
        host
    })
}

fn host(workspace: &Workspace) -> Result<String> {
    verbose_version(workspace, "host")
}

/// A field of `rustc -vV`.
fn verbose_version(workspace: &Workspace, field: &str) -> Result<String> {
    let version = rustc(workspace).arg("-vV").output()?;
    let prefix = format!("{field}: ");
    version
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .map(str::to_owned)
        .ok_or_else(|| Error::machine(format!("`rustc -vV` names no {field}")))
}

fn rustc(workspace: &Workspace) -> Run {
    tool(&workspace.root, "rustc")
}

/// Builds the program `bin` of the package in `package_dir` (relative to the root) for `triple`.
///
/// Returns the path of the program. `env` is added to the environment of the build.
///
/// # Errors
/// If cargo fails, or would have to change `Cargo.lock`.
pub fn build(
    workspace: &Workspace,
    package_dir: &str,
    bin: &str,
    triple: &str,
    env: &[(&str, &str)],
    progress: Progress,
) -> Result<PathBuf> {
    let target_dir = workspace.target.join("shipped");
    let mut run = tool(&workspace.root, "cargo")
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            triple,
            "--bin",
            bin,
        ])
        .arg("--manifest-path")
        .arg(workspace.root.join(package_dir).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            flags(workspace, &target_dir, triple)?.join("\x1f"),
        )
        .env("CARGO_INCREMENTAL", "0");
    for name in MACHINE_DEPENDENT {
        run = run.env_remove(name);
    }
    for (name, value) in env {
        run = run.env(name, value);
    }
    let task = progress.task(format!("build {bin} for {triple}"));
    run.output()?;
    let name = if triple.contains("windows") {
        format!("{bin}.exe")
    } else {
        bin.to_owned()
    };
    let program = target_dir.join(triple).join("release").join(name);
    let bytes = std::fs::read(&program).map_err(|error| Error::io("read", &program, &error))?;
    task.done(&format!("{} bytes, {}", bytes.len(), Digest::of(&bytes)));
    Ok(program)
}

/// The compiler flags that make the output independent of this machine.
fn flags(workspace: &Workspace, target_dir: &Path, triple: &str) -> Result<Vec<String>> {
    let sysroot = rustc(workspace).args(["--print", "sysroot"]).output()?;
    let std_source = Path::new(&sysroot).join("lib/rustlib/src/rust");
    let std_name = format!("/rustc/{}", verbose_version(workspace, "commit-hash")?);
    let mut flags = vec![
        // rustc applies the last mapping that matches.
        remap(&workspace.root, "/polis"),
        remap(target_dir, "/target"),
        remap(&cargo_home()?, "/cargo"),
        remap(&std_source, &std_name),
    ];
    // On Windows too, so that the CLI runs without Visual C++'s runtime.
    if triple.contains("-linux-") || triple.contains("-windows-msvc") {
        flags.push("-Ctarget-feature=+crt-static".to_owned());
    }
    if triple.contains("-linux-musl") {
        // The linker and start files that come with Rust, instead of the host's.
        flags.extend(
            [
                "-Clinker=rust-lld",
                "-Clinker-flavor=ld.lld",
                "-Clink-self-contained=yes",
            ]
            .map(str::to_owned),
        );
    }
    Ok(flags)
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

fn cargo_home() -> Result<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .ok_or_else(|| Error::machine("neither CARGO_HOME nor a home directory is known"))
}
