//! The user-data of a launch: how Multipass changes it, and what cloud-init does with it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::Guest;
use crate::store::state::Provision;
use crate::yaml;

/// Our provisioning script. User-data that writes and runs it provisions the guest.
pub(crate) const SCRIPT: &str = "/usr/local/lib/polis/provision.sh";
/// The user-data that cloud-init received.
pub(crate) const USER_DATA: &str = "/var/lib/cloud/instance/user-data.txt";

/// Parsed user-data.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserData {
    text: String,
    value: Value,
}

/// A file that cloud-init writes.
struct Written<'a> {
    path: &'a str,
    content: &'a str,
    mode: u32,
}

impl UserData {
    /// Parses user-data as the client does.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        Ok(Self {
            text: text.to_owned(),
            value: yaml::parse(text)?,
        })
    }

    /// Whether yaml-cpp corrupts it: a quoted mode loses its quotes and arrives as a number.
    pub(crate) fn degrades(&self) -> bool {
        self.entries()
            .any(|entry| entry.get("permissions").is_some_and(Value::is_string))
    }

    /// The run of our provisioning, if the user-data starts one.
    pub(crate) fn provision(
        &self,
        starts_at: u64,
        takes: u64,
        fails: Option<(String, String)>,
    ) -> Option<Provision> {
        let writes = self.files().any(|file| file.path == SCRIPT);
        let runs = self.value.get("runcmd")?.to_string().contains(SCRIPT);
        (writes && runs).then(|| Provision::new(starts_at, takes, fails))
    }

    fn entries(&self) -> impl Iterator<Item = &Value> {
        let list = self.value.get("write_files").and_then(Value::as_array);
        list.into_iter().flatten()
    }

    fn files(&self) -> impl Iterator<Item = Written<'_>> {
        self.entries().filter_map(|entry| {
            let mode = match entry.get("permissions") {
                Some(Value::String(octal)) => {
                    u32::from_str_radix(octal.trim_start_matches("0o"), 8).ok()
                }
                Some(mode) => mode.as_u64().and_then(|mode| u32::try_from(mode).ok()),
                None => Some(0o644),
            };
            Some(Written {
                path: entry.get("path")?.as_str()?,
                content: entry.get("content").and_then(Value::as_str).unwrap_or(""),
                mode: mode?,
            })
        })
    }

    /// The user-data as it arrives in the guest. Multipass adds its own package, which changes the digest.
    fn as_received(&self) -> String {
        let own = "  - pollinate\n";
        let mut lines: Vec<&str> = self.text.split_inclusive('\n').collect();
        let Some(start) = lines.iter().position(|line| line.trim_end() == "packages:") else {
            let start = if self.text.is_empty() {
                "#cloud-config\n"
            } else {
                ""
            };
            return format!("{start}{}packages:\n{own}", self.text);
        };
        let listed = lines[start + 1..]
            .iter()
            .take_while(|line| line.trim_start().starts_with("- "))
            .count();
        lines.insert(start + 1 + listed, own);
        lines.concat()
    }
}

impl Guest {
    /// Does what cloud-init does before it runs commands: writes the files.
    pub(crate) fn write_user_data(&self, user_data: &UserData) -> io::Result<()> {
        fs::write(self.path(USER_DATA), user_data.as_received())?;
        for file in user_data.files() {
            let path = self.path(file.path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, file.content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
        }
        Ok(())
    }
}
