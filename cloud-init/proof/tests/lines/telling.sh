# shellcheck shell=bash disable=SC2034,SC2154,SC2016,SC2153,SC2317,SC2329
# The script's messages, and the code that runs its steps.

case_say() {
  run say a "b c"
  is "$OUT" "polis-provision: a b c"
  is "$(cat "$top/said")" "polis-provision: a b c"
}

case_die() {
  ends 1 die all over
  is "$OUT" "polis-provision: error: all over"
  is "$( (trap 'printf %s "$MESSAGE"' EXIT; die all over) 2>/dev/null || true)" "all over"
}

case_json_string() {
  is "$(json_string $'a"b\\c\td\ne\xc3\xa9')" '"a\"b\\c d e  "'
}

case_replace_file() {
  printf new | replace_file "$top/file" 0640
  is "$(cat "$top/file") $(stat --format=%a "$top/file") $(echo "$top"/file*)" "new 640 $top/file"
  mkdir "$top/directory"
  set +e
  (replace_file "$top/directory" 0644 </dev/null) 2>/dev/null && fail "a directory was replaced"
  set -e
}

# 40 lines of an earlier run, and 40 of this one.
a_log() {
  seq 1 40 >"$LOG"
  LOG_OFFSET=$(stat --format=%s "$LOG")
  seq 101 140 >>"$LOG"
}

case_report_json() {
  a_log
  STEP=yq MESSAGE='no "yq"' DIGEST=abc SECONDS=70
  STEP_STATE=([docker-repo]="done" [yq]=failed) STEP_SECONDS=([docker-repo]=7)
  local report
  report=$(report_json failed 3)
  is "$(jq -c '[.status, .step, .exit_code, .message, .user_data_sha256, .started, .seconds]' <<<"$report")" \
    "[\"failed\",\"yq\",3,\"no \\\"yq\\\"\",\"abc\",\"$STARTED\",70]"
  is "$(jq -r '.steps[] | "\(.name) \(.state) \(.seconds)"' <<<"$report")" \
    "$(printf '%s\n' 'docker-repo done 7' 'docker-engine pending 0' 'sysbox pending 0' 'yq failed 0' 'polis-unit pending 0' \
      'hardening pending 0' 'ready pending 0')"
  is "$(jq -r '.log_tail[]' <<<"$report")" "$(seq 111 140)"
  [[ $STARTED =~ ^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$ ]] || fail "$STARTED"
}

case_end_step() {
  STEP=sysbox SECONDS=50 STEP_START=8
  end_step 'done' >/dev/null
  is "${STEP_STATE[sysbox]} ${STEP_SECONDS[sysbox]} $(cat "$top/said")" "done 42 polis-provision: step sysbox done 42"
}

case_timing_table() {
  STEP_STATE=([yq]="done") STEP_SECONDS=([yq]=7) SECONDS=9
  timing_table >/dev/null
  is "$(sed -n '3,4p;8p' "$top/said")" "polis-provision: time sysbox         pending      0
polis-provision: time yq             done         7
polis-provision: time total                       9"
  is "$(wc -l <"$top/said")" 8
}

case_on_error() {
  MESSAGE=""
  set +e
  (trap 'on_error 7 "a b"; printf "%s" "$MESSAGE"; exit' ERR; (exit 5)) >"$top/out" 2>"$top/err"
  (MESSAGE=known; trap 'on_error 7 x; printf "%s" "$MESSAGE"; exit' ERR; false) >"$top/known" 2>/dev/null
  set -e
  is "$(cat "$top/out")" "line 7: 'a b' failed with exit code 5"
  is "$(cat "$top/err")" "polis-provision: line 7: a b: exit code 5"
  is "$(cat "$top/known")" known
}

