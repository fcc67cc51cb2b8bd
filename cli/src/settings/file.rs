//! The configuration file.

use std::collections::BTreeMap;
use std::path::Path;

use super::keys::KEYS;
use crate::error::{Error, Kind, Result};
use crate::instance;
use crate::proxy::url;

/// The table with a subtable for each workspace.
const TABLES: &str = "workspace";

/// The values of the configuration file, with its relative paths resolved.
#[derive(Default)]
pub(super) struct FromFile {
    pub(super) all: BTreeMap<String, String>,
    /// The values of each table `[workspace.NAME]`, which override the others for that workspace.
    pub(super) each: BTreeMap<String, BTreeMap<String, String>>,
}

/// Reads the configuration file, which need not exist.
///
/// # Errors
/// Of kind `Usage`, naming the file and the line.
pub(super) fn from_file(path: &Path) -> Result<FromFile> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(FromFile::default());
        }
        Err(error) => {
            return Err(
                Error::new(Kind::Usage, format!("could not read `{}`", path.display()))
                    .caused_by(&error),
            );
        }
    };
    let broken = |reason: String| {
        Error::new(
            Kind::Usage,
            format!("`{}` is not a valid configuration file", path.display()),
        )
        .because(reason)
        .next(format!("the settings are: {}", names()))
    };
    let mut table: toml::Table =
        toml::from_str(&text).map_err(|error| broken(url::masked(&error.to_string())))?;
    let mut says = FromFile::default();
    let each = match table.remove(TABLES) {
        Some(toml::Value::Table(each)) => each,
        None => toml::Table::new(),
        Some(_) => return Err(broken(format!("`{TABLES}` is not a table of workspaces"))),
    };
    for (name, own) in each {
        instance::check(&name).map_err(broken)?;
        let toml::Value::Table(own) = own else {
            return Err(broken(format!("`{TABLES}.{name}` is not a table")));
        };
        if own.contains_key("name") {
            return Err(broken(format!("`{TABLES}.{name}` cannot set `name`")));
        }
        says.each.insert(name, values(path, own).map_err(broken)?);
    }
    says.all = values(path, table).map_err(broken)?;
    Ok(says)
}

/// The settings of one table of the file at `path`, or why it is invalid.
fn values(
    path: &Path,
    table: toml::Table,
) -> std::result::Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (name, value) in table {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            return Err(format!("`{name}` is not a setting"));
        };
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => {
                let found = other.type_str();
                return Err(format!(
                    "`{name}` is a {found}; expected a string or a number"
                ));
            }
        };
        let relative = key.is_path && Path::new(&value).is_relative();
        let value = match path.parent() {
            Some(dir) if relative => dir.join(value).display().to_string(),
            _ => value,
        };
        values.insert(name, value);
    }
    Ok(values)
}

fn names() -> String {
    let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    names.join(", ")
}
