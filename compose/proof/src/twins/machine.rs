//! The workspace: a complete Debian with systemd, minus some programs.

use super::base::Base;
use super::files::read;
use super::tree::Tree;
use crate::Result;

/// Adds everything of the base that belongs to a machine, the account of its user, and the enabled unit.
pub(crate) fn add(tree: &mut Tree, base: &Base) -> Result<()> {
    tree.copy(&base.root, "", &in_machine)?;
    let passwd = "root:x:0:0:root:/root:/usr/sbin/nologin\n";
    let account = |file: &str, root: Option<&str>, more: &str| -> Result<Vec<u8>> {
        let text = String::from_utf8_lossy(&read(&base.path(file))?).into_owned();
        let mut lines = root.unwrap_or_default().to_owned();
        let others = text
            .lines()
            .filter(|line| root.is_none() || !line.starts_with("root:"));
        others.for_each(|line| lines += &format!("{line}\n"));
        Ok((lines + more).into_bytes())
    };
    let user = "polis:x:1000:1000::/home/polis:/bin/bash\n";
    tree.bytes(
        "/etc/passwd",
        0o644,
        0,
        &account("/etc/passwd", Some(passwd), user)?,
    );
    tree.bytes(
        "/etc/group",
        0o644,
        0,
        &account("/etc/group", None, "polis:x:1000:\n")?,
    );
    // Locked, like the image's account.
    let shadow = account("/etc/shadow", None, "polis:!:20000:0:99999:7:::\n")?;
    tree.bytes("/etc/shadow", 0o640, 0, &shadow);
    tree.directory("/home/polis", 0o755, 1000);
    tree.directory("/usr/local/bin", 0o755, 0);
    tree.directory("/usr/local/share/ca-certificates", 0o755, 0);
    tree.bytes("/etc/machine-id", 0o444, 0, b"");
    // Debian's packages are already configured: the first boot has nothing to update.
    tree.bytes("/etc/.updated", 0o644, 0, b"");
    tree.bytes("/var/.updated", 0o644, 0, b"");
    let unit = "/etc/systemd/system/polis-init.service";
    let text = "# stand-in for the unit of the image\n[Service]\nType=oneshot\nExecStart=/usr/local/bin/polis-init.sh\n";
    tree.bytes(unit, 0o644, 0, text.as_bytes());
    tree.link(
        "/etc/systemd/system/multi-user.target.wants/polis-init.service",
        unit,
    );
    let script = "#!/bin/bash\necho 'stand-in: polis-init.sh of the image' >&2\nexit 1\n";
    tree.bytes("/usr/local/bin/polis-init.sh", 0o755, 0, script.as_bytes());
    tree.link("/etc/systemd/system/console-getty.service", "/dev/null");
    tree.link("/etc/systemd/system/getty@.service", "/dev/null");
    Ok(())
}

/// Whether `path` of the base belongs in the machine. Excludes files for the other images, and the links of units that Debian
/// enables but the image does not.
fn in_machine(path: &str) -> bool {
    const WITHOUT: [&str; 20] = [
        "dev",
        "proc",
        "sys",
        "tmp",
        "run",
        "boot",
        "media",
        "mnt",
        "etc/systemd/system",
        "etc/ca-certificates/update.d",
        "etc/clamav",
        "etc/c-icap",
        "etc/valkey",
        "usr/include",
        "usr/share/perl",
        "usr/lib/apt",
        "var/cache",
        "var/lib",
        "var/log",
        "usr/lib/python3/dist-packages",
    ];
    const PREFIXES: [&str; 11] = [
        "etc/ssh/ssh_host_",
        "usr/lib/systemd/system/clamav-",
        "usr/lib/systemd/system/valkey-",
        "usr/lib/systemd/system/apt-",
        "usr/lib/systemd/system/c-icap",
        "usr/lib/x86_64-linux-gnu/perl",
        "usr/lib/x86_64-linux-gnu/libperl",
        "usr/lib/x86_64-linux-gnu/libclam",
        "usr/lib/x86_64-linux-gnu/libfreshclam",
        "usr/lib/x86_64-linux-gnu/libicapapi",
        "usr/lib/x86_64-linux-gnu/c_icap",
    ];
    !WITHOUT.contains(&path)
        && !PREFIXES.iter().any(|prefix| path.starts_with(prefix))
        && !path.ends_with("__pycache__")
}