# Replaces the steps: each creates a file, and one of them runs the command in `wrong`.
fake_steps() {
  local step function
  for step in "${STEPS[@]}"; do
    function=${step//-/_}
    eval "have_$function() { [[ -e $top/did-$step ]]; }
          do_$function() { if [[ \${wrong_step:-} == $step ]]; then \$wrong; fi; : >$top/did-$step; }"
  done
  do_ready() { : >"$top/did-ready"; printf '{"now": 1}\n' >"$MARKER"; }
  preflight() { note preflight; ${before:-:}; }
  installed() { is "$*" "${DOCKER_PACKAGES[*]}"; ${docker_is_there:-true}; }
  start_downloads() { note downloads; ${meanwhile:-:}; }
}

# Runs the whole script; sets STATUS to its exit code, and writes its output to `out` and `err`.
run_main() {
  set +e
  (set -Ee; main) >"$top/out" 2>"$top/err"
  STATUS=$?
  set -e
}

case_main_does_all() {
  fake_steps
  local step
  mkdir -p "$WORK/old"
  echo old >"$REPORT"
  inside() {
    [[ ! -e $REPORT && ! -e $WORK/old ]] || fail "files of an earlier run were kept"
    is "$(stat --format=%a "$STATE" "$WORK" | tr '\n' ' ')" "755 755 "
    is "$LC_ALL $HOME $DEBIAN_FRONTEND $NEEDRESTART_SUSPEND" "C /root noninteractive 1"
    is "$(env | grep -c -E '^(LC_ALL|HOME|DEBIAN_FRONTEND|NEEDRESTART_SUSPEND)=')" 4
  }
  chmod 0700 "$STATE"
  before=inside
  unset HOME DEBIAN_FRONTEND NEEDRESTART_SUSPEND
  LC_ALL=C.UTF-8
  umask 077
  run_main
  is "$STATUS $(cat "$top/err")" "0 "
  is "$(sed -n '1,14p' "$top/out")" \
    "$(for step in "${STEPS[@]}"; do printf 'polis-provision: step %s\n' "$step start 0" "$step done 0"; done)"
  is "$(sed -n '15,$p' "$top/out" | tr -s ' ')" "$(for step in "${STEPS[@]}"; do
    echo "polis-provision: time $step done 0"
  done)
polis-provision: time total 0"
  cmp "$top/out" "$LOG"
  is "$(called)" "preflight
downloads"
  is "$(jq -r .status "$REPORT") $(jq -r '.steps[].state' "$REPORT" | sort | uniq -c | tr -s ' ')" "done  7 done"
  is "$(stat --format=%a "$REPORT" "$top/did-yq" | tr '\n' ' ')$(ls "$STATE")" "644 644 lock
provision.json
provisioned.json"
  # Otherwise, the downloads start with the step that installs Docker.
  docker_is_there=false
  run_main
  is "$(called)" "preflight"
}

case_main_skips_all() {
  fake_steps
  local step
  for step in "${STEPS[@]}"; do : >"$top/did-$step"; done
  echo mine >"$MARKER"
  run_main
  is "$(grep -c ' skipped 0$' "$top/out") $(grep -c start "$top/out" || true) $(cat "$MARKER")" "7 0 mine"
  is "$(jq -r '.steps[].state' "$REPORT" | sort -u)" skipped
  echo again >>"$top/did-yq"
  rm "$top/did-yq"
  run_main
  is "$(jq -r '[.steps[].state] | join(" ")' "$REPORT")" "skipped skipped skipped done skipped skipped skipped"
}

broken_command() {
  echo noise
  [[ ! -e $MARKER ]] || echo "the marker exists"
  touch "$WORK/leftover"
  (exit 7)
}

