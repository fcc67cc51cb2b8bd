//! Runs cloud-init's own validator, if it is installed. Our schema is stricter, but not authoritative.

use xtask_host::finding::Finding;
use xtask_host::process::Run;
use xtask_host::source::Source;
use xtask_host::tools;
use xtask_host::workspace::Workspace;

/// The result of the official validator.
#[derive(Debug, Default)]
pub struct Official {
    /// The program and its version; `None` if it is not installed.
    pub version: Option<String>,
    /// Its errors.
    pub findings: Vec<Finding>,
}

/// Runs `cloud-init schema` on the file.
pub fn check(workspace: &Workspace, source: &Source) -> Official {
    // Looking for the program is cheaper than failing to start it.
    if !tools::installed("cloud-init") {
        return Official::default();
    }
    let Ok(version) = Run::new("cloud-init").arg("--version").output() else {
        return Official::default();
    };
    let asked = Run::new("cloud-init")
        .args(["schema", "--config-file"])
        .arg(workspace.root.join(&source.path))
        .output();
    let findings = match asked {
        Ok(_) => Vec::new(),
        Err(error) => vec![
            Finding::error(
                "official-schema",
                source.place(0..0),
                "cloud-init's own validator rejects the file",
            )
            .help(error.causes.join("\n")),
        ],
    };
    Official {
        version: Some(version),
        findings,
    }
}
