//! Which variables of our environment a child gets: those that it needs to find its files, its
//! tools and the network, and to print as the user wants. Pure.
//!
//! A list of what passes, not of what is held back: an unforeseen secret is never passed on. What a program
//! needs beyond the list is named where it is started (`Run::passing`).

/// What every child gets. A name that ends with `*` is a prefix.
const PASSED: [&[&str]; 8] = [
    // Who and where we are, and how to print.
    &[
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TMPDIR",
        "TEMP",
        "TMP",
        "XDG_*",
        "LANG",
        "LANGUAGE",
        "LC_*",
        "TZ",
        "TERM",
        "COLORTERM",
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "FORCE_COLOR",
        "CLICOLOR*",
    ],
    // The network. A proxy's address may hold a login, without which nothing could be fetched.
    &[
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "all_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NIX_SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "GIT_SSL_CAINFO",
    ],
    // Rust, and what finds the C compiler and linker that some crates need.
    &[
        "CARGO",
        "CARGO_*",
        "RUST*",
        "SOURCE_DATE_EPOCH",
        "CC",
        "CC_*",
        "CXX",
        "CXX_*",
        "AR",
        "AR_*",
        "CFLAGS*",
        "CXXFLAGS*",
        "LDFLAGS",
        "PKG_CONFIG*",
        "LIBRARY_PATH",
        "CPATH",
        "C_INCLUDE_PATH",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "DYLD_*",
        "SDKROOT",
        "DEVELOPER_DIR",
        "MACOSX_DEPLOYMENT_TARGET",
    ],
    // Docker's engine, and the package managers that bring the real parts of tests.
    &[
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
        "DOCKER_CONFIG",
        "DOCKER_TLS*",
        "DOCKER_CERT_PATH",
        "DOCKER_API_VERSION",
        "DOCKER_BUILDKIT",
        "BUILDX_*",
        "BUILDKIT_*",
        "APT_CONFIG",
        "DEBIAN_FRONTEND",
        "PIP_*",
        "PYTHON*",
        "PYENV_*",
        "VIRTUAL_ENV",
        "NODE_*",
        "NPM_CONFIG_*",
        "npm_config_*",
    ],
    // Which configuration git reads. Not GIT_DIR and its like: git answers for the directory in
    // which it is run, also when a hook of another repository has started us.
    &[
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_EXEC_PATH",
    ],
    // What our own tools and tests read, and what tells a program that it runs in CI. Not
    // GITHUB_ENV and its like: what is written to their files reaches the later steps of a job.
    &[
        "POLIS_*",
        "UPDATE_EXPECT",
        "CI",
        "GITHUB_ACTIONS",
        "RUNNER_OS",
        "RUNNER_TEMP",
    ],
    // Windows: without these hardly a program starts.
    &[
        "SYSTEMROOT",
        "WINDIR",
        "SYSTEMDRIVE",
        "COMSPEC",
        "PATHEXT",
        "OS",
        "USERNAME",
        "USERPROFILE",
        "HOMEDRIVE",
        "HOMEPATH",
        "APPDATA",
        "LOCALAPPDATA",
        "ALLUSERSPROFILE",
        "PUBLIC",
        "PROGRAM*",
        "COMMONPROGRAM*",
        "NUMBER_OF_PROCESSORS",
        "PROCESSOR_*",
        "MSYSTEM",
    ],
    // Windows: where Visual Studio's command prompt says that its linker and libraries are.
    &[
        "INCLUDE",
        "LIB",
        "LIBPATH",
        "VCINSTALLDIR",
        "VCTOOLS*",
        "VSINSTALLDIR",
        "VSCMD_*",
        "WINDOWSSDK*",
        "UCRT*",
    ],
];

/// Words in the names of variables that do not pass, whatever the list says.
const NEVER: [&str; 8] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "CREDENTIAL",
    "AUTH",
    "PRIVATE_KEY",
    "API_KEY",
];

/// Whether every child gets the variable `name`.
pub(crate) fn passes(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let never = NEVER.iter().any(|word| upper.contains(word));
    let listed = PASSED.iter().copied().flatten();
    !never && listed.into_iter().any(|pattern| fits(pattern, name))
}

/// Whether `name` is `pattern`, or starts as one that ends with `*` does. Windows does not tell
/// upper from lower case in names.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let same = |one: &str, other: &str| match cfg!(windows) {
        true => one.eq_ignore_ascii_case(other),
        false => one == other,
    };
    match pattern.strip_suffix('*') {
        None => same(pattern, name),
        Some(prefix) => name
            .get(..prefix.len())
            .is_some_and(|start| same(prefix, start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets;

    #[test]
    fn no_secret_passes() {
        let others = [
            "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_OURS_TOKEN",
            "NODE_AUTH_TOKEN",
            "npm_config__authToken",
            "PIP_INDEX_PASSWORD",
            "DOCKER_AUTH_CONFIG",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "GIT_CONFIG_VALUE_0",
            "SSH_AUTH_SOCK",
            "A_SECRET_OF_TOMORROW",
            "POLIS_API_KEY",
        ];
        let ours = secrets::READ.into_iter().chain(secrets::UNUSED);
        for name in ours.chain(others) {
            assert!(!passes(name), "{name}");
        }
    }

    #[test]
    fn what_finds_tools_passes() {
        for name in [
            "PATH",
            "HOME",
            "LC_ALL",
            "CARGO_HOME",
            "RUSTUP_TOOLCHAIN",
            "RUSTFLAGS",
            "POLIS_REQUIRE_REAL_PARTS",
        ] {
            assert!(passes(name), "{name}");
        }
        for name in ["PATHS", "GITHUB_ENV", "GITHUB_PATH", "GIT_DIR", "BASH_ENV"] {
            assert!(!passes(name), "{name}");
        }
    }
}