case_main_fails_in_a_step() {
  fake_steps
  wrong_step=sysbox wrong=broken_command
  echo before >"$LOG"
  : >"$MARKER"
  # A running download with a child process.
  meanwhile=busy
  busy() {
    set -m
    # It takes a while to stop, and even then leaves a file.
    (trap 'command sleep 0.5; mkdir -p "$WORK"; exit' TERM; command sleep 50 & wait) &
    DOWNLOAD[yq]=$!
    echo $! >"$top/group"
    set +m
  }
  run_main
  is "$STATUS $(jq -r '"\(.status) \(.step) \(.exit_code)"' "$REPORT")" "7 failed sysbox 7"
  is "$(jq -r .message "$REPORT" | sed 's/[0-9]*:/N:/')" "line N: '( exit 7 )' failed with exit code 7"
  is "$(jq -r '[.steps[].state] | join(" ")' "$REPORT")" "done done failed pending pending pending pending"
  is "$(jq -r '.log_tail[]' "$REPORT" | grep -c -e noise -e before -e 'the marker')" 1
  # A signal takes a moment to arrive, and a process without a waiting parent may remain as a zombie.
  local try
  for try in $(seq 60); do
    pgrep --runstates D,R,S,T --pgroup "$(cat "$top/group")" >/dev/null || break
    ((try < 60)) || fail "a download is still running"
    command sleep 0.05
  done
  # Check this only now: the download's last file exists if the script did not wait for its end.
  [[ ! -e $MARKER && ! -e $WORK && ! -e $top/did-yq ]] || fail "left behind: $(ls "$STATE" "$top")"
  grep -qx 'polis-provision: log: noise' "$top/out" || fail "$(cat "$top/out")"
  ! grep -q 'log: before' "$top/out" || fail "$(cat "$top/out")"
  is "$(tail -n 1 "$top/out" | sed 's/line [0-9]*/line N/')" \
    "polis-provision: failed in step sysbox: line N: '( exit 7 )' failed with exit code 7 (exit code 7; the whole log is $LOG)"
  is "$(tail -n 2 "$top/out" | head -n 1 | cut -c1-27) $(grep -c 'step sysbox failed' "$top/out")" "polis-provision: time total 1"
}

# The lines of a long log that are copied to cloud-init's output.
case_main_prints_the_end_of_the_log() {
  fake_steps
  wrong_step=yq wrong=long
  long() { seq 1 60; false; }
  run_main
  is "$(grep -c '^polis-provision: log: ' "$top/out") $(grep -c '^polis-provision: log: 60$' "$top/out")" "30 1"
}

# Even if reporting a failure partly fails, the rest is reported.
case_main_fails_without_its_log() {
  fake_steps
  wrong_step=yq wrong=lose
  lose() { rm "$LOG"; exit 9; }
  run_main
  is "$STATUS $(jq -r '"\(.status) \(.step)\(.message)"' "$REPORT") $(grep -c 'failed in step yq' "$top/out")" "9 failed yq 1"
}

case_main_fails_before_its_steps() {
  fake_steps
  before=broken_command
  : >"$MARKER"
  run_main
  is "$STATUS $(jq -r .step "$REPORT")" "7 preflight"
  [[ ! -e $MARKER ]] || fail "the marker exists"
}

# The last step has written the report, with its own time.
case_main_leaves_the_report_of_the_last_step() {
  fake_steps
  do_ready() { : >"$top/did-ready"; echo mine >"$REPORT"; }
  run_main
  is "$STATUS $(cat "$REPORT")" "0 mine"
}

case_main_wants_the_end_state() {
  fake_steps
  have_yq() { false; }
  run_main
  is "$(jq -r '"\(.step): \(.message)"' "$REPORT")" "yq: the commands of yq succeeded, but its end state was not reached"
}

case_main_is_stopped() {
  fake_steps
  wrong_step=yq wrong=stopped
  stopped() { kill -"$signal" "$BASHPID"; command sleep 5; }
  local signal
  for signal in HUP:129 INT:130 TERM:143; do
    local code=${signal#*:}
    signal=${signal%:*}
    run_main
    is "$STATUS $(jq -r .message "$REPORT")" "$code stopped by SIG$signal"
  done
}

case_main_runs_once_at_a_time() {
  fake_steps
  exec 8>"$STATE/lock"
  flock 8
  : >"$REPORT"
  ends 75 main
  is "$OUT$(cat "$top/calls" "$REPORT")" "polis-provision: another run is in progress"
}

case_main_is_for_root() {
  fake_steps
  chmod -R a+rwX "$top"
  set +e
  OUT=$(setpriv --reuid=65534 --regid=65534 --clear-groups bash -c ". $top/script; main" 2>&1)
  STATUS=$?
  set -e
  is "$STATUS $OUT" "1 polis-provision: must run as root"
}
