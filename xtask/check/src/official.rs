//! cloud-init's own validator, where it is installed: our schema is stricter, but not the judge.

use xtask_host::finding::Finding;
use xtask_host::process::Run;
use xtask_host::source::Source;
use xtask_host::tools;
use xtask_host::workspace::Workspace;

/// What the official validator said.
#[derive(Debug, Default)]
pub struct Official {
    /// The program and its version; `None` where it is not installed.
    pub version: Option<String>,
    /// What it refused.
    pub findings: Vec<Finding>,
}

/// Asks `cloud-init schema` about the file.
pub fn check(workspace: &Workspace, source: &Source) -> Official {
    // Starting a program that is not there costs more than looking for it.
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
                "cloud-init's own validator refuses the file",
            )
            .help(error.causes.join("\n")),
        ],
    };
    Official {
        version: Some(version),
        findings,
    }
}
