//! The systemd unit that runs an agent in the workspace. Every value is quoted, or is of a type that needs no quotes.

use super::manifest::Manifest;

/// The text of the unit.
pub(crate) fn unit(manifest: &Manifest) -> String {
    let spec = &manifest.spec;
    let name = &manifest.metadata.name.0;
    let mut unit = Unit::default();
    unit.section("Unit");
    unit.line(
        "Description",
        &specifiers(&manifest.metadata.display_name.0),
    );
    unit.line("Requires", "polis-init.service");
    unit.line("After", "polis-init.service network-online.target");
    unit.line("StartLimitIntervalSec", "300");
    unit.line("StartLimitBurst", "5");
    unit.section("Service");
    unit.line("User", &spec.runtime.user.0);
    if let Some(place) = &spec.runtime.workdir {
        unit.line("WorkingDirectory", &place.0);
    }
    // The CAs for programs that have their own list; systemd does not pass on the container's environment.
    unit.line(
        "PassEnvironment",
        "NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE SSL_CERT_FILE",
    );
    for (key, value) in &spec.runtime.env {
        unit.line("Environment", &quoted(&format!("{}={}", key.0, value.0)));
    }
    if let Some(file) = &spec.runtime.env_file {
        unit.line("EnvironmentFile", &format!("-{}", file.0));
    }
    unit.line("EnvironmentFile", &format!("-/run/{name}-env"));
    if let Some(script) = &spec.init {
        let script = quoted(&format!("/opt/agents/{name}/{}", script.0));
        unit.line("ExecStartPre", &format!("+/bin/bash {script}"));
    }
    let words: Vec<String> = spec
        .runtime
        .command
        .0
        .iter()
        .map(|word| exec_word(word))
        .collect();
    unit.line("ExecStart", &words.join(" "));
    unit.line("Restart", "on-failure");
    unit.line("RestartSec", "10");
    unit.security(manifest);
    unit.0
}

#[derive(Default)]
struct Unit(String);

impl Unit {
    fn section(&mut self, name: &str) {
        let blank = if self.0.is_empty() { "" } else { "\n" };
        self.0.push_str(&format!("{blank}[{name}]\n"));
    }

    fn line(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("{key}={value}\n"));
    }

    fn security(&mut self, manifest: &Manifest) {
        let security = &manifest.spec.security;
        let yes = |value: bool| if value { "yes" } else { "no" };
        let lines = [
            (
                "ProtectSystem",
                security.protect_system.map(|it| it.word().to_owned()),
            ),
            (
                "ProtectHome",
                security.protect_home.map(|it| it.word().to_owned()),
            ),
            (
                "NoNewPrivileges",
                security.no_new_privileges.map(|it| yes(it).to_owned()),
            ),
            (
                "PrivateTmp",
                security.private_tmp.map(|it| yes(it).to_owned()),
            ),
            (
                "MemoryMax",
                security.memory_max.as_ref().map(|it| format!("{}M", it.0)),
            ),
            (
                "CPUQuota",
                security.cpu_quota.as_ref().map(|it| format!("{}%", it.0)),
            ),
        ];
        for (key, value) in lines {
            if let Some(value) = value {
                self.line(key, &value);
            }
        }
        for place in &security.read_write_paths {
            self.line("ReadWritePaths", &place.0);
        }
    }
}

/// `text` with `%` escaped, which systemd would expand.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// `text` as one quoted word, with the escapes that systemd reads.
fn quoted(text: &str) -> String {
    let text = specifiers(text).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

/// `text` as one quoted word of a command line, where systemd also expands variables.
pub(super) fn exec_word(text: &str) -> String {
    quoted(text).replace('$', "$$")
}
