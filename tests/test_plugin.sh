#!/usr/bin/env bash
# tests/test_plugin.sh: rewards that are other people's programs: as `hone reward check` sees
# them, and in real runs, where each kind of fault costs one group its verdicts and no more.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
rewards=$top/experiments/rewards
faulty=$top/tests/plugins/faulty.py
: "${CC:=cc}"

build() { "$CC" -O2 -Wall -fPIC -shared -fvisibility=hidden -iquote "$top" -iquote "$top/reward" "$1" -o "$2"; }
build "$rewards/digits.c" digits.so || echo "Bail out! cannot build digits.so"
build "$top/tests/plugins/faulty.c" faulty.so || echo "Bail out! cannot build faulty.so"

# --- hone reward check --------------------------------------------------------------------

fault_check() { "$HONE" reward check ./faulty.so --timeout 0.3 --options "{\"fault\":\"$1\",\"marker\":\"\"}"; }

t "a sound shared object passes" 0 '^all 9 tests passed$' "$HONE" reward check ./digits.so
t "its options are handed over" 0 '^all 9 tests passed$' \
    "$HONE" reward check ./digits.so --options '{"enough": 0.5}'
t "what it says of its options is shown" 69 'options: the only one is enough' \
    "$HONE" reward check ./digits.so --options '{"enough": 7}'
t "a file that is no shared object" 69 'load the plug-in: .*invalid ELF header' \
    "$HONE" reward check "$rewards/digits.c"
t "check finds a crash" 70 'killed by signal 11' fault_check segv
t "check finds a hang" 70 'no answer within 0.3 s' fault_check hang
t "check finds a NaN" 70 'its score is not a number' fault_check nan
t "check finds a write before a result" 70 'it wrote before its result' fault_check before
t "check finds a write past a result" 70 'killed by signal 11' fault_check past
t "check finds a sample without verdict" 70 'left the sample without a verdict' fault_check unset

# --- in a run: 3 steps of 3 groups of 4 ------------------------------------------------------

verdicts() {
    sqlite3 "$1/run.db" "SELECT group_concat(said, '; ') FROM (
        SELECT count(*) || ' ' || status || CASE detail WHEN '' THEN '' ELSE ': ' || detail END said
          FROM verdicts WHERE checker = 'mine' GROUP BY status, detail ORDER BY count(*) DESC)"
}

# run NAME ENTRY [ARGUMENT]...: one plug-in beside the answer's checker; prints what the database says of
# its verdicts, and then what the run said. Ends with the run's status.
run() {
    local rc=0 name=$1 entry=$2
    shift 2
    "$HONE" train "$tiny" --out "$name" --threads 2 --set sft.max_steps=1 \
        --set grpo.max_steps=3 --set eval.samples=0 --set 'problems.eval=""' \
        --set checkpoint.save_steps=0 --set "reward.checkers=[{\"checker\":\"answer\"},{$entry}]" \
        "$@" >"$name.txt" 2>&1 || rc=$?
    verdicts "$name"
    cat "$name.txt"
    return $rc
}

# The timeout: long, so that a busy machine makes no faults of its own, but where the
# fault takes it.
patience() {
    case $1-$2 in
        hang-) echo 0.3 ;;
        hang-* | half-* | slow-* | trickle-*) echo 1 ;;
        *) echo 60 ;;
    esac
}

# FAULT, and a file that one group of the run makes; without it all groups have the fault.
shared_object() {
    run "so-$1-${2+always}" "\"name\":\"mine\",\"plugin\":\"./faulty.so\",\"timeout\":$(patience "$1" "${2-once}"),\"options\":{\"fault\":\"$1\",\"marker\":\"${2-so-$1.once}\"}"
}
program() {
    run "program-$1-${2+always}" "\"name\":\"mine\",\"command\":[\"python3\",\"$faulty\",\"$1\",\"${2-program-$1.once}\"],\"timeout\":$(patience "$1" once)"
}

t "a shared object scores a run" 0 '^36 ok$' shared_object sound
t "not scorable is no failure" 0 '^35 ok; 1 not_scorable$' shared_object none
for fault in segv:'4 crashed: it went away: killed by signal 11 \(Segmentation fault\)' \
    past:'4 crashed: it went away: killed by signal 11 \(Segmentation fault\)' \
    abort:'4 crashed: it went away: killed by signal 6 \(Aborted\)' \
    exit:'4 crashed: it went away: exit status 0' \
    hang:'4 timeout: no answer within 1 s' \
    streams:'4 crashed: it went away: .*' \
    error:'4 crashed: no dictionary today' \
    nan:'1 crashed: its score is not a number' \
    range:'1 crashed: score 1.5 is outside of 0 to 1: min_value, max_value' \
    unset:'1 crashed: it left the sample without a verdict' \
    status:'1 crashed: it left an unknown status' \
    before:'1 crashed: it wrote before its result' \
    reason:'1 crashed: its reason is no UTF-8 text' \
    parts:'1 crashed: it left more than 8 parts' undecided:'1 undecided'; do
    n_ok=$((36 - $(cut -d: -f2 <<<"$fault" | cut -d' ' -f1)))
    t "a shared object, once: ${fault%%:*}" 0 "^$n_ok ok; ${fault#*:}$" shared_object "${fault%%:*}"
done
t "failures are on the progress line" 0 '^grpo .* 4 failed' cat so-segv-.txt
t "one that always crashes stops the run" 70 \
    "^hone train: .*'mine' failed on 12 of .*max_failure_rate" shared_object segv ""
