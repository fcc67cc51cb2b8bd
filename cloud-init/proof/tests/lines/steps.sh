# shellcheck shell=bash disable=SC2034,SC2154,SC2016,SC2317,SC2329
# The end state of each step, which must require all of its parts, and the commands that establish it, in order.

# For each name after $1: if `bad` is that name, the command $1 must fail; without `bad`, it must succeed.
wants_all() {
  local command=$1
  shift
  bad=""
  ends 0 "$command"
  for bad in "$@"; do
    run "$command"
    ((STATUS != 0)) || fail "$command accepts a missing part: $bad"
  done
}

is_good() { [[ $bad != "$1" ]]; }

key_listing() {
  printf 'tru::1\npub:-:255:22:AA:1::::::scESC:\nfpr:::::::::%s:\nuid:-::::1::x::Proof:\nsub:-:255:18:BB:1::::::e:\nfpr:::::::::SUBKEY:\n' "$1"
}

case_pinned_key() {
  PIN=([DOCKER_KEY_FINGERPRINT]=PINNED)
  gpg() {
    is "${*:1:5}" "--homedir $WORK/gnupg --batch --no-tty --quiet"
    # No key left behind by an earlier file may be exported.
    is "$(stat --format=%a "$WORK/gnupg") $(ls "$WORK/gnupg")" "700 ${left:-}"
    shift 5
    case $* in
      "--import $top/key") is_good import ;;
      "--list-keys --with-colons") printf '%s\n' "$listing"; is_good list ;;
      "--export PINNED") echo exported; is_good export ;;
      *) fail "gpg $*" ;;
    esac
  }
  bad="" listing=$(key_listing PINNED)
  mkdir "$WORK/gnupg"
  touch "$WORK/gnupg/pubring.kbx"
  ends 0 pinned_key "$top/key"
  is "$OUT" exported
  wants_all "pinned_key_of_the_case" import list export
  bad=""
  for listing in "$(key_listing OTHER)" "$(key_listing PINNED; key_listing OTHER)" "$(key_listing PINNED | sed s/pub/sub/)" ""; do
    ends 1 pinned_key "$top/key"
    is "$OUT" ""
  done
}

pinned_key_of_the_case() { pinned_key "$top/key"; }

