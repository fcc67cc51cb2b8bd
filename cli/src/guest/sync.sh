# Runs in the workspace, as its user: the workspace's end of `polis sync`. The state of the last sync is the commit `base` in a
# repository beside the directory; a `.git` in the directory itself is never read. Arguments: the operation, the directory, the
# repository's name, a commit. Exits with 20 if the directory has changes that this machine lacks, with 21 if it exists but was
# not synced, with 22 if it was not synced.
set -uo pipefail
fail() {
  printf '%s\n' "$2" >&2
  exit "$1"
}
verb=$1 tree=$HOME/$2 repo=$HOME/.polis-sync/$3.git
g() {
  git --git-dir="$repo" --work-tree="$tree" -c user.name=polis -c user.email=polis@localhost -c core.excludesFile=/dev/null "$@"
}
commit() { g rev-parse --quiet --verify "refs/polis/$1^{commit}" >/dev/null; }
now() { g add --all . >&2 && g write-tree; }
case $verb in
  ready)
    [[ -d $repo ]] || git init --quiet --bare --template= "$repo" || exit 23
    mkdir -p "$repo/info" && echo '* !text !eol !ident !filter !working-tree-encoding !diff !merge' >"$repo/info/attributes"
    ;;
  take)
    if ! commit base && [[ -n $(ls -A "$tree" 2>/dev/null) ]]; then fail 21 'it is in the workspace already, and was not synced'; fi
    mkdir -p "$tree" && cd "$tree" || exit 23
    if commit base; then
      found=$(now) || exit 23
      if [[ $found != "$(g rev-parse 'refs/polis/base^{tree}')" && $found != "$(g rev-parse 'refs/polis/new^{tree}')" ]]; then
        fail 20 'it has changes in the workspace'
      fi
    fi
    g read-tree --reset -u refs/polis/new && g update-ref refs/polis/base refs/polis/new
    ;;
  merge)
    # Keeps what has changed only here, and takes what has changed only there. What has changed on both sides stays, is printed, and
    # counts as not synced. Git overwrites nothing that changes meanwhile.
    commit base && cd "$tree" || fail 22 'it is not in the workspace'
    found=$(now) && g read-tree -m -u --aggressive refs/polis/base "$found" refs/polis/new || exit 23
    mapfile -d '' -t left < <(g diff --name-only --diff-filter=U -z)
    g read-tree refs/polis/new || exit 23
    if ((${#left[@]})); then
      printf '%s\0' "${left[@]}"
      g --literal-pathspecs reset --quiet refs/polis/base -- "${left[@]}" >&2 || exit 23
    fi
    found=$(g write-tree) && made=$(g commit-tree -m base "$found") && g update-ref refs/polis/base "$made"
    ;;
  changed)
    commit base && cd "$tree" || fail 22 'it is not in the workspace'
    found=$(now) && g diff --no-renames --name-only -z refs/polis/base "$found" | tr -cd '\0' | wc -c
    ;;
  give)
    commit base && cd "$tree" || fail 22 'it is not in the workspace'
    found=$(now) && made=$(g commit-tree -p refs/polis/base -m work "$found") && g update-ref refs/polis/work "$made"
    ;;
  applied) g update-ref refs/polis/base "$4" ;;
esac
