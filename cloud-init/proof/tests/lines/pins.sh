# shellcheck shell=bash disable=SC2034,SC2154,SC2016,SC2317,SC2329
# The functions that run before the steps.

all_pins() {
  local name
  for name in DOCKER_KEY_URL DOCKER_KEY_FINGERPRINT {SYSBOX,YQ}_{VERSION,{URL,SHA256}_{AMD64,ARM64}}; do echo "$name=value-of-$name"; done
}

case_read_pins() {
  { echo "# a comment"; echo; all_pins; } >"$PINS"
  read_pins
  is "${#PIN[@]} ${PIN[YQ_VERSION]}" "12 value-of-YQ_VERSION"
  PIN=()
  # The last line counts even without a newline.
  { all_pins | grep -v YQ_VERSION; printf YQ_VERSION=x; } >"$PINS"
  read_pins
  is "${PIN[YQ_VERSION]}" x
}

case_read_pins_strictly() {
  local bad
  while IFS='|' read -r bad says; do
    { all_pins; echo "$bad"; } >"$PINS"
    ends 1 read_pins
    is "$OUT" "polis-provision: error: $PINS:13: $says"
  done <<'BAD'
YQ_VERSION=again|YQ_VERSION is defined twice
YQ_VERSION="x"|not NAME=value
yq=x|not NAME=value
 YQ_VERSION=x|not NAME=value
YQ_VERSION=|not NAME=value
BAD
  rm "$PINS"
  ends 1 read_pins
  is "$OUT" "polis-provision: error: $PINS is missing"
}

case_drop_stale_marker() {
  printf abc >"$USER_DATA"
  local sum=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
  drop_stale_marker
  is "$DIGEST" $sum
  echo "{\"user_data_sha256\": \"$sum\"}" >"$MARKER"
  drop_stale_marker
  [[ -e $MARKER ]] || fail "the marker of this user-data was removed"
  echo "{\"user_data_sha256\": \"${sum/b/c}\"}" >"$MARKER"
  drop_stale_marker
  [[ ! -e $MARKER ]] || fail "the marker of other user-data was kept"
}

case_use_proxies() {
  use_proxies
  printf '%s\n' https_proxy=http://me:p%40ss@proxy:3128 no_proxy=localhost,.example.org >"$PROXIES"
  use_proxies
  # A child process must see them.
  is "$(bash -c 'echo "$https_proxy $no_proxy"')" "http://me:p%40ss@proxy:3128 localhost,.example.org"
}

case_preflight() {
  read_pins() { note pins; }
  use_proxies() { note proxies; }
  drop_stale_marker() { note marker; }
  dpkg() { echo "$architecture"; }
  installed() { note "installed $*"; ${there:-true}; }
  apt_update() { note update; }
  apt_install() { note "install $*"; }
  local wanted="auditd ca-certificates curl fuse3 gnupg iptables jq lsb-release netcat-openbsd openssl rsync"
  architecture=amd64
  preflight
  is "$ARCH $(called | tr '\n' ,)" "AMD64 pins,proxies,marker,installed $wanted,"
  architecture=arm64 there=false
  preflight
  is "$ARCH $(called | tr '\n' ,)" "ARM64 pins,proxies,marker,installed $wanted,update,install $wanted,"
  architecture=riscv64
  ends 1 preflight
  is "$OUT" "polis-provision: error: no pins for the architecture riscv64"
}

case_start_downloads() {
  start_download() { note "$*"; }
  sysbox_installed() { ${there:-false}; }
  have_yq() { ${there:-false}; }
  PIN=([SYSBOX_URL_ARM64]=a [SYSBOX_SHA256_ARM64]=b [YQ_URL_ARM64]=c [YQ_SHA256_ARM64]=d) ARCH=ARM64
  start_downloads
  is "$(called)" "sysbox.deb a b
yq c d"
  there=true
  start_downloads
  is "$(called)" ""
}
