//! The provisioning in a company's network: the only way out is a real squid with a password, which intercepts TLS with a certificate
//! authority that no system trusts. The user-data is what the real `polis` gives to Multipass.

use std::fs;
use std::path::{Path, PathBuf};

use cloud_init_proof::guest::Guest;
use cloud_init_proof::proxy::{ADDRESS, Proxy};
use cloud_init_proof::run::Run;
use cloud_init_proof::{Result, document};

use crate::state::{STEPS, is_provisioned, steps};
use crate::whole::{LIMIT, SCRIPT};
use crate::{Bench, Case, ensure};

/// Stores the user-data of a launch, and launches nothing.
const MULTIPASS: &str = r#"#!/bin/sh
case $1 in
version) echo '{"multipass": "1.16.3", "multipassd": "1.16.3"}' ;;
list) echo '{"list": []}' ;;
launch) cat >"${0%/*}/user-data" && exit 2 ;;
*) exit 2 ;;
esac
"#;
/// The input of the script with which `polis` changes an existing VM: an archive of the files, or nothing.
const SET: &str = include_str!("../../../../cli/src/guest/proxies.sh");
const KEEP: &str = "mkdir -p /srv/kept && cd /srv/kept && cp /etc/polis/proxy.env /etc/polis/proxy.revision . && \
    cp /etc/apt/apt.conf.d/90polis-proxy apt.conf && cp /usr/local/share/ca-certificates/cloud-init-ca-cert-1.crt polis-0.crt && \
    cp /etc/systemd/system/docker.service.d/polis-proxy.conf docker.conf";
/// Prints Docker's proxy, and whether a download with the system's certificates succeeds; `-` if not.
const STATE: &str = "docker info --format 'proxy {{.HTTPSProxy}}'; \
    curl -sS --fail --location --output /dev/null --write-out '%{http_code}\\n' --proxy http://me:p%40ss@10.99.7.2:3128 \
      https://download.docker.com/linux/ubuntu/gpg || echo -; \
    ls /etc/polis /etc/apt/apt.conf.d /etc/systemd/system/docker.service.d | grep -c proxy || true";

pub(crate) fn cases() -> Vec<Case> {
    vec![Case {
        name: "proxy".to_owned(),
        prove: Box::new(behind),
    }]
}

fn behind(bench: &Bench) -> Result<()> {
    let proxy = Proxy::start(&bench.dir, &bench.image)?;
    let authority = proxy.output("cat /srv/company.crt")?;
    let user_data = user_data(&bench.dir, &authority)?;
    let document = document::with_pins(&user_data, &bench.image.pins)?;
    let guest = Guest::new(&proxy.guest, &document, &[&Proxy::network()], &bench.dir)?;
    guest.start()?;
    let ran = guest.cloud_init(LIMIT)?;
    let log = || proxy.output("tail -n 40 /var/log/squid/access.log");
    ensure(ran.code == 0 && ran.stdout.contains("status: done"), || {
        format!("{ran:?}\n{}\n{:?}", guest.story(), log())
    })?;
    is_provisioned(&guest).map_err(|error| format!("{error}\n{}", guest.story()))?;
    ensure(steps(&guest)? == vec!["done"; STEPS.len()], || {
        guest.story()
    })?;
    let direct = guest.ran("curl --noproxy '*' --max-time 10 https://github.com")?;
    ensure(direct.code != 0, || format!("another way out: {direct:?}"))?;
    let modes = guest
        .output("stat --format=%U:%a /etc/polis/proxy.env /etc/apt/apt.conf.d/90polis-proxy")?;
    ensure(modes == "root:600\nroot:600", || modes.clone())?;
    // No image is served, but the request shows that Docker uses the proxy and trusts its certificate.
    guest.ran("docker pull download.docker.com/proof:1")?;
    went_through(&proxy)?;
    other_settings(&guest)
}

