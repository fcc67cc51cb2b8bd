//! Identifies the platform of a program by its first bytes, so that no archive contains another target's program.

/// Checks that `program` is for `triple`.
pub(crate) fn check(program: &[u8], triple: &str) -> Result<(), String> {
    let found = of(program);
    let expected = expected(triple);
    match found {
        Some(found) if expected == Some(found) => Ok(()),
        Some((format, architecture)) => Err(format!(
            "the program is {format} for {architecture}, expected one for {triple}"
        )),
        None => Err("the program is neither ELF nor Mach-O nor PE, for x86_64 or aarch64".into()),
    }
}

fn expected(triple: &str) -> Option<(&'static str, &'static str)> {
    let format = match triple {
        _ if triple.contains("-windows-") => "PE",
        _ if triple.contains("-apple-") => "Mach-O",
        _ if triple.contains("-linux-") => "ELF",
        _ => return None,
    };
    let architecture = match triple.split('-').next() {
        Some("x86_64") => "x86_64",
        Some("aarch64") => "aarch64",
        _ => return None,
    };
    Some((format, architecture))
}

fn of(program: &[u8]) -> Option<(&'static str, &'static str)> {
    let half = |at: usize| {
        Some(u16::from_le_bytes(
            program.get(at..at + 2)?.try_into().ok()?,
        ))
    };
    let word = |at: usize| {
        Some(u32::from_le_bytes(
            program.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    // ELF: 64 bits, little-endian; `e_machine` of the generic ABI.
    if program.starts_with(b"\x7fELF\x02\x01") {
        let architecture = match half(18)? {
            62 => "x86_64",
            183 => "aarch64",
            _ => return None,
        };
        return Some(("ELF", architecture));
    }
    // Mach-O: MH_MAGIC_64, then the CPU type of `mach/machine.h`.
    if word(0)? == 0xfeed_facf {
        let architecture = match word(4)? {
            0x0100_0007 => "x86_64",
            0x0100_000c => "aarch64",
            _ => return None,
        };
        return Some(("Mach-O", architecture));
    }
    // PE: 0x3c holds the offset of the header; the machine follows its signature.
    if program.starts_with(b"MZ") {
        let header = usize::try_from(word(0x3c)?).ok()?;
        if program.get(header..header.checked_add(4)?)? != b"PE\0\0" {
            return None;
        }
        let architecture = match half(header + 4)? {
            0x8664 => "x86_64",
            0xaa64 => "aarch64",
            _ => return None,
        };
        return Some(("PE", architecture));
    }
    None
}
