#!/bin/bash
# Creates the certificates, keys and passwords of the stack, once, inside the machine that uses them.
#
# They exist nowhere else and never leave it: a bundle that carried them would give every installation the same CA.
# Run as the user that owns the folder, who needs sudo to give the private files to uid 65532 of the containers:
#
#   scripts/generate-secrets.sh            create what is missing, check everything
#   scripts/generate-secrets.sh --check    change nothing, check everything
#
# Each of the four folders below is created under another name and then renamed, so it exists completely or not at all. The
# next run completes an interrupted one. A folder that lacks a file is never repaired, because its other files may be wrong
# too: that is an error, whose message explains what to do.
#
#   certs/ca        CA of gate's certificates and toolbox's; only certgen has its key
#   certs/toolbox   toolbox's TLS certificate
#   certs/valkey    Valkey's own CA, server and client certificates. Not the CA above, because certgen signs for any name
#                   that the gateway network requests. This CA's key is deleted once it has signed those two.
#   secrets         a password for each Valkey user, and the ACL with their hashes
set -euo pipefail
umask 077
# Only our authorities count here. openssl also loads the system's, which takes longer than everything else it does.
export SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null

readonly CONTAINER_UID=65532
# The likely lifetime of the machine: nothing renews these.
readonly DAYS=3650
readonly WARN_SECONDS=$((30 * 24 * 3600))
readonly UNITS="certs/ca certs/toolbox certs/valkey secrets"
# name of the password file : Valkey user
readonly VALKEY_USERS="dlp:dlp-reader reqmod:governance-reqmod respmod:governance-respmod
    mcp_agent:mcp-agent mcp_admin:mcp-admin healthcheck:healthcheck"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly ROOT
# Determined once, because a run calls as_root about forty times.
USER_ID=$(id -u)
readonly USER_ID
STAGE=
problems=0

die() {
    printf 'generate-secrets: %s\n' "$*" >&2
    exit 1
}

problem() {
    printf 'generate-secrets: %s\n' "$*" >&2
    problems=$((problems + 1))
}

as_root() {
    if ((USER_ID == 0)); then "$@"; else sudo -n -- "$@"; fi
}

# The public and the private files of a folder, one per line: "public ca.pem". Creating, installing and checking share this
# list.
files_of() {
    local entry
    case $1 in
        certs/ca) printf '%s\n' 'public ca.pem' 'private ca.key' ;;
        certs/toolbox) printf '%s\n' 'public toolbox.pem' 'private toolbox.key' ;;
        certs/valkey)
            printf '%s\n' 'public ca.crt' 'public server.crt' 'private server.key' \
                'public client.crt' 'private client.key'
            ;;
        secrets)
            for entry in $VALKEY_USERS; do printf 'private valkey_%s_password.txt\n' "${entry%%:*}"; done
            printf 'private valkey_users.acl\n'
            ;;
    esac
}

# --- states that this script cannot handle ---

# Refuses states that no run of this script leaves behind.
refuse_half_states() {
    local unit kind name
    for unit in $UNITS; do
        [[ -e $unit ]] || continue
        [[ -d $unit ]] || die "$ROOT/$unit is not a folder: move it away and run this again"
        while read -r kind name; do
            as_root test -f "$unit/$name" -a -s "$unit/$name" ||
                problem "$ROOT/$unit is incomplete: the $kind file $name is missing or empty"
        done < <(files_of "$unit")
    done
    if [[ -e certs/toolbox && ! -e certs/ca ]]; then
        problem "$ROOT/certs/ca is gone, but $ROOT/certs/toolbox was signed by it"
    fi
    ((problems == 0)) || die "refusing to continue with an incomplete set of secrets. Move the named folders (all of them, and" \
        "certs/toolbox together with certs/ca) out of $ROOT, run this again, then restart the containers, which" \
        "then reread the files: docker compose restart"
}

# --- creating ---