/// The user-data that `polis` gives to Multipass with the proxy and `authority` in its settings.
fn user_data(dir: &Path, authority: &str) -> Result<String> {
    let work = dir.join("proxy.polis");
    let _ = fs::remove_dir_all(&work);
    let write = |name: &str, text: &str| {
        let path = work.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&work))
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    let url = format!("http://me:p%40ss@{ADDRESS}:3128");
    write(
        "home/.config/polis/config.toml",
        &format!("http-proxy = '{url}'\nhttps-proxy = '{url}'\nca-file = 'company.pem'\n"),
    )?;
    write("home/.config/polis/company.pem", authority)?;
    write("bin/multipass", MULTIPASS)?;
    let bin = work.join("bin").display().to_string();
    Run::new(&["chmod", "755", &format!("{bin}/multipass")]).output()?;
    let path = format!("PATH={bin}:{}", std::env::var("PATH").unwrap_or_default());
    let home = format!("HOME={}", work.join("home").display());
    let polis = program()?.display().to_string();
    // The proofs' environment variables would be settings of polis.
    let ran = Run::new(&["env", "--ignore-environment", &path, &home, &polis, "start"]).ran()?;
    let read = fs::read_to_string(work.join("bin/user-data"));
    let _ = fs::remove_dir_all(&work);
    read.map_err(|error| format!("polis launched nothing: {error}\n{ran:?}"))
}

/// Builds this tree's `polis`.
fn program() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let build = [
        &cargo,
        "build",
        "--locked",
        "--quiet",
        "--workspace",
        "--bin=polis",
    ];
    let target_dir = format!("--target-dir={}", target.display());
    Run::new(&[&build[..], &[&target_dir]].concat())
        .cwd(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()?;
    Ok(target.join("debug/polis"))
}

/// Each downloading program has used the proxy, with the password, and was never asked for it.
fn went_through(proxy: &Proxy) -> Result<()> {
    let log = proxy.output("cat /var/log/squid/access.log")?;
    for (who, url) in [
        (
            "apt of cloud-init",
            "GET https://archive.ubuntu.com/ubuntu/./Packages",
        ),
        ("curl", "GET https://download.docker.com/linux/ubuntu/gpg"),
        (
            "apt",
            "GET https://download.docker.com/linux/ubuntu/dists/trixie/InRelease",
        ),
        (
            "curl of a redirection",
            "GET https://release-assets.githubusercontent.com/",
        ),
        ("dockerd", "https://download.docker.com/v2/"),
    ] {
        let came = log
            .lines()
            .any(|line| line.contains(url) && line.contains(" me "));
        ensure(came, || format!("{who} has not requested {url}:\n{log}"))?;
    }
    ensure(!log.contains("DENIED"), || log.clone())
}

/// Changes the settings of an existing VM: removes them, and sets them again.
fn other_settings(guest: &Guest) -> Result<()> {
    let state = |files: u32, proxy: &str, code: &str| -> Result<()> {
        let found = guest.output(STATE)?;
        let wanted = format!("proxy {proxy}\n{code}\n{files}");
        ensure(found.ends_with(&wanted), || {
            format!("{found}\ninstead of\n{wanted}")
        })
    };
    let set = |files: &str| {
        let archive = format!("tar --create --file=/srv/proxies.tar --directory=/srv/{files} .");
        let script = SET.replace("\"$1\"", "/srv/proxies.tar");
        guest.output(&format!(
            "mkdir -p /srv/none; {archive}\ncat >/srv/set <<'END'\n{script}\nEND\nbash /srv/set"
        ))
    };
    let masked = format!("http://xxxxx:xxxxx@{ADDRESS}:3128");
    guest.output(KEEP)?;
    state(4, &masked, "200")?;
    set("none")?;
    state(0, "", "000\n-")?;
    set("kept")?;
    state(4, &masked, "200")?;
    guest.output(SCRIPT)?;
    is_provisioned(guest)
}
