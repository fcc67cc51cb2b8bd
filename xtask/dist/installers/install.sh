#!/bin/sh
# Installs `polis` for the current user. It needs no root and asks nothing.
#
#     sh install.sh
#
# It downloads the checksums of one release with their signature, verifies the signature with the
# key below, downloads the archive for this machine, compares it with its checksum, and only then
# replaces `polis` by one rename. Any mismatch ends it, and the old version stays installed.
#
#     POLIS_INSTALL_DIR   the directory for `polis`. If set, nothing is written elsewhere; by default it
#                         is ~/.local/bin, and man pages and completions go to ~/.local/share
#     POLIS_INSTALL_URL   a mirror: the directory with the files of this release
#
# It needs curl or wget, tar, and minisign or OpenSSL 3.
#
# The brace keeps a shell from running any part of a truncated script.
{

label=@@label@@
comment=@@comment@@
key=@@key@@
base=@@base@@
repository=@@repository@@
targets=@@targets@@
pages=@@pages@@

main() {
    set -eu
    # Without sh emulation, zsh does not split words, and ties traps to functions.
    if [ -n "${ZSH_VERSION:-}" ]; then emulate sh; fi
    case $# in
    0) ;;
    *)
        printf 'usage: sh install.sh\nenvironment: POLIS_INSTALL_DIR, POLIS_INSTALL_URL\n' >&2
        exit 2
        ;;
    esac

    work=''
    staged=''
    cause=''
    trap 'clean' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM

    find_target
    find_base
    find_downloader
    find_verifier
    find_hasher
    have tar || fail 'tar is not installed' 'hint: install tar with your package manager'
    prepare

    fetch SHA256SUMS
    fetch SHA256SUMS.minisig
    verify_signature
    find_checksum
    fetch "$archive"
    verify_archive
    unpack
    install_program
    install_extras
    say_next
}

# fail MESSAGE [LINE]...
fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    for line in "$@" 'note: nothing was installed or changed'; do
        printf '  %s\n' "$line" >&2
    done
    exit 1
}

