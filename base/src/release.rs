//! The names of a release's files and the comment of its signature. `polis update` of one version expects them of every later
//! version.

/// The list of checksums.
pub const SUMS: &str = "SHA256SUMS";
/// Its signature.
pub const SIGNATURE: &str = "SHA256SUMS.minisig";
/// Precedes the version in the trusted comment of a release's signature.
pub const COMMENT: &str = "Polis ";

/// The top directory of the CLI archive for `triple`, and the archive's name without its extension.
pub fn stem(label: &str, triple: &str) -> String {
    format!("polis-{label}-{triple}")
}

/// The name of the CLI archive for `triple`, in a format that its system can open.
pub fn archive_name(label: &str, triple: &str) -> String {
    let ending = if is_windows(triple) { "zip" } else { "tar.gz" };
    format!("{}.{ending}", stem(label, triple))
}

/// The name of the program for `triple`.
pub fn program_name(triple: &str) -> &'static str {
    if is_windows(triple) {
        "polis.exe"
    } else {
        "polis"
    }
}

fn is_windows(triple: &str) -> bool {
    triple.contains("-windows-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_gets_a_zip() {
        let name = archive_name("1.2.3", "x86_64-pc-windows-msvc");
        assert_eq!(name, "polis-1.2.3-x86_64-pc-windows-msvc.zip");
        assert_eq!(program_name("x86_64-pc-windows-msvc"), "polis.exe");
        let name = archive_name("1.2.3", "x86_64-unknown-linux-musl");
        assert_eq!(name, "polis-1.2.3-x86_64-unknown-linux-musl.tar.gz");
    }
}
