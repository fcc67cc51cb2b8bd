//! The users that run an image, and what the permissions of its files let them do.

use super::files::{Files, Found, Node, NodeKind};

/// A user that runs a program of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageUser {
    pub(super) uid: u64,
    pub(super) groups: Vec<u64>,
    pub(super) overrides: bool,
    /// `uid 65532 (service gate)`.
    pub(super) name: String,
}

/// A kind of access; the value is its permission bit for others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Permission {
    Execute = 0o1,
    Write = 0o2,
    Read = 0o4,
}

impl ImageUser {
    /// Whether the permissions of `found`, and of the directories on the way to it, allow this user `access`.
    pub(super) fn may(&self, found: &Found<'_>, access: Permission) -> bool {
        let through = found.through.iter();
        let mut through = through.map(|dir| (*dir, Permission::Execute));
        through.all(|(dir, access)| self.has(dir, access)) && self.has(found.node, access)
    }

    fn has(&self, node: &Node, access: Permission) -> bool {
        let bit = access as u32;
        if self.overrides {
            // Even root may only run a file that has an execute bit.
            let runs = node.is == NodeKind::Directory || node.mode & 0o111 != 0;
            return !matches!(access, Permission::Execute) || runs;
        }
        let shift = match node {
            node if node.uid == self.uid => 6,
            node if self.groups.contains(&node.gid) => 3,
            _ => 0,
        };
        node.mode >> shift & bit != 0
    }
}

/// The uid and the gid that `spec` (`0:0`, `clamav` or empty) means in an image.
pub(super) fn account(files: &Files, spec: &str) -> Option<(u64, u64)> {
    let (user, group) = spec.split_once(':').unwrap_or((spec, ""));
    let passwd = files.text("/etc/passwd").unwrap_or_default();
    let uid = match user {
        "" => 0,
        user => user.parse().ok().or_else(|| uid_of(&passwd, user))?,
    };
    let gid = match group {
        "" => lines(&passwd)
            .find(|line| number(line, 2) == Some(uid))
            .and_then(|line| number(&line, 3))
            .unwrap_or(0),
        group => {
            let known = files.text("/etc/group").unwrap_or_default();
            let named = || {
                lines(&known)
                    .find(|line| line[0] == group)
                    .and_then(|line| number(&line, 2))
            };
            group.parse().ok().or_else(named)?
        }
    };
    Some((uid, gid))
}

/// All groups of the account `uid`, whose primary group is `gid`.
pub(super) fn groups(files: &Files, uid: u64, gid: u64) -> Vec<u64> {
    let passwd = files.text("/etc/passwd").unwrap_or_default();
    let known = files.text("/etc/group").unwrap_or_default();
    let name = lines(&passwd).find(|line| number(line, 2) == Some(uid));
    let name = name.map_or("", |line| line[0]);
    let members = |line: &Vec<&str>| {
        let members = line.get(3).copied().unwrap_or_default();
        !name.is_empty() && members.split(',').any(|member| member == name)
    };
    let more = lines(&known)
        .filter(members)
        .filter_map(|line| number(&line, 2));
    [gid].into_iter().chain(more).collect()
}

pub(super) fn uid_of(passwd: &str, name: &str) -> Option<u64> {
    let line = lines(passwd).find(|line| line[0] == name)?;
    number(&line, 2)
}

/// The fields of each line of a passwd or group file.
fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn number(line: &[&str], at: usize) -> Option<u64> {
    line.get(at)?.parse().ok()
}