clean() {
    if [ -n "$staged" ]; then rm -f "$staged"; fi
    if [ -n "$work" ]; then rm -rf "$work"; fi
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Sets `cause` to a program's output, on one line and without control characters.
read_cause() {
    cause=$(LC_ALL=C tr '\n' ' ' <"$work/said" | LC_ALL=C tr -cd ' -~' | cut -c1-300)
    cause=${cause% }
}

find_target() {
    system=$(uname -s) machine=$(uname -m)
    case $system/$machine in
    Linux/x86_64 | Linux/amd64) target=x86_64-unknown-linux-musl ;;
    Linux/aarch64 | Linux/arm64) target=aarch64-unknown-linux-musl ;;
    Darwin/arm64) target=aarch64-apple-darwin ;;
    Darwin/x86_64)
        target=x86_64-apple-darwin
        # A shell that Rosetta translates calls Apple silicon x86_64.
        if [ "$(sysctl -n hw.optional.arm64 2>/dev/null || :)" = 1 ]; then
            target=aarch64-apple-darwin
        fi
        ;;
    MINGW*/* | MSYS*/* | CYGWIN*/*)
        fail "this script does not install on Windows" \
            "hint: run install.ps1 of the same release in PowerShell"
        ;;
    *)
        fail "there is no build of Polis for $system on $machine" \
            "hint: see $repository for how to build it"
        ;;
    esac
    case " $targets " in
    *" $target "*) ;;
    *)
        fail "Polis $label was not released for $target" \
            "hint: choose another release at $repository/releases"
        ;;
    esac
    top=polis-$label-$target
    archive=$top.tar.gz
}

# https, and http only to this machine. Only the characters of plain URLs, because a user name or
# a backslash could disguise another host as this machine.
find_base() {
    base=${POLIS_INSTALL_URL:-$base}
    base=${base%/}
    scheme=''
    case $base in
    *[!][A-Za-z0-9.:/_~%+-]*) ;;
    https://?*) scheme=https ;;
    http://*)
        host=${base#http://}
        host=${host%%/*}
        case $host in
        127.0.0.1 | localhost | '[::1]') scheme=http ;;
        127.0.0.1:* | localhost:* | '[::1]':*)
            case ${host##*:} in
            '' | *[!0-9]*) ;;
            *) scheme=http ;;
            esac
            ;;
        esac
        ;;
    esac
    if [ -z "$scheme" ]; then
        fail "invalid POLIS_INSTALL_URL: $base" \
            "caused by: it must begin with https:// (http:// only for 127.0.0.1, [::1] and localhost), and have no user name and no query" \
            "hint: unset POLIS_INSTALL_URL, or set it to the directory with $archive"
    fi
}

find_downloader() {
    if have curl; then
        downloader=curl
    elif have wget; then
        downloader=wget
        # Options that only GNU Wget has; busybox's crashes on a time limit. It may follow a
        # redirect to http, but the files must be signed anyway.
        case $(wget --version 2>&1 || :) in
        *'GNU Wget'*) wget_options="--secure-protocol=TLSv1_2 --tries=3 --timeout=30 --max-redirect=5" ;;
        *) wget_options='' ;;
        esac
    else
        fail 'neither curl nor wget is installed' 'hint: install curl with your package manager'
    fi
}

# macOS's openssl is LibreSSL, which does not support this; Homebrew's is not on PATH.
find_verifier() {
    if have minisign; then
        verifier=minisign
        return
    fi
    for openssl in openssl /opt/homebrew/opt/openssl@3/bin/openssl /usr/local/opt/openssl@3/bin/openssl; do
        case $("$openssl" version 2>/dev/null || :) in
        'OpenSSL '[3-9].* | 'OpenSSL '[1-9][0-9].*)
            # A FIPS build has no BLAKE2.
            if "$openssl" dgst -blake2b512 </dev/null >/dev/null 2>&1; then
                verifier=openssl
                return
            fi
            ;;
        esac
    done
    case $system in
    Darwin) advice='brew install minisign' ;;
    *) advice='apt-get install minisign, apk add minisign or pacman -S minisign, as root' ;;
    esac
    fail 'the signature of the release cannot be verified here' \
        'caused by: neither minisign nor OpenSSL 3 is installed' \
        "hint: $advice"
}

find_hasher() {
    if have sha256sum; then
        hasher='sha256sum'
    elif have shasum; then
        hasher='shasum -a 256'
    elif have openssl; then
        hasher='openssl dgst -sha256 -r'
    else
        fail 'no program for SHA-256 is installed' 'hint: install sha256sum, shasum or openssl'
    fi
}

# Creates the directories, to find one that is not writable before anything is downloaded.
prepare() {
    if [ -n "${POLIS_INSTALL_DIR:-}" ]; then
        dir=$POLIS_INSTALL_DIR
        extras=''
        case $dir in
        /*) ;;
        *) fail "POLIS_INSTALL_DIR is not an absolute path: $dir" ;;
        esac
    else
        case ${HOME:-} in
        /*) ;;
        *) fail 'HOME is not set' 'hint: set POLIS_INSTALL_DIR to the directory for polis' ;;
        esac
        dir=$HOME/.local/bin
        extras=${XDG_DATA_HOME:-$HOME/.local/share}
    fi
    work=$(mktemp -d "${TMPDIR:-/tmp}/polis-install.XXXXXX") ||
        fail "cannot create a temporary directory in ${TMPDIR:-/tmp}" 'hint: set TMPDIR to another directory'
    next='hint: set POLIS_INSTALL_DIR to a directory that you own'
    mkdir -p "$dir" 2>"$work/said" || {
        read_cause
        fail "cannot create the directory $dir" "caused by: $cause" "$next"
    }
    if [ -d "$dir/polis" ]; then
        fail "$dir/polis is a directory" "$next"
    fi
    staged=$(mktemp "$dir/.polis-install.XXXXXX" 2>"$work/said") || {
        read_cause
        fail "cannot write to $dir" "caused by: $cause" "$next"
    }
}

# fetch NAME
fetch() {
    url=$base/$1
    printf 'downloading %s\n' "$url" >&2
    code=0
    case $downloader in
    curl)
        curl --proto "=$scheme" --tlsv1.2 --globoff --fail --silent --show-error --location \
            --max-redirs 5 --connect-timeout 30 --retry 3 --output "$work/$1" "$url" 2>"$work/said" || code=$?
        ;;
    wget)
        # shellcheck disable=SC2086 # several options, or none
        wget $wget_options -q -O "$work/$1" "$url" 2>"$work/said" || code=$?
        ;;
    esac
    if [ "$code" -ne 0 ]; then
        read_cause
        fail "cannot download $url" \
            "caused by: $downloader exited with code $code${cause:+: $cause}" \
            'hint: check the network and run this again'
    fi
    # curl from a snap has its own view of directories, and reports success.
    if [ ! -f "$work/$1" ]; then
        fail "cannot download $url" "caused by: $downloader wrote no file into $work" \
            'hint: install a curl that is not from a snap, or set TMPDIR to a directory that it can write to'
    fi
}

verify_signature() {
    sums=$work/SHA256SUMS
    read_signature
    case $verifier in
    minisign)
        signed=$(minisign -V -Q -P "$key" -m "$sums" -x "$sums.minisig" 2>"$work/said") || {
            read_cause
            not_signed "$cause"
        }
        [ "$signed" = "$comment" ] || not_signed "minisign verified a different trusted comment"
        ;;
    openssl) verify_with_openssl ;;
    esac
    printf 'verified the signature of SHA256SUMS with %s\n' "$verifier" >&2
}

not_signed() {
    fail 'the signature of SHA256SUMS is not valid' "caused by: $1" \
        "hint: do not use these files; report it at $repository/issues"
}

# A signature file has four lines: an unsigned comment, the signature of the list, the trusted
# comment, and the signature of both. The trusted comment must name this release, so that validly
# signed files of an older one are rejected.
read_signature() {
    rest=''
    {
        IFS= read -r untrusted || :
        IFS= read -r list_signature || :
        IFS= read -r signed_comment || :
        IFS= read -r both_signature || :
        IFS= read -r rest || :
    } <"$sums.minisig"
    case $untrusted in
    'untrusted comment: '*) ;;
    *) not_signed 'SHA256SUMS.minisig is not a minisign signature' ;;
    esac
    # `ED`, the algorithm that signs a BLAKE2b digest, is `RU` and one of four letters in Base64.
    case $list_signature in
    RU[QRST]*) ;;
    *) not_signed 'SHA256SUMS.minisig does not use the algorithm of Polis releases' ;;
    esac
    if [ "${#list_signature}" -ne 100 ] || [ "${#both_signature}" -ne 88 ] || [ -n "$rest" ]; then
        not_signed 'SHA256SUMS.minisig is incomplete'
    fi
    if [ "$signed_comment" != "trusted comment: $comment" ]; then
        printf '%s' "${signed_comment#trusted comment: }" >"$work/said"
        read_cause
        not_signed "it is for \`$cause\`, expected \`$comment\`"
    fi
}

# minisign's check by openssl: Ed25519 over the BLAKE2b-512 digest of the list, then over that
# signature followed by the comment. A key is 2 bytes of algorithm, 8 of its number and 32 of
# key; a signature is 2, 8 and 64.
verify_with_openssl() {
    decode "$key" key
    decode "$list_signature" first
    decode "$both_signature" both.sig
    if [ "$(number_of key)" != "$(number_of first)" ]; then
        not_signed 'it was made with another key'
    fi
    {
        # The DER header of an Ed25519 public key (RFC 8410).
        printf '\060\052\060\005\006\003\053\145\160\003\041\000'
        tail -c +11 "$work/key"
    } >"$work/key.der"
    tail -c +11 "$work/first" >"$work/list.sig"
    "$openssl" dgst -blake2b512 -binary "$sums" >"$work/list"
    {
        cat "$work/list.sig"
        printf '%s' "$comment"
    } >"$work/both"
    check list || not_signed 'SHA256SUMS does not match its signature'
    check both || not_signed 'its trusted comment does not match its signature'
}

# decode BASE64 NAME
decode() {
    printf '%s\n' "$1" | "$openssl" base64 -d -A >"$work/$2"
}

number_of() {
    dd if="$work/$1" bs=1 skip=2 count=8 2>/dev/null | "$openssl" base64 -A
}

# check NAME: whether NAME.sig is the key's signature of NAME.
check() {
    "$openssl" pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin \
        -in "$work/$1" -sigfile "$work/$1.sig" >/dev/null 2>&1
}

# The only checksum of the archive. Two would be ambiguous.
find_checksum() {
    expected=''
    lines=0
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        *"  $archive")
            expected=${line%"  $archive"}
            lines=$((lines + 1))
            ;;
        esac
    done <"$sums"
    case $expected in
    *[!0-9a-f]*) lines=0 ;;
    esac
    if [ "$lines" -ne 1 ] || [ "${#expected}" -ne 64 ]; then
        fail "SHA256SUMS does not have exactly one checksum for $archive" \
            "hint: report it at $repository/issues"
    fi
}

verify_archive() {
    # shellcheck disable=SC2086 # a program and its arguments
    actual=$($hasher <"$work/$archive")
    actual=${actual%% *}
    if [ "$actual" != "$expected" ]; then
        fail "$archive is not the file that was released" \
            "caused by: its SHA-256 is $actual, expected $expected" \
            'hint: run this again; if the error persists, the download was tampered with'
    fi
    printf 'verified the checksum of %s\n' "$archive" >&2
}

# Extracts only the files to install, each by its exact path.
unpack() {
    set -- "$top/polis"
    if [ -n "$extras" ]; then
        set -- "$@" "$top/completions/polis.bash" "$top/completions/polis.fish" "$top/completions/_polis"
        for page in $pages; do
            set -- "$@" "$top/man/$page"
        done
    fi
    tar -xzf "$work/$archive" -C "$work" "$@" 2>"$work/said" || {
        read_cause
        fail "cannot unpack $archive" "caused by: ${cause:-tar failed}" \
            "hint: make space in ${TMPDIR:-/tmp}, or set TMPDIR to another directory"
    }
    for file in "$@"; do
        if [ -L "$work/$top" ] || [ -L "$work/$file" ] || [ ! -f "$work/$file" ]; then
            fail "$file in $archive is not a file" "hint: report it at $repository/issues"
        fi
    done
}

# Writes the program beside the old one, and runs it once before it replaces the old one.
install_program() {
    { cp "$work/$top/polis" "$staged" && chmod 755 "$staged"; } 2>"$work/said" || {
        read_cause
        fail "cannot write to $dir" "caused by: $cause" \
            'hint: make space, or set POLIS_INSTALL_DIR to another directory'
    }
    code=0
    "$staged" --version >"$work/said" 2>&1 || code=$?
    read_cause
    if [ "$code" -ne 0 ]; then
        fail 'the program does not run on this machine' \
            "caused by: polis --version exited with code $code${cause:+: $cause}" \
            "hint: report it at $repository/issues, with the output of uname -a"
    fi
    if [ "$cause" != "polis $label" ]; then
        fail "$archive contains another program" "caused by: its version is \`$cause\`, expected \`polis $label\`" \
            "hint: report it at $repository/issues"
    fi
    mv -f "$staged" "$dir/polis" 2>"$work/said" || {
        read_cause
        fail "cannot replace $dir/polis" "caused by: $cause"
    }
    staged=''
}

# polis is installed at this point, so failures are only warnings.
install_extras() {
    if [ -z "$extras" ]; then return; fi
    for page in $pages; do
        place "man/$page" "man/man1/$page"
    done
    place completions/polis.bash bash-completion/completions/polis
    place completions/polis.fish fish/vendor_completions.d/polis.fish
    place completions/_polis zsh/site-functions/_polis
}

# place FILE-OF-THE-ARCHIVE PATH-BELOW-THE-DATA-DIRECTORY
place() {
    to=$extras/$2
    if ! { mkdir -p "${to%/*}" && cp "$work/$top/$1" "$to.new" && chmod 644 "$to.new" && mv -f "$to.new" "$to"; } 2>/dev/null; then
        rm -f "$to.new" 2>/dev/null || :
        printf 'warning: cannot write %s\n' "$to" >&2
    fi
}

say_next() {
    printf 'installed polis %s in %s\n' "$label" "$dir"
    printf 'next:\n'
    case ":$PATH:" in
    *":$dir:"*)
        found=$(command -v polis || :)
        if [ "$found" != "$dir/polis" ]; then
            printf '  put %s before %s on PATH: another polis is found first\n' "$dir" "${found%/*}"
        fi
        ;;
    *)
        if [ -n "$extras" ]; then
            # shellcheck disable=SC2016 # for the user's shell to expand
            printf '  export PATH="$HOME/.local/bin:$PATH"   # and put this line into ~/.profile\n'
        else
            printf '  put %s on PATH\n' "$dir"
        fi
        ;;
    esac
    printf '  polis doctor   # check what is missing on this machine\n'
    printf '  polis start    # start the workspace\n'
}

main "$@"
}
