//! A full virtual machine, for what a container cannot show: the guest's own kernel, which applies the sysctls, loads the audit
//! rules, enforces AppArmor, and boots again.
//!
//! QEMU emulates it in software, which works everywhere but takes minutes: only one proof uses it, and the others use containers. The
//! emulator comes from the guest's own release and runs in a container, so it needs nothing on the machine, and uses neither its
//! ports nor a network.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::files::{copy, debs, digest, remove_others};
use crate::image::{Image, build, imported};
use crate::run::Run;

/// Builds the guest from the common part of all guests, and the emulator from the plain base.
const GUEST: &str =
    "COPY kernel/ /srv/kernel/\nCOPY vm.sh /srv/stand-in/\nRUN sh /srv/stand-in/vm.sh\n";
const EMULATOR: &str =
    "COPY emulator/ /emulator/\nRUN dpkg --install /emulator/*.deb && rm -r /emulator\n";

/// Creates the disk from the guest's files; the kernel, its initial file system and the key are kept beside it.
const DISK: &str = "set -eu; cd /work; mkdir /root.new; tar --extract --directory=/root.new --file=root.tar
    rm -f root.tar /root.new/.dockerenv; cp /root.new/boot/vmlinuz-* vmlinuz; cp /root.new/boot/initrd.img-* initrd.img
    cp /root.new/srv/stand-in/key key; mkfs.ext4 -q -d /root.new disk.raw 4G";

/// Boots the kernel with values other than ours, so that none is right by accident.
const KERNEL: &str = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet mitigations=off \
    sysctl.kernel.randomize_va_space=1 sysctl.kernel.dmesg_restrict=0 sysctl.kernel.kptr_restrict=1 \
    sysctl.fs.suid_dumpable=2 sysctl.kernel.yama.ptrace_scope=1 sysctl.kernel.io_uring_disabled=0 \
    sysctl.kernel.unprivileged_bpf_disabled=2 sysctl.net.core.bpf_jit_harden=0 sysctl.fs.protected_fifos=1 \
    sysctl.net.ipv4.conf.all.send_redirects=1 sysctl.net.ipv4.conf.default.accept_redirects=1";

/// The options of the emulator; the instructions named save the most time in checksums and TLS.
const MACHINE: [&str; 26] = [
    "-accel",
    "tcg,thread=multi,tb-size=512",
    "-cpu",
    "qemu64,+ssse3,+sse4.1,+sse4.2,+x2apic,+aes,+pclmulqdq,+sha-ni",
    "-smp",
    "2",
    "-m",
    "1536",
    "-display",
    "none",
    "-serial",
    "stdio",
    "-kernel",
    "/vm/vmlinuz",
    "-initrd",
    "/vm/initrd.img",
    "-append",
    KERNEL,
    "-drive",
    "if=virtio,file=/vm/disk.raw,format=raw,snapshot=on,cache=unsafe",
    "-drive",
    "if=virtio,driver=vvfat,dir=/seed,label=cidata,read-only=on",
    "-nic",
    "user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:2222-:22",
    "-device",
    "virtio-rng-pci",
];

/// The source of virtual machines.
#[derive(Debug)]
pub struct Vm {
    /// The disk, the kernel, its initial file system, and the key for logging in.
    dir: PathBuf,
    /// The image with the emulator.
    emulator: String,
}

impl Vm {
    /// The arguments of `docker create` for a machine with the user-data in `seed`.
    pub(crate) fn create(&self, seed: &Path) -> Vec<String> {
        let volume = |dir: &Path, to: &str| format!("--volume={}:{to}:ro", dir.display());
        let mut words = vec![volume(&self.dir, "/vm"), volume(seed, "/seed")];
        // It has priority over the containers that run concurrently: its deadlines are meant for a real processor.
        words.push("--cpu-shares=8192".to_owned());
        words.extend([self.emulator.clone(), "qemu-system-x86_64".to_owned()]);
        words.extend(MACHINE.map(str::to_owned));
        words
    }
}

/// Creates the disk and the emulator, unless `dir` and the Docker engine already have them.
///
/// # Errors
/// When a tool fails; the message quotes it.
pub fn prepare(dir: &Path, image: &Image) -> Result<Vm> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-ins/vm.sh");
    let text = fs::read_to_string(&script).map_err(|error| error.to_string())?;
    let pins: Vec<&str> = image.pins.iter().map(|(_, value)| value.as_str()).collect();
    let key = digest(&[&image.common, &pins.concat(), &text, include_str!("vm.rs")]);
    let made = dir.join(format!("vm-{key}"));
    let work = dir.join("vm.new");
    let _ = fs::remove_dir_all(&work);
    let emulator = emulator(&work, image)?;
    if !made.join("disk.raw").is_file() {
        let context = work.join("context");
        copy(&script, &context.join("vm.sh"))?;
        debs(&image.base.kernel, &context.join("kernel"))?;
        let guest = build(&context, &image.common, GUEST, "polis-proof-vm", &key)?;
        disk(&work, &guest, &emulator)?;
        fs::remove_dir_all(&context).map_err(|error| format!("{}: {error}", context.display()))?;
        fs::rename(&work, &made).map_err(|error| format!("{}: {error}", made.display()))?;
        remove_others(dir, "vm-", &made)?;
    }
    Ok(Vm {
        dir: made,
        emulator,
    })
}

fn emulator(work: &Path, image: &Image) -> Result<String> {
    let (repository, key) = ("polis-proof-emulator", &image.base.key);
    let name = format!("{repository}:{key}");
    if crate::image::is_there(&name)? {
        return Ok(name);
    }
    let context = work.join("context");
    debs(&image.base.emulator, &context.join("emulator"))?;
    let name = build(&context, &imported(&image.base)?, EMULATOR, repository, key)?;
    fs::remove_dir_all(&context).map_err(|error| format!("{}: {error}", context.display()))?;
    Ok(name)
}

/// Creates the disk in `work` from the files of the image `guest`, with the emulator's tools.
fn disk(work: &Path, guest: &str, emulator: &str) -> Result<()> {
    fs::create_dir_all(work).map_err(|error| format!("{}: {error}", work.display()))?;
    let container = Run::new(&["docker", "create", guest, "true"]).output()?;
    let root = work.join("root.tar").display().to_string();
    let exported = Run::new(&["docker", "export", "--output", &root, &container]).output();
    Run::new(&["docker", "rm", &container]).output()?;
    exported?;
    let volume = format!("--volume={}:/work", work.display());
    let run = ["docker", "run", "--rm", "--network=none", &volume, emulator];
    Run::new(&[&run[..], &["bash", "-c", DISK]].concat())
        .output()
        .map(drop)
}