# The extensions of every certificate, in our own file; otherwise, the system's openssl.cnf adds more.
write_openssl_config() {
    cat >"$STAGE/openssl.cnf" <<'CONFIG'
[req]
distinguished_name = subject
prompt = no
[subject]
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[toolbox]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:toolbox, DNS:toolbox.polis.internal, DNS:localhost, IP:10.10.1.20, IP:127.0.0.1
[valkey_server]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:valkey, DNS:state, DNS:localhost, IP:127.0.0.1
[valkey_client]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
CONFIG
}

# new_certificate EXTENSIONS COMMON_NAME CERTIFICATE KEY [openssl arguments, for a signer]: a fresh P-256 key and its
# certificate. Runs as root only if we can no longer read the signer's key.
new_certificate() {
    local extensions=$1 name=$2 certificate=$3 key=$4
    shift 4
    openssl_quietly req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -sha256 -days "$DAYS" \
        -config "$STAGE/openssl.cnf" -extensions "$extensions" -subj "/O=Polis/CN=$name" \
        -out "$certificate" -keyout "$key" "$@"
}

# openssl reports progress on standard error; this prints it only if openssl fails.
openssl_quietly() {
    as_root openssl "$@" 2>"$STAGE/openssl.log" || {
        cat "$STAGE/openssl.log" >&2
        die "openssl ${1-} failed"
    }
}

make_unit() {
    local unit=$1 into=$2
    case $unit in
        certs/ca)
            new_certificate ca "Polis workspace CA" "$into/ca.pem" "$into/ca.key"
            ;;
        certs/toolbox)
            new_certificate toolbox toolbox "$into/toolbox.pem" "$into/toolbox.key" \
                -CA certs/ca/ca.pem -CAkey certs/ca/ca.key
            ;;
        certs/valkey)
            new_certificate ca "Polis Valkey CA" "$into/ca.crt" "$STAGE/valkey-ca.key"
            new_certificate valkey_server valkey "$into/server.crt" "$into/server.key" \
                -CA "$into/ca.crt" -CAkey "$STAGE/valkey-ca.key"
            new_certificate valkey_client "Valkey client" "$into/client.crt" "$into/client.key" \
                -CA "$into/ca.crt" -CAkey "$STAGE/valkey-ca.key"
            ;;
        secrets)
            make_passwords "$into"
            ;;
    esac
}

make_passwords() {
    local into=$1 entry
    for entry in $VALKEY_USERS; do
        openssl rand -hex 32 >"$into/valkey_${entry%%:*}_password.txt"
    done
    write_acl "$into" >"$into/valkey_users.acl"
}

# hash_of PASSWORD: the hash that Valkey stores instead of the password. Uses a pipe, because an argument list would expose
# the password.
hash_of() {
    local hash
    hash=$(printf %s "$1" | sha256sum)
    printf '%s' "${hash%% *}"
}

