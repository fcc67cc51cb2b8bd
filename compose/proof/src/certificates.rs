//! Creates certificates for the servers of the fake internet, signed by the authority that the twins trust.

use std::fs;
use std::path::{Path, PathBuf};

use cloud_init_proof::run::Run;

use crate::Result;
use crate::twins::Authority;

/// Creates a certificate for `hosts`, signed by `authority`; returns the file `NAME.pem` below `dir` with it and its key.
///
/// # Errors
/// When openssl fails.
pub fn make(authority: &Authority, dir: &Path, name: &str, hosts: &[&str]) -> Result<PathBuf> {
    let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
    let names = format!("subjectAltName={}", names.join(","));
    let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
    let signer = [
        authority.certificate.display().to_string(),
        authority.key.display().to_string(),
    ];
    let subject = ["openssl", "req", "-x509", "-subj", "/CN=server"];
    let signer = ["-CA", &signer[0], "-CAkey", &signer[1]];
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let more = ["-addext", &names, "-addext", "basicConstraints=CA:FALSE"];
    let files = [
        "-noenc",
        "-days",
        "30",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    Run::new(&[&subject[..], &signer, &more, &curve, &files].concat())
        .cwd(dir)
        .output()?;
    let read = |file: &str| {
        let path = dir.join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let both = dir.join(format!("{name}.pem"));
    let text = read(&certificate)? + &read(&key)?;
    fs::write(&both, text).map_err(|error| format!("{}: {error}", both.display()))?;
    Ok(both)
}
