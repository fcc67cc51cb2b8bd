//! The modules of c-icap: from Debian if that has them, otherwise compiled from `module.c` to the paths of the image.

use std::path::Path;

use cloud_init_proof::run::Run;
use xtask_pins::contract::{Contract, PathKind};

use super::base::Base;
use super::files::{base_name, read};
use super::tree::Tree;
use crate::Result;

/// Debian's directory of c-icap's modules, which is compiled into its c-icap, and the image's.
const MODULES: (&str, &str) = ("/usr/lib/x86_64-linux-gnu/c_icap", "/usr/lib/c_icap");

/// Modules of c-icap that Debian lacks: the file, the service, its type, and its role in `module.c`.
const MODULE_ROLES: [(&str, &str, &str, &str); 5] = [
    ("srv_polis_dlp.so", "polis_dlp", "ICAP_REQMOD", "1"),
    (
        "srv_polis_sentinel_resp.so",
        "polis_sentinel_resp",
        "ICAP_RESPMOD",
        "2",
    ),
    (
        "srv_polis_approval.so",
        "polis_approval",
        "ICAP_RESPMOD",
        "0",
    ),
    (
        "srv_polis_approval_rewrite.so",
        "polis_approval_rewrite",
        "ICAP_REQMOD",
        "0",
    ),
    ("squidclamav.so", "squidclamav", "ICAP_RESPMOD", "0"),
];

/// Adds the modules of the contract.
pub(crate) fn add(
    tree: &mut Tree,
    base: &Base,
    contract: &Contract,
    work: &Path,
    linked: &mut Vec<String>,
) -> Result<()> {
    let modules = contract.paths.iter().map(|fact| &fact.value);
    for module in modules.filter(|path| path.kind == PathKind::Module) {
        let name = base_name(&module.path);
        let debian = format!("{}/{name}", MODULES.0);
        if base.path(&debian).is_file() {
            tree.file(&module.path, 0o644, &base.path(&debian));
            // Not itself a library of the image, but its dependencies are.
            linked.extend(base.libraries(&[debian])?);
            continue;
        }
        let role = MODULE_ROLES.iter().find(|(file, ..)| *file == name);
        let role = role.ok_or_else(|| {
            format!(
                "{}: nothing provides `{}`",
                contract.source.path, module.path
            )
        })?;
        tree.bytes(&module.path, 0o644, 0, &compiled(base, work, role)?);
        tree.link(MODULES.0, MODULES.1);
    }
    Ok(())
}

/// Compiles a module from `module.c` against the headers of Debian's c-icap.
fn compiled(base: &Base, work: &Path, role: &(&str, &str, &str, &str)) -> Result<Vec<u8>> {
    let (file, service, kind, role) = role;
    std::fs::create_dir_all(work).map_err(|error| format!("{}: {error}", work.display()))?;
    let out = work.join(file);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins/c-icap/module.c");
    let headers = base.path("/usr/include/c_icap");
    let words = [
        "cc",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O2",
        "-shared",
        "-fPIC",
        &format!("-I{}", headers.display()),
        &format!("-DNAME=\"{service}\""),
        &format!("-DDESCRIPTION=\"stand-in for {service}\""),
        &format!("-DTYPE={kind}"),
        &format!("-DROLE={role}"),
        "-o",
        &out.display().to_string(),
        &source.display().to_string(),
    ];
    Run::new(&words).output()?;
    let bytes = read(&out)?;
    std::fs::remove_file(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(bytes)
}