# The permissions of each user. %R~ is a key that may only be read.
#
#   dlp-reader           the DLP service reads its policy (security level, exempted hosts) before each decision
#   governance-reqmod    the same service, for blocked requests: records them, issues one-time codes
#   governance-respmod   the approval service: a code that comes back turns a blocked request into an approved one
#   mcp-agent            toolbox, which the agent can use: sees what is blocked, can never approve it
#   mcp-admin            the human at the machine: approves and denies, which polis-approve first records in the event
#                        log and then does in one transaction; sets the security level
#   healthcheck          PING
write_acl() {
    local secrets=$1 entry user rules at=0
    local files=() passwords=()
    for entry in $VALKEY_USERS; do files+=("$secrets/valkey_${entry%%:*}_password.txt"); done
    # grep adds a newline to each file that lacks one.
    mapfile -t passwords < <(as_root grep --no-filename '' "${files[@]}")
    ((${#passwords[@]} == ${#files[@]})) || die "$ROOT/$secrets: a password file does not hold exactly one line"
    printf 'user default reset off\n'
    for entry in $VALKEY_USERS; do
        user=${entry#*:}
        case $user in
            dlp-reader) rules='%R~polis:config:* +get +scan' ;;
            governance-reqmod)
                rules='~polis:ott:* ~polis:ott_lock:* ~polis:blocked:* %R~polis:approved:* ~polis:log:events'
                rules+=' +get +set +setex +exists +zadd'
                ;;
            governance-respmod)
                rules='~polis:ott:* ~polis:blocked:* ~polis:approved:* ~polis:log:events'
                rules+=' +get +del +setex +exists +zadd'
                ;;
            mcp-agent)
                rules='~polis:blocked:* %R~polis:approved:* %R~polis:config:security_level ~polis:log:events'
                rules+=' +get +mget +set +exists +ttl +scan +zadd +zcard +zrevrange +zremrangebyrank'
                ;;
            mcp-admin)
                rules='~polis:blocked:* ~polis:approved:* ~polis:config:* ~polis:log:events'
                rules+=' +get +mget +set +setex +del +exists +ttl +scan +zadd +zcard +zrevrange +multi +exec'
                ;;
            healthcheck) rules='' ;;
        esac
        printf 'user %s reset on #%s +ping%s\n' "$user" "$(hash_of "${passwords[at]}")" "${rules:+ $rules}"
        at=$((at + 1))
    done
}