t "so does one that always hangs" 70 "^12 timeout: no answer within 0.3 s$" shared_object hang ""
t "one that cannot start stops it before the first step" 69 'its create function failed' \
    shared_object create ""
t "a missing shared object" 69 'cannot open shared object' \
    run missing '"name":"mine","plugin":"./none.so"'

t "a program scores a run" 0 '^36 ok$' program sound
for fault in segv:'4 crashed: it went away: killed by signal 11 \(Segmentation fault\)' \
    exit:'4 crashed: it went away: exit status 3' \
    hang:'4 timeout: no answer within 1 s' half:'4 timeout: no answer within 1 s' \
    close:'4 crashed: it went away: it closed its output' \
    flood:'4 limit: its answer has no end' \
    garbage:'4 crashed: answer:1:1: .*' nan:'4 crashed: answer:1:[0-9]+: .*' \
    bytes:'4 crashed: the answer is not UTF-8' deep:'4 crashed: answer:1:.*' \
    count:'4 crashed: it has 3 results for 4 samples' \
    id:'4 crashed: it answers request [0-9], asked was [0-9]' \
    error:'4 crashed: no dictionary today' \
    twice:'4 crashed: it answers request [0-9], asked was [0-9]' \
    word:'1 crashed: an ok result without a number as score' \
    range:'1 crashed: score -3 is outside of 0 to 1: min_value, max_value' \
    status:'1 crashed: "status" is none of .*' null:'1 not_scorable'; do
    n_ok=$((36 - $(cut -d: -f2 <<<"$fault" | cut -d' ' -f1)))
    t "a program, once: ${fault%%:*}" 0 "^$n_ok ok; ${fault#*:}$" program "${fault%%:*}"
done
t "a program that always talks nonsense stops the run" 70 \
    "^hone train: .*'mine' failed on 12 of .*max_failure_rate" program garbage ""
t "a program that is not there" 69 'start ./none: No such file' \
    run missing '"name":"mine","command":["./none"]'

# --- servers ------------------------------------------------------------------------------

# serve FAULT MARKER COMMAND...: with `port` set to where a server with the fault listens,
# which is started again whenever it ends while the file `again` is there.
serve() {
    local fault=$1 marker=$2 rc=0 server
    shift 2
    rm -f port.txt
    (
        trap 'kill "$child" 2>/dev/null; exit' TERM
        while :; do
            python3 "$faulty" --serve port.txt "$fault" "$marker" &
            child=$!
            wait "$child"
            [ -e again ] || break
        done
    ) &
    server=$!
    for _ in $(seq 1200); do
        [ -s port.txt ] && break
        sleep 0.05
    done
    port=$(cat port.txt)
    "$@" || rc=$?
    kill "$server" 2>/dev/null
    wait "$server"
    return $rc
}
# FAULT MARKER RETRIES
server() {
    serve "$1" "$2" server_run "$1" "$2" "${3:-2}"
}
server_run() {
    run "server-$1-$2-$3" "\"name\":\"mine\",\"url\":\"http://127.0.0.1:$port/score\",\"timeout\":$(patience "$1" "$2"),\"retries\":$3"
}

t "a server scores a run" 0 '^36 ok$' server sound sound.once
for fault in 500:'4 crashed: HTTP 500' 404:'4 crashed: HTTP 404' 302:'4 crashed: HTTP 302' \
    slow:'4 timeout: no answer within 1 s' trickle:'4 timeout: no answer within 1 s' \
    flood:'4 limit: its answer has no end' garbage:'4 crashed: answer:1:1: .*' \
    nan:'4 crashed: answer:1:[0-9]+: .*' range:'1 crashed: score -3 is outside .*'; do
    n_ok=$((36 - $(cut -d: -f2 <<<"$fault" | cut -d' ' -f1)))
    t "a server, once: ${fault%%:*}" 0 "^$n_ok ok; ${fault#*:}$" \
        server "${fault%%:*}" "server-${fault%%:*}.once" 0
done
t "one 500 is nothing where it is tried again" 0 '^36 ok$' server 500 500.again
t "one 429 neither" 0 '^36 ok$' server 429 429.again
t "one answer that never came neither" 0 '^36 ok$' server hangup hangup.again
t "a server that answers 500 only stops the run" 70 \
    "^12 crashed: HTTP 500, also when tried again$" server 500 "" 1
t "and says why" 70 "^hone train: .*'mine' failed on 12 of .*max_failure_rate" server 500 "" 0
t "a server that disappears stops the run" 70 "(1?[0-9] ok; )?1?[0-9] crashed: .*onnect" \
    server vanish vanish.once 1
touch again
t "a server that comes back costs nothing" 0 '^36 ok$' server vanish vanish.again 10
rm again
t "no server" 69 "http://127.0.0.1:1/score does not say hello: .*onnect" \
    run missing '"name":"mine","url":"http://127.0.0.1:1/score","retries":0'

# --- going on -----------------------------------------------------------------------------

# A program whose fault is mended after the run stopped: what was recorded is not asked again.
cat >mended.sh <<'END'
#!/bin/sh
[ -e mended.now ] && exec python3 "$1" sound
exec python3 "$1" exit
END
chmod +x mended.sh
mended() { run mended "\"name\":\"mine\",\"command\":[\"./mended.sh\",\"$faulty\"]" "$@"; }
t "a run that was stopped" 70 '^12 crashed: it went away: exit status 3$' mended
touch mended.now
t "stays so" 70 'the reward .mine. failed on 12 of its last 12' mended
t "goes on where it was, and keeps what was recorded" 0 \
    '^24 ok; 12 crashed: it went away: exit status 3$' \
    mended --set reward.max_failure_rate=1
finish
