//! Which of our environment variables a child inherits: those that let it find its files, tools and the network, and
//! that choose how it prints. Pure.
//!
//! This is an allow list, so an unforeseen secret never leaks. Callers name additional variables with `Run::passing`.

/// Every child inherits these. A name that ends with `*` is a prefix.
const PASSED: [&[&str]; 8] = [
    // User, host, locale and terminal.
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
    // The network. A proxy URL may contain a login, but without it nothing can be downloaded.
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
    // Rust, and the C compiler and linker that some crates need.
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
    // Docker, and the package managers that install test tools.
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
    // Git's configuration, but not GIT_DIR and the like: git must use the directory it runs in, even when a hook of
    // another repository started us.
    &[
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_EXEC_PATH",
    ],
    // Variables of our own tools and tests, and those that indicate CI. GITHUB_ENV and the like are excluded, because
    // writing to their files affects later steps of the job.
    &[
        "POLIS_*",
        "UPDATE_EXPECT",
        "CI",
        "GITHUB_ACTIONS",
        "RUNNER_OS",
        "RUNNER_TEMP",
    ],
    // Windows: most programs do not start without these.
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
    // Windows: the Visual Studio command prompt sets these to locate its linker and libraries.
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

/// A variable whose name contains one of these is never inherited, even if the list above matches.
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

pub(crate) fn passes(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let never = NEVER.iter().any(|word| upper.contains(word));
    let listed = PASSED.iter().copied().flatten();
    !never && listed.into_iter().any(|pattern| matches(pattern, name))
}

/// Whether `name` equals `pattern`, or starts with it if the pattern ends with `*`. Ignores case on Windows, as Windows
/// does.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
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
    fn no_secret_is_inherited() {
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
    fn variables_that_locate_tools_are_inherited() {
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
