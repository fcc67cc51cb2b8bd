# shellcheck shell=bash disable=SC2034,SC2154,SC2001,SC2016,SC2317,SC2329
# The functions that the steps use.

# Succeeds at the call whose number is in `works_at`.
flaky() {
  note "try $*"
  [[ $(grep -c '^try' "$top/calls") -ge $works_at ]]
}

case_retry() {
  works_at=3
  retry 3 "a thing" flaky a "b c" >"$top/out"
  is "$(called | tr '\n' ,)" "try a b c,sleep 5,try a b c,sleep 10,try a b c,"
  is "$(cat "$top/out")" "a thing failed, again in 5 s
a thing failed, again in 10 s"
  works_at=9
  ends 1 retry 2 "a thing" flaky
  is "$(called | tr '\n' ,) ${OUT##*$'\n'}" "try ,sleep 5,try , polis-provision: error: a thing still fails after the last attempt"
}

case_wait_for() {
  works_at=4
  wait_for "a thing" flaky x
  is "$(called | tr '\n' ,)" "try x,sleep 1,try x,sleep 1,try x,sleep 1,try x,"
  works_at=9999
  SECONDS=1000
  ends 1 wait_for "a thing" flaky
  is "$(called | grep -c sleep) $OUT" "120 polis-provision: error: a thing: not within 120 s"
}

# Answers like curl: each line of `answers` has the exit code and the HTTP code of one call.
curl() {
  local code http out
  note "curl $*"
  read -r code http < <(sed -n "$(grep -c '^curl' "$top/calls")p" <<<"$answers")
  out=$(sed 's/.*--output \([^ ]*\) .*/\1/' <<<"$*")
  echo body >"$out"
  printf %s "$http"
  return "$code"
}

case_fetch() {
  answers="0 200"
  fetch https://host/x "$top/x"
  is "$(cat "$top/x") $(ls "$top"/x*)" "body $top/x"
  is "$(called)" "curl --fail --silent --show-error --location --proto =https --proto-redir =https --tlsv1.2 \
--connect-timeout 15 --speed-limit 1024 --speed-time 60 --max-time 600 --output $top/x.part --write-out %{http_code} -- https://host/x"
}

case_fetch_again() {
  answers=$'28 000\n22 503\n22 429\n22 408\n0 200'
  fetch https://host/x "$top/x" >"$top/out"
  is "$(called | grep -o -E '^sleep.*|max-time [0-9]+' | tr '\n' ,)" \
    "max-time 600,sleep 5,max-time 595,sleep 10,max-time 585,sleep 20,max-time 565,sleep 40,max-time 525,"
  is "$(head -n 1 "$top/out")" "https://host/x: attempt 1: curl exit code 28, HTTP 000"
}

case_fetch_gives_up() {
  answers=$'22 404\n0 200'
  ends 1 fetch https://host/x "$top/x"
  is "$(called | grep -c '^curl') ${OUT##*$'\n'}" \
    "1 polis-provision: error: https://host/x: download failed (curl exit code 22, HTTP 404)"
  answers=$(for code in 1 2 3 4 5 6; do echo "7 50$code"; done)
  ends 1 fetch https://host/x "$top/x"
  is "$(called | tr -c 'a-z\n' ' ' | cut -c1-5 | tr '\n' ,) ${OUT##*HTTP }" "curl ,sleep,curl ,sleep,curl ,sleep,curl ,sleep,curl , 505)"
  [[ ! -e $top/x ]] || fail "a failed download left a file"
}

# The deadline applies to all attempts together.
case_fetch_has_a_deadline() {
  curl() { note curl; return 28; }
  sleep() { note "sleep $1"; SECONDS=$((SECONDS + 597)); }
  ends 1 fetch https://host/x "$top/x"
  is "$(called | tr '\n' ,)" "curl,sleep 5,curl,"
}

case_has_sha256() {
  printf abc >"$top/file"
  ends 0 has_sha256 "$top/file" $ABC
  ends 1 has_sha256 "$top/file" "${ABC/b/c}"
  ends 1 has_sha256 "$top/nothing" $ABC
  ends 1 has_sha256 "$top/file" short
}

readonly ABC=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad

case_download() {
  fetch() {
    echo "fetching $1, group $(ps -o pgid= -p "$BASHPID" | tr -d ' ')"
    printf abc >"$2"
    if { true >&9; } 2>/dev/null; then echo "the lock is open"; fi
  }
  exec 9>"$STATE/lock"
  start_download thing https://host/thing $ABC
  is "$-" "${-/m/}"
  local group=${DOWNLOAD[thing]}
  finish_download thing >"$top/out"
  is "$(cat "$top/out")" "fetching https://host/thing, group $group"
  is "$(cat "$WORK/thing")$(ls "$WORK") ${#DOWNLOAD[@]}" "abcthing
thing.log 0"
}

