//! The tree to work on and its build directory.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::options::Global;
use crate::source::Source;

/// The file that identifies a checkout: the compose file.
pub const LANDMARK: &str = "compose/docker-compose.yml";

/// A checkout.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Its top directory, absolute.
    pub root: PathBuf,
    /// The build directory, absolute.
    pub target: PathBuf,
}

impl Workspace {
    /// The tree that the options name, or else the one these tools were built from.
    ///
    /// # Errors
    /// If it is not a checkout of Polis.
    pub fn open(global: &Global) -> Result<Self> {
        let root = match &global.root {
            Some(root) => root.clone(),
            // Cargo sets this to the directory of the package that it runs.
            None => std::env::var_os("CARGO_MANIFEST_DIR")
                .map_or_else(|| PathBuf::from("."), PathBuf::from)
                .ancestors()
                .find(|dir| dir.join("compose").is_dir())
                .map_or_else(|| PathBuf::from("."), Path::to_owned),
        };
        let root = std::path::absolute(&root).map_err(|error| Error::io("find", &root, &error))?;
        if !root.join(LANDMARK).is_file() {
            let missing = format!("`{}` is not a checkout of Polis", root.display());
            return Err(Error::usage(missing)
                .because(format!("it has no `{}`", LANDMARK))
                .hint("name one with --root DIR"));
        }
        let target = root.join("target");
        Ok(Self { root, target })
    }

    /// Reads a file of the tree.
    ///
    /// # Errors
    /// If it cannot be read; the error names it.
    pub fn read(&self, path: &str) -> Result<Source> {
        Source::read(&self.root, path)
    }
}