case_docker_source() {
  ARCH=ARM64 PIN=([DOCKER_REPO_URL]=https://repo [DOCKER_REPO_SUITE]=noble)
  is "$(docker_source)" "deb [arch=arm64 signed-by=$KEYRING] https://repo noble stable"
}

case_docker_preferences() {
  PIN=([DOCKER_REPO_URL]=https://repo.example/linux/ubuntu)
  is "$(docker_preferences)" 'Package: docker-ce docker-ce-cli containerd.io docker-compose-plugin
Pin: origin "repo.example"
Pin-Priority: 500

Package: *
Pin: origin "repo.example"
Pin-Priority: -1'
}

case_have_docker_repo() {
  PIN=([DOCKER_REPO_URL]=https://repo)
  docker_source() { echo source; }
  docker_preferences() { echo preferences; }
  pinned_key() { is "$1" "$KEYRING"; echo key; is_good key; }
  apt-cache() { is "$*" "madison docker-ce"; if is_good listed; then echo "docker-ce | 1 | https://repo noble"; else echo other; fi; }
  mkdir -p "${KEYRING%/*}" "${PREFERENCES%/*}"
  echo source >"$SOURCE"
  echo preferences >"$PREFERENCES"
  echo key >"$KEYRING"
  wants_all have_docker_repo key listed
  bad=""
  local file
  for file in "$SOURCE" "$PREFERENCES" "$KEYRING"; do
    cp "$file" "$top/saved"
    echo other >"$file"
    ends 1 have_docker_repo
    rm "$file"
    ends_badly have_docker_repo
    is "$OUT" ""
    cp "$top/saved" "$file"
  done
  ends 0 have_docker_repo
}

case_do_docker_repo() {
  PIN=([DOCKER_KEY_URL]=https://key [DOCKER_KEY_FINGERPRINT]=PINNED)
  fetch() { note "fetch $*"; echo served >"$2"; }
  pinned_key() { is "$1 $(cat "$1")" "$WORK/docker.asc served"; echo key; is_good key; }
  docker_source() { echo source; }
  docker_preferences() { echo preferences; }
  apt_update() { note "update $*"; }
  mkdir -p "${PREFERENCES%/*}"
  umask 077
  bad=""
  do_docker_repo
  is "$(cat "$KEYRING" "$SOURCE" "$PREFERENCES" | tr '\n' ' ')$(stat --format=%a "${KEYRING%/*}" "$KEYRING" "$SOURCE" "$PREFERENCES" | tr '\n' ' ')" \
    "key source preferences 755 644 644 644 "
  is "$(called)" "fetch https://key $WORK/docker.asc
update -o Dir::Etc::sourcelist=$SOURCE -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0"
  rm "$KEYRING" "$SOURCE" "$PREFERENCES"
  bad=key
  ends 1 do_docker_repo
  is "$OUT" "polis-provision: error: https://key: expected exactly the key PINNED"
  [[ ! -e $KEYRING && ! -e $SOURCE && ! -e $PREFERENCES ]] || fail "a key other than the pinned one was installed"
}

readonly DOCKER="docker-ce docker-ce-cli containerd.io docker-compose-plugin"

case_have_docker_engine() {
  installed() { is "$*" "$DOCKER"; is_good installed; }
  enabled() { is "$*" docker.service; is_good enabled; }
  active() { is "$*" docker.service; is_good active; }
  docker_answers() { is_good answers; }
  id() { is "$*" "--name --groups ubuntu"; if is_good group; then echo "ubuntu docker adm"; else echo "ubuntu dockers"; fi; }
  wants_all have_docker_engine installed enabled active answers group
}

case_do_docker_engine() {
  installed() { is "$*" "$DOCKER"; is_good installed; }
  apt_download() { note "download $*"; }
  start_downloads() { note downloads; }
  apt_unpack() { note "unpack $*"; }
  usermod() { note "usermod $*"; }
  systemctl() { note "systemctl $*"; }
  wait_for() { note "wait $*"; }
  local rest="usermod --append --groups docker ubuntu
systemctl enable docker.service
systemctl reset-failed docker.service
systemctl start docker.service
wait an answer from Docker docker_answers"
  bad=installed
  do_docker_engine
  is "$(called)" "download $DOCKER
downloads
unpack $DOCKER
$rest"
  bad=""
  do_docker_engine
  is "$(called)" "$rest"
}

case_sysbox_installed() {
  PIN=([SYSBOX_VERSION]=0.7.1)
  installed() { is "$*" sysbox-ce; is_good installed; }
  dpkg-query() { is "$*" '--show --showformat=${Version} sysbox-ce'; printf %s "$shown"; is_good query; }
  shown=0.7.1.linux
  wants_all sysbox_installed installed query
  bad=""
  for shown in 0.7.1 0.7.1-2 0.7.1+x 0.7.1~rc; do ends 0 sysbox_installed; done
  for shown in 0.7.10 0.7.0.linux ""; do ends 1 sysbox_installed; done
}

case_container_runs() {
  docker() {
    note "docker $*"
    case $1 in import) tar --list | grep -x -e usr/bin/true -e '.*/libc.so.6' | sed 's/.*libc/libc/' >"$top/imported" ;; esac
    is_good "$1"
  }
  bad=""
  container_runs
  is "$(tr '\n' ' ' <"$top/imported")" "usr/bin/true libc.so.6 "
  is "$(called)" "timeout 60
docker import - polis-smoke
timeout 60
docker run --rm --name polis-smoke --runtime sysbox-runc --network none --log-driver none polis-smoke /usr/bin/true
docker rm --force polis-smoke
docker rmi polis-smoke"
  # It runs only once.
  container_runs
  is "$(called)" ""
  for bad in import run rmi; do
    CONTAINER_RAN=""
    if container_runs; then fail "$bad failed, but the container ran"; fi
    is "$CONTAINER_RAN" ""
  done
  bad=rm CONTAINER_RAN=""
  ends 0 container_runs
}

case_have_sysbox() {
  sysbox_installed() { is_good installed; }
  active() { is "$*" "sysbox-mgr.service sysbox-fs.service sysbox.service docker.service"; is_good active; }
  runtime_listed() { is_good listed; }
  container_runs() { is_good container; }
  wants_all have_sysbox installed active listed container
}

case_restart_runtimes() {
  systemctl() { note "systemctl $*"; }
  mountpoint() { is "$1" --quiet; [[ $2 == *mounted ]]; }
  umount() { note "umount $*"; }
  touch "$top"/run/docker/netns/{mounted,stale}
  CONTAINER_RAN=yes
  restart_runtimes
  is "$CONTAINER_RAN$(ls "$top/run/docker/netns")" ""
  is "$(called)" "systemctl stop docker.socket docker.service
systemctl stop sysbox.service sysbox-mgr.service sysbox-fs.service
umount -- $top/run/docker/netns/mounted
systemctl reset-failed docker.socket docker.service
systemctl start sysbox-mgr.service sysbox-fs.service sysbox.service
systemctl start docker.socket docker.service"
}

case_do_sysbox() {
  sysbox_installed() { is_good installed; }
  wait_for() { note "wait $*"; }
  docker() { is "$*" "ps --all --quiet"; printf %s "${containers:-}"; }
  finish_download() { note "finish $*"; }
  apt_install() { note "install $*"; }
  restart_runtimes() { note restart; }
  bad=installed
  do_sysbox
  is "$(called)" "wait an answer from Docker docker_answers
finish sysbox.deb
install --allow-downgrades $WORK/sysbox.deb
restart
wait a container under Sysbox have_sysbox"
  containers=abc
  ends 1 do_sysbox
  is "$(called | wc -l) $OUT" "1 polis-provision: error: Sysbox cannot be installed while containers exist"
  bad=""
  do_sysbox
  is "$(called)" "restart
wait a container under Sysbox have_sysbox"
}

case_yq() {
  ARCH=ARM64 PIN=([YQ_SHA256_ARM64]=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad)
  finish_download() { is "$1" yq; printf abc >"$WORK/yq"; }
  ends 1 have_yq
  do_yq
  is "$(stat --format=%a "$YQ")" 755
  ends 0 have_yq
  chmod 0644 "$YQ"
  ends 1 have_yq
  chmod 0755 "$YQ"
  echo >>"$YQ"
  ends 1 have_yq
}

case_sysctls_set() {
  printf '# a comment\nkernel.one = 1\nkernel.two = 2\n' >"$SYSCTLS"
  sysctl() { is "$1" --values; if is_good "$2"; then echo "${2: -1}" | sed 's/e/1/;s/o/2/'; else echo 9; fi; }
  wants_all sysctls_set kernel.one kernel.two
}

case_audit_rules_loaded() {
  printf '# a comment\n-w /usr/bin/docker -p rwxa -k docker\n-w /etc/docker -p wa -k docker\n' >"$AUDIT_RULES"
  auditctl() {
    case $* in
      -l) printf '%s\n' "$rules"; is_good list ;;
      -s) printf 'enabled %d\nfailure 1\n' "$(is_good locked && echo 2 || echo 1)"; is_good status ;;
      *) fail "auditctl $*" ;;
    esac
  }
  # In the format of auditctl 3.1, of 4.0, and as system call rules.
  rules="-w /usr/bin/docker -p rwxa -k docker
-w /etc/docker/ -p wa -k docker"
  wants_all audit_rules_loaded list locked status
  bad=""
  rules="-a always,exit -F path=/usr/bin/docker -F perm=rwxa -F key=docker
-a always,exit -S all -F dir=/etc/docker -F perm=wa"
  sed -i "s|$top||" "$AUDIT_RULES"
  ends 0 audit_rules_loaded
  rules="-w /usr/bin/docker -p rwxa -k docker
-w /etc/docker.d -p wa -k docker"
  ends 1 audit_rules_loaded
  rules="No rules"
  ends 1 audit_rules_loaded
}

case_root_locked() {
  passwd() { is "$*" "--status root"; echo "root $shown 2026-01-01 0 99999 7 -1"; is_good passwd; }
  bad=""
  for shown in L LK; do ends 0 root_locked; done
  for shown in P NP; do ends 1 root_locked; done
  shown=L
  wants_all root_locked passwd
}

case_have_hardening() {
  sysctls_set() { is_good sysctls; }
  enabled() { is "$*" "apparmor.service auditd.service"; is_good enabled; }
  active() { is "$*" "apparmor.service auditd.service"; is_good active; }
  audit_rules_loaded() { is_good rules; }
  root_locked() { is_good root; }
  touch "$AUDIT_LOCK"
  wants_all have_hardening sysctls enabled active rules root
  bad=""
  rm "$AUDIT_LOCK"
  ends 1 have_hardening
}

case_do_hardening() {
  sysctl() { note "sysctl $*"; }
  systemctl() { note "systemctl $*"; }
  augenrules() { note "augenrules $* $(stat --format=%a "$AUDIT_LOCK") $(cat "$AUDIT_LOCK")"; }
  audit_rules_loaded() { is_good rules; }
  passwd() { note "passwd $*"; }
  local before="sysctl --load=$SYSCTLS
systemctl enable apparmor.service auditd.service
systemctl reset-failed apparmor.service auditd.service
systemctl start apparmor.service auditd.service"
  bad=rules
  do_hardening
  is "$(called)" "$before
augenrules --load 640 -e 2
passwd --lock root"
  # The kernel accepts rules only once.
  bad=""
  do_hardening
  is "$(called)" "$before
passwd --lock root"
}

case_have_polis_unit() {
  stat() { is "$*" "--format=%U:%G $top/opt/polis"; if is_good owner; then echo ubuntu:ubuntu; else echo root:root; fi; }
  enabled() { is "$*" polis.service; is_good enabled; }
  systemctl() { is "$*" "show --property=NeedDaemonReload --value polis.service"; if is_good loaded; then echo no; else echo yes; fi; }
  wants_all have_polis_unit owner enabled loaded
  stat() { echo noise >&2; return 1; }
  ends 1 have_polis_unit
  is "$OUT" ""
}

case_do_polis_unit() {
  install() { note "install $*"; }
  systemctl() { note "systemctl $*"; }
  do_polis_unit
  is "$(called)" "install -d -m 0755 -o ubuntu -g ubuntu $top/opt/polis
systemctl daemon-reload
systemctl enable polis.service"
}

case_ready() {
  local file
  for file in "${WRITTEN_FILES[@]}"; do printf '%s' "${file##*/}" >"$file"; done
  PIN=([SYSBOX_VERSION]=0.7.1 [YQ_VERSION]=v4) DIGEST=abc ARCH=AMD64 SECONDS=50 STEP_START=8
  docker() { is "$*" "version --format {{.Server.Version}}"; echo 99; }
  dpkg-query() {
    is "${*:1:2}" '--show --showformat=${Package}\t${Version}\n'
    local name
    for name in "${@:3}"; do printf '%s\t1:2~%s\n' "$name" "$name"; done
  }
  sync() { note "sync $(jq -r .status "$REPORT") $(ls "$STATE")"; }
  : >"$LOG"
  ends 1 have_ready
  umask 077
  do_ready
  ends 0 have_ready
  is "$(jq -r '.steps[] | select(.name == "ready") | "\(.state) \(.seconds)"' "$REPORT")" "done 42"
  is "$(jq -r '.packages | to_entries[] | select(.value == "1:2~" + .key).key' "$MARKER" | tr '\n' ' ')" \
    "$(printf '%s ' "${BASE_PACKAGES[@]}" "${DOCKER_PACKAGES[@]}" sysbox-ce)"
  is "$(jq -c 'del(.finished, .files, .packages)' "$MARKER")" '{"user_data_sha256":"abc","architecture":"amd64",'\
'"docker_version":"99","sysbox_version":"0.7.1","yq_version":"v4"}'
  is "$(jq -r '.files | to_entries[] | "\(.value)  \(.key)"' "$MARKER")" "$(sha256sum "${WRITTEN_FILES[@]}")"
  is "$(jq -r '.finished | test("^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$")' "$MARKER")" true
  is "$(stat --format=%a "$MARKER" "$REPORT" | tr '\n' ' ')$(called)" "644 644 sync done provision.json
work"
}

# The lists that other files repeat, and that the cases above do not name.
case_constants() {
  # Sysbox needs Docker, which needs its repository; the marker comes last; each step has its own functions, and no function is unused.
  [[ ${STEPS[*]} == "docker-repo docker-engine sysbox "*" ready" ]] || fail "${STEPS[*]}"
  is "$(printf '%s\n' "${STEPS[@]//-/_}" | sort)" "$(declare -F | sed -n 's/^declare -f do_//p' | sort)"
  is "${WRITTEN_FILES[*]#"$top"}" "/etc/polis/pins.env /etc/docker/daemon.json /etc/sysctl.d/99-polis-hardening.conf \
/etc/audit/rules.d/docker.rules /etc/systemd/system/polis.service /usr/local/lib/polis/provision.sh"
  is "$(readonly -p | grep -c -E ' (STARTED|STEPS|APT)=')" 3
  is "$(set +o | grep -E -c -- '-o (errexit|errtrace|nounset|pipefail)') $(shopt inherit_errexit)" "4 inherit_errexit	on"
}