case_download_with_a_wrong_sum() {
  fetch() { printf abc >"$2"; }
  both() {
    start_download thing https://host/thing "$(printf '%064d' 0)"
    finish_download thing
  }
  ends 1 both
  local said
  said="polis-provision: error: https://host/thing: SHA-256 is $ABC, expected $(printf '%064d' 0)"
  is "$OUT" "$said
$said"
  [[ ! -e $WORK/thing ]] || fail "an invalid download got its final name"
}

apt-get() {
  note "apt-get $*"
  ${apt_ends:-true}
}
readonly APT_OPTIONS="--quiet --assume-yes -o DPkg::Lock::Timeout=100 -o Acquire::Retries=3 \
-o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 -o Dpkg::Use-Pty=0 \
-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o APT::Install-Recommends=false"

case_apt_update() {
  apt_update -o more
  is "$(called)" "timeout 600
apt-get $APT_OPTIONS -o APT::Update::Error-Mode=any -o more update"
  apt_ends=false
  ends 1 apt_update
  is "$(called | grep -c apt-get) ${OUT##*$'\n'}" "6 polis-provision: error: apt-get update still fails after the last attempt"
}

case_apt_install() {
  repair_packages() { note repair; }
  apt_install a b
  is "$(called)" "repair
timeout 600
apt-get $APT_OPTIONS --fix-broken --download-only install a b
apt-get $APT_OPTIONS --fix-broken install a b"
  apt_ends=false
  ends 1 apt_install a
  is "$(called | grep -c apt-get) ${OUT##*$'\n'}" "3 polis-provision: error: download of packages still fails after the last attempt"
}

case_repair_packages() {
  dpkg-query() { is "$*" '--show --showformat=${db:Status-Eflag} ${Package}\n'; printf '%s\n' "$states"; }
  dpkg() { note "dpkg $*"; if [[ $1 == --audit ]]; then printf %s "$audit"; else ${dpkg_ends:-true}; fi; }
  states="ok a" audit=""
  repair_packages
  is "$(called)" "dpkg --audit"
  audit="b is half configured"
  repair_packages
  is "$(called)" "dpkg --audit
dpkg --force-confdef --force-confold --configure -a"
  dpkg_ends=false
  ends 1 repair_packages
  is "$(called | grep -c configure) ${OUT##*$'\n'}" "6 polis-provision: error: dpkg --configure still fails after the last attempt"
  states=$'ok a\nreinstreq b\nreinstreq c'
  ends 1 repair_packages
  is "$(called | grep -c remove) ${OUT##*$'\n'}" "6 polis-provision: error: dpkg --remove still fails after the last attempt"
  dpkg_ends=true
  repair_packages
  is "$(called)" "dpkg --remove --force-remove-reinstreq --force-depends b c"
}

# Multipass gives up on a launch after 900 s, and the user should learn the cause before that.
case_lock_is_reported_in_time() {
  repair_packages() { :; }
  apt-get() {
    SECONDS=$((SECONDS + $(sed 's/.*Lock::Timeout=\([0-9]*\).*/\1/' <<<"$*")))
    return 100
  }
  timed() {
    trap 'echo "$SECONDS"' EXIT
    apt_install a
  }
  ends 1 timed
  ((${OUT##*$'\n'} < 400)) || fail "told after ${OUT##*$'\n'} s"
}

case_installed() {
  dpkg-query() {
    is "$1 $2" '--show --showformat=${db:Status-Status}'
    case $3 in good*) printf installed ;; half) printf half-configured ;; *) echo "no package" >&2; return 1 ;; esac
  }
  ends 0 installed good1 good2
  ends 1 installed good1 half
  ends 1 installed half good1
  ends 1 installed good1 none
  is "$OUT" ""
}

# The names of these units say which state they are in.
case_active_enabled() {
  systemctl() {
    is "$1 $2 $#" "$wanted --quiet 3"
    [[ $3 == good* ]] || return 3
  }
  wanted=is-active
  ends 0 active good1 good2
  ends 1 active good1 bad
  ends 1 active bad good1
  wanted=is-enabled
  ends 0 enabled good1 good2
  ends 1 enabled good1 bad
  ends 1 enabled bad good1
}

case_docker_asked() {
  docker() { note "docker $*"; printf '%s\n' "$says"; echo noise >&2; ${docker_ends:-true}; }
  says='{"runc":{},"sysbox-runc":{}}'
  ends 0 docker_answers
  ends 0 runtime_listed
  is "$OUT$(called)" "timeout 10
docker info
timeout 10
docker info --format {{json .Runtimes}}"
  says='{"runc":{}}'
  ends 1 runtime_listed
  docker_ends=false
  ends 1 docker_answers
  says='{"sysbox-runc":{}}'
  ends 1 runtime_listed
}
