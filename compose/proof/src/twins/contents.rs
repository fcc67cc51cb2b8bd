//! The contents of each twin: the programs of its contract, their libraries, and the files that they read at run time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xtask_pins::contract::{Contract, PathKind, SEARCHED};

use super::base::Base;
use super::files::{base_name, entries, read};
use super::tree::Tree;
use super::{machine, modules};
use crate::Result;

/// The image that is a complete Debian minus some programs; the others are assembled file by file.
const WORKSPACE: &str = "workspace";

/// Stand-ins for programs that Debian lacks, which cargo builds next to the test; each with its directory for the case that the
/// contract gives only a name.
const STAND_INS: [(&str, &str); 5] = [
    ("coredns", "/usr/bin"),
    ("g3fcgen", "/usr/bin"),
    ("g3proxy", "/usr/bin"),
    ("polis-approve", "/usr/bin"),
    ("polis-mcp-agent", "/usr/local/bin"),
];

/// The libraries that the stand-ins are linked against.
const RUNTIME: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "/lib/x86_64-linux-gnu/libm.so.6",
];

/// The directory of Python's standard library.
const PYTHON: &str = "/usr/lib/python3.13";

/// Directories that belong to an image's user although the contract does not list them as writable.
const DIRECTORIES: [&str; 3] = ["/var/lib/g3proxy", "/var/log/clamav", "/var/log/g3proxy"];

/// The only signature of the twin's virus database: MD5 and size of the EICAR test file.
const EICAR: &str = "44d88612fea8a8f36de82e1278abb02f:68:Eicar-Test-Signature\n";

/// Programs that a twin has on its `PATH` although its contract does not name them, each with the reason.
pub fn companions(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        WORKSPACE => &[
            ("dbus-daemon", "systemctl uses it to talk to systemd"),
            ("journalctl", "systemd flushes its journal with it"),
            ("mount", "systemd starts it for each mount unit"),
            (
                "systemd-tmpfiles",
                "creates what services expect below /run",
            ),
            ("test", "update-ca-certificates runs it through find"),
            ("umount", "systemd starts it for each mount unit"),
        ],
        _ => &[],
    }
}

