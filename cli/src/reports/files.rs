//! The reports of the commands that copy files, and of `ssh-config`.

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

/// The result of `cp`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Copy {
    /// The number of files and links copied.
    pub(crate) files: u64,
    /// The total size of the files in bytes.
    pub(crate) bytes: u64,
    /// The location of the copy: `workspace:PATH` or a path on this machine.
    pub(crate) destination: String,
}

/// The result of `sync`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct Sync {
    /// The directory on this machine.
    pub(crate) directory: String,
    /// The version in the workspace.
    pub(crate) workspace: String,
    /// Whether either of them was written.
    pub(crate) changed: bool,
    /// The changes in the workspace since the last sync; null if not requested.
    pub(crate) diff: Option<String>,
}

/// The result of `ssh-config`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(crate) struct SshConfig<'a> {
    /// The file that holds the block.
    pub(crate) config: String,
    /// Whether the user's own configuration includes it.
    pub(crate) installed: bool,
    /// Whether the user's own configuration was changed.
    pub(crate) changed: bool,
    /// The block for the workspace; null after `--remove`.
    pub(crate) block: Option<&'a str>,
}