# Gives the private files to the containers' user, and moves the folder into place in one step.
install_unit() {
    local unit=$1 from=$2 kind name
    local public=() private=()
    while read -r kind name; do
        if [[ $kind == private ]]; then private+=("$from/$name"); else public+=("$from/$name"); fi
    done < <(files_of "$unit")
    as_root chmod 0400 "${private[@]}"
    ((${#public[@]} == 0)) || as_root chmod 0444 "${public[@]}"
    as_root chown "$CONTAINER_UID:$CONTAINER_UID" "${private[@]}" "${public[@]}"
    # The workspace's runtime looks for the CA certificate as an unprivileged user, so that user must be able to reach it.
    [[ $unit == secrets ]] || chmod 0755 "$from"
    mv -T -- "$from" "$unit"
    printf 'generate-secrets: made %s\n' "$ROOT/$unit"
}

make_missing() {
    local unit into
    write_openssl_config
    [[ -d certs ]] || install -d -m 0755 certs
    for unit in $UNITS; do
        [[ -e $unit ]] && continue
        into=$STAGE/${unit//\//-}
        mkdir "$into"
        make_unit "$unit" "$into"
        install_unit "$unit" "$into"
    done
}

# Regenerates the ACL from the passwords: a newer version of write_acl may have changed it. The passwords stay.
refresh_acl() {
    write_acl secrets >"$STAGE/acl"
    as_root cmp -s "$STAGE/acl" secrets/valkey_users.acl && return
    as_root chmod 0400 "$STAGE/acl"
    as_root chown "$CONTAINER_UID:$CONTAINER_UID" "$STAGE/acl"
    mv -f -- "$STAGE/acl" secrets/valkey_users.acl
    printf 'generate-secrets: updated %s; to use it: docker compose restart state\n' "$ROOT/secrets/valkey_users.acl"
}

# --- checking ---

check_modes() {
    local unit kind name mode at
    local paths=() modes=() have
    for unit in $UNITS; do
        while read -r kind name; do
            mode=400
            [[ $kind == private ]] || mode=444
            paths+=("$unit/$name") modes+=("$mode")
        done < <(files_of "$unit")
    done
    have=$(as_root stat -c '%u %a' "${paths[@]}")
    mapfile -t have <<<"$have"
    for at in "${!paths[@]}"; do
        [[ ${have[at]} == "$CONTAINER_UID ${modes[at]}" ]] ||
            problem "$ROOT/${paths[at]} has owner and mode ${have[at]}; to fix it, run: sudo chown" \
                "$CONTAINER_UID:$CONTAINER_UID $ROOT/${paths[at]} && sudo chmod ${modes[at]} $ROOT/${paths[at]}"
    done
}

# is_key_of KEY CERTIFICATE. Discards standard error, because sudo may write warnings there although it succeeds.
is_key_of() {
    local public
    public=$(as_root openssl pkey -in "$1" -pubout 2>/dev/null) || return 1
    [[ -n $public && $public == "$(openssl x509 -in "$2" -noout -pubkey 2>/dev/null)" ]]
}

# check_certificate CERTIFICATE KEY CA PURPOSE [NAME]
check_certificate() {
    local certificate=$1 key=$2 ca=$3 purpose=$4 name=${5-}
    openssl verify -x509_strict -CAfile "$ca" -purpose "$purpose" ${name:+-verify_hostname "$name"} \
        "$certificate" >/dev/null 2>&1 || problem "$ROOT/$certificate does not verify against $ROOT/$ca"
    openssl x509 -in "$certificate" -noout -checkend "$WARN_SECONDS" >/dev/null 2>&1 ||
        problem "$ROOT/$certificate expires within 30 days"
    [[ -z $key ]] || is_key_of "$key" "$certificate" || problem "$ROOT/$key is not the key of $ROOT/$certificate"
}

check_all() {
    local unit
    for unit in $UNITS; do
        [[ -d $unit ]] || problem "$ROOT/$unit is missing"
    done
    ((problems == 0)) || die "to create what is missing, run: scripts/generate-secrets.sh"
    check_modes
    check_certificate certs/ca/ca.pem certs/ca/ca.key certs/ca/ca.pem any
    check_certificate certs/toolbox/toolbox.pem certs/toolbox/toolbox.key certs/ca/ca.pem sslserver toolbox
    check_certificate certs/valkey/ca.crt '' certs/valkey/ca.crt any
    check_certificate certs/valkey/server.crt certs/valkey/server.key certs/valkey/ca.crt sslserver valkey
    check_certificate certs/valkey/client.crt certs/valkey/client.key certs/valkey/ca.crt sslclient
    # Compare with a file regenerated from the passwords, which detects a changed password as well as a widened permission.
    [[ $(write_acl secrets) == "$(as_root cat secrets/valkey_users.acl)" ]] ||
        problem "$ROOT/secrets/valkey_users.acl does not match the passwords; to fix it, run this without --check"
    ((problems == 0)) || die "$problems problem(s). If no fix is given above: move the folder out of $ROOT, run this" \
        "again, then restart the containers, which reread the files: docker compose restart"
    printf 'generate-secrets: complete and sound in %s\n' "$ROOT"
}

main() {
    local check=
    case "$*" in
        '') ;;
        --check) check=1 ;;
        *) die "usage: generate-secrets.sh [--check]" ;;
    esac
    cd "$ROOT"
    [[ -f docker-compose.yml ]] || die "$ROOT has no docker-compose.yml: this script belongs in its scripts/ folder"
    command -v openssl >/dev/null || die "openssl is not installed"
    as_root true 2>/dev/null || die "needs root or sudo without a password: the private files go to uid $CONTAINER_UID"
    # Two concurrent runs would both find the same folder missing. The folder itself is the lock, so no lock file is left.
    exec 9<"$ROOT"
    flock 9
    refuse_half_states
    if [[ -z $check ]]; then
        # Remove unused keys that a killed run left behind. The lock guarantees that no such run is alive.
        rm -rf -- "$ROOT"/.generate-secrets.*
        STAGE=$(mktemp -d "$ROOT/.generate-secrets.XXXXXX")
        # An unfinished folder is removed; its private files may already have another owner, but the folder does not.
        trap 'rm -rf -- "$STAGE"' EXIT
        make_missing
        refresh_acl
    fi
    check_all
}

main "$@"