/// The entry point of an image whose contract does not specify one.
pub(crate) fn entrypoint(contract: &Contract) -> Vec<String> {
    let words: &[&str] = match contract.name() {
        "certgen" => &["/usr/bin/g3fcgen", "-c", "/etc/g3fcgen/g3fcgen.yaml"],
        "state" => &["/usr/local/bin/valkey-server"],
        _ => &[],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The stand-ins that an image needs.
pub(crate) struct StandIns(Vec<(&'static str, PathBuf, Vec<u8>)>);

impl StandIns {
    pub(crate) fn of(contract: &Contract) -> Result<Self> {
        let beside = std::env::current_exe().map_err(|error| error.to_string())?;
        // Tests are in `deps`, one directory below the programs.
        let dirs = beside.ancestors().skip(1).take(2);
        let needed = |name: &str| {
            contract
                .programs
                .iter()
                .any(|fact| base_name(&fact.value) == name)
        };
        let mut found = Vec::new();
        for (name, _) in STAND_INS.into_iter().filter(|(name, _)| needed(name)) {
            let path = dirs
                .clone()
                .map(|dir| dir.join(name))
                .find(|path| path.is_file());
            let path = path.ok_or_else(|| {
                format!(
                    "{name} is not next to {}: run `cargo build -p polis-stack-proof --bins`",
                    beside.display()
                )
            })?;
            let bytes = read(&path)?;
            found.push((name, path, bytes));
        }
        Ok(Self(found))
    }

    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|(_, _, bytes)| bytes.as_slice())
    }

    fn get(&self, name: &str) -> Option<&(&'static str, PathBuf, Vec<u8>)> {
        self.0.iter().find(|(found, _, _)| *found == name)
    }
}

/// The file system of the twin; compiles its modules below `work`.
pub(crate) fn tree(
    base: &Base,
    contract: &Contract,
    stand_ins: &StandIns,
    trusted: &[u8],
    work: &Path,
) -> Result<Tree> {
    let mut tree = Tree::skeleton();
    if contract.name() == WORKSPACE {
        machine::add(&mut tree, base)?;
    } else {
        accounts(&mut tree, contract);
    }
    let mut put = Vec::new();
    let mut linked = Vec::new();
    for program in wanted(contract) {
        put.push(program_into(
            &mut tree,
            base,
            stand_ins,
            contract,
            &program,
            &mut linked,
        )?);
    }
    modules::add(&mut tree, base, contract, work, &mut linked)?;
    data(&mut tree, base, contract, &mut linked)?;
    if contract.name() != WORKSPACE {
        linked.extend(base.libraries(&linked)?);
        linked.extend(RUNTIME.map(str::to_owned));
        for library in linked.iter().filter(|path| path.contains("/lib")) {
            tree.file(library, 0o755, &base.path(library));
        }
    }
    let authorities = "/etc/ssl/certs/ca-certificates.crt";
    // Gate gets the internet's authority only from the machine.
    if tree.has(authorities) && !matches!(contract.name(), WORKSPACE | "gate") {
        let mut bundle = read(&base.path(authorities))?;
        bundle.extend(trusted);
        tree.bytes(authorities, 0o644, 0, &bundle);
    }
    only(&mut tree, &put);
    promised(&tree, contract)?;
    Ok(tree)
}

/// The programs of the contract and their companions.
fn wanted(contract: &Contract) -> Vec<String> {
    let listed = contract.programs.iter().map(|fact| fact.value.clone());
    let companions = companions(contract.name()).iter();
    listed
        .chain(companions.map(|(name, _)| (*name).to_owned()))
        .collect()
}

/// Adds one program at the path in its contract, and returns the path. Adds the file to `linked`; the caller adds the libraries of
/// those.
fn program_into(
    tree: &mut Tree,
    base: &Base,
    stand_ins: &StandIns,
    contract: &Contract,
    program: &str,
    linked: &mut Vec<String>,
) -> Result<String> {
    let name = base_name(program);
    let absolute = program.starts_with('/').then(|| program.to_owned());
    if let Some((_, path, _)) = stand_ins.get(name) {
        let dir = STAND_INS.iter().find(|(found, _)| *found == name);
        let place =
            absolute.unwrap_or_else(|| format!("{}/{name}", dir.map_or("", |(_, dir)| dir)));
        tree.file(&place, 0o755, path);
        return Ok(place);
    }
    if let Some(script) = script(name) {
        let place = absolute.unwrap_or_else(|| format!("/usr/bin/{name}"));
        tree.bytes(&place, 0o755, 0, script.as_bytes());
        return Ok(place);
    }
    let searched: Vec<String> = SEARCHED.iter().map(|dir| format!("{dir}/{name}")).collect();
    let resolved = base.resolve(&searched)?;
    let mut both = searched.iter().zip(&resolved);
    let (found, file) = both.find(|(_, file)| !file.is_empty()).ok_or_else(|| {
        format!(
            "{}: neither Debian nor a stand-in provides `{program}`",
            contract.source.path
        )
    })?;
    let same_name = base_name(file) == name;
    let place = absolute.unwrap_or_else(|| if same_name { file } else { found }.clone());
    if is_searched(file) || contract.name() != WORKSPACE {
        tree.file(&place, 0o755, &base.path(file));
    }
    linked.push(file.clone());
    Ok(place)
}

/// Stand-in scripts for programs that Debian lacks, or provides only with hundreds of packages.
fn script(name: &str) -> Option<&'static str> {
    match name {
        "docker-entrypoint.sh" => Some(include_str!("../../stand-ins/docker-entrypoint.sh")),
        // Debian's npm needs four hundred packages.
        "npm" => Some("#!/bin/sh\necho 'stand-in: npm' >&2\n[ \"${1-}\" = --version ]\n"),
        _ => None,
    }
}

/// The files that the programs read at run time, and the other paths that the contract guarantees.
fn data(tree: &mut Tree, base: &Base, contract: &Contract, linked: &mut Vec<String>) -> Result<()> {
    let user = contract.user.as_ref().map_or(0, |fact| fact.value);
    let mut dirs: Vec<&str> = Vec::new();
    match contract.name() {
        "gate" => {
            dirs.extend(["/usr/lib/ssl", "/etc/ssl", "/usr/share/iproute2", PYTHON]);
            linked.extend(python_libraries(base)?);
            let script = "#!/bin/bash\necho 'stand-in: /init.sh of the image' >&2\nexit 1\n";
            tree.bytes("/init.sh", 0o755, 0, script.as_bytes());
        }
        "sentinel" => {
            tree.bytes("/entrypoint.sh", 0o755, 0, ENTRYPOINT.as_bytes());
            let magic = "/etc/c-icap/c-icap.magic";
            tree.file(magic, 0o644, &base.path(magic));
        }
        "scanner" => {
            dirs.push("/etc/ssl");
            tree.bytes("/var/lib/clamav/twin.hdb", 0o644, user, EICAR.as_bytes());
        }
        _ => {}
    }
    let keep = |path: &str| !path.contains("__pycache__") && !path.contains("/private");
    for dir in dirs {
        let from = base.path(dir);
        if from.is_dir() {
            tree.copy(&from, dir, &keep)?;
        }
    }
    let paths = contract.paths.iter().map(|fact| &fact.value);
    for path in paths {
        let is_directory =
            path.kind == PathKind::Writable || DIRECTORIES.contains(&path.path.as_str());
        // Keep paths that were added above, or that every file system has.
        if is_directory && !tree.has(&path.path) {
            tree.directory(&path.path, 0o755, user);
        }
    }
    if contract.name() == "scanner" {
        // Created as the parent of the database.
        tree.directory("/var/lib/clamav", 0o755, user);
    }
    Ok(())
}

/// The libraries of Python's extension modules.
fn python_libraries(base: &Base) -> Result<Vec<String>> {
    let dir = format!("{PYTHON}/lib-dynload");
    let entries = entries(&base.path(&dir))?;
    let names = entries.iter().filter_map(|path| path.file_name());
    let extensions: Vec<String> = names
        .map(|name| format!("{dir}/{}", name.display()))
        .collect();
    base.libraries(&extensions)
}

/// Stand-in for the entry point of the published sentinel image.
const ENTRYPOINT: &str = "\
#!/bin/bash
echo 'stand-in: entrypoint.sh' >&2
mkdir -p /var/log/c-icap /var/run/c-icap
rm -f /var/run/c-icap/c-icap.pid /var/run/c-icap/c-icap.ctl
exec /usr/bin/c-icap -N -D -f /etc/c-icap/c-icap.conf
";

/// Root and the accounts that the contract names.
fn accounts(tree: &mut Tree, contract: &Contract) {
    let (mut passwd, mut group) = (String::new(), String::new());
    let named = contract
        .users
        .iter()
        .map(|fact| (fact.value.name.as_str(), fact.value.uid));
    let all: BTreeSet<(u32, &str)> = named
        .map(|(name, uid)| (uid, name))
        .chain([(0, "root")])
        .collect();
    for (uid, name) in all {
        let home = if uid == 0 { "/root" } else { "/nonexistent" };
        passwd += &format!("{name}:x:{uid}:{uid}::{home}:/usr/sbin/nologin\n");
        group += &format!("{name}:x:{uid}:\n");
    }
    tree.bytes("/etc/passwd", 0o644, 0, passwd.as_bytes());
    tree.bytes("/etc/group", 0o644, 0, group.as_bytes());
    tree.bytes(
        "/etc/nsswitch.conf",
        0o644,
        0,
        b"passwd: files\ngroup: files\nhosts: files dns\n",
    );
}

/// Removes every program from the `PATH` except `put`.
fn only(tree: &mut Tree, put: &[String]) {
    let kept: BTreeSet<String> = put.iter().map(|path| merged(path)).collect();
    let dirs = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
    let others = dirs.iter().flat_map(|dir| tree.programs_in(dir));
    let others: BTreeSet<String> = others.filter(|path| !kept.contains(path)).collect();
    tree.remove(|path| others.contains(&format!("/{path}")) && !path.ends_with("/polis-init.sh"));
}

/// Checks that the twin has every path that its contract lists as shipped.
fn promised(tree: &Tree, contract: &Contract) -> Result<()> {
    let shipped = contract
        .paths
        .iter()
        .map(|fact| &fact.value)
        .filter(|path| path.kind.is_shipped());
    let missing: Vec<&str> = shipped
        .filter(|path| !tree.has(&path.path))
        .map(|path| path.path.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}: the twin lacks {}",
        contract.source.path,
        missing.join(", ")
    ))
}

/// `/sbin/x` as `/usr/sbin/x`.
fn merged(path: &str) -> String {
    let is_merged = path.starts_with("/bin/") || path.starts_with("/sbin/");
    if is_merged {
        format!("/usr{path}")
    } else {
        path.to_owned()
    }
}

fn is_searched(path: &str) -> bool {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    SEARCHED.contains(&dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unlisted_program_is_removed_from_the_path() {
        let mut tree = Tree::skeleton();
        for path in [
            "/bin/sh",
            "/usr/sbin/nft",
            "/usr/lib/x/helper",
            "/usr/local/bin/own",
        ] {
            tree.bytes(path, 0o755, 0, b"");
        }
        tree.bytes("/usr/bin/notes.txt", 0o644, 0, b"");
        tree.link("/usr/bin/dash", "sh");
        only(&mut tree, &["/bin/sh".to_owned()]);
        let left = ["/usr/bin/sh", "/usr/lib/x/helper", "/usr/bin/notes.txt"];
        assert!(left.iter().all(|path| tree.has(path)));
        let gone = ["/usr/sbin/nft", "/usr/local/bin/own", "/usr/bin/dash"];
        assert!(gone.iter().all(|path| !tree.has(path)));
    }
}
