#!/usr/bin/env bash
# tests/test_plugin.sh: rewards that are other people's programs, in real runs: each kind of
# fault costs one group its verdicts and no more, and stops the run where it is all there is.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
faulty=$top/tests/plugins/faulty.py
: "${CC:=cc}"
# a worker that crashes dies by the signal under the address sanitizer too
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:handle_segv=0

"$CC" -O2 -Wall -fPIC -shared -fvisibility=hidden -iquote "$top" "$top/tests/plugins/faulty.c" \
    -o faulty.so || echo "Bail out! cannot build faulty.so"

# --- runs: 3 steps of 3 groups of 4 ----------------------------------------------------------

# run NAME ENTRIES [ARGUMENT]...: plug-ins beside the answer's checker; prints what the database
# says of the verdicts of each (also into NAME.said), then what the run said. Ends as the run.
run() {
    local rc=0 name=$1 entries=$2
    shift 2
    "$HONE" train "$tiny" --out "$name" --threads 2 --set sft.max_steps=1 \
        --set grpo.max_steps=3 --set eval.samples=0 --set 'problems.eval=""' \
        --set checkpoint.save_steps=0 --set "reward.checkers=[{\"checker\":\"answer\"},$entries]" \
        "$@" >"$name.txt" 2>&1 || rc=$?
    sqlite3 "$name/run.db" "
        SELECT checker || ': ' || group_concat(said, '; ') FROM (
            SELECT checker, count(*) || ' ' || status ||
                   CASE detail WHEN '' THEN '' ELSE ': ' || detail END AS said
              FROM verdicts WHERE checker <> 'answer'
             GROUP BY checker, status, detail ORDER BY checker, count(*) DESC)
         GROUP BY checker" >"$name.said"
    cat "$name.said" "$name.txt"
    return $rc
}

# The entry of each kind for a FAULT in one group, or in all (a second argument). The timeout
# is long, so that a busy machine makes no faults of its own, but where the fault takes it.
patience() {
    case $1-$2 in
        hang-all | slow-all) echo 0.3 ;;
        hang-* | half-* | slow-* | trickle-*) echo 1 ;;
        *) echo 60 ;;
    esac
}
marker() { [ "$2" = all ] || echo "$1.once"; }
of_so() {
    echo "{\"name\":\"$1\",\"plugin\":\"./faulty.so\",\"timeout\":$(patience "$1" "$2"),
        \"options\":{\"fault\":\"$1\",\"marker\":\"$(marker "so-$1" "$2")\"}}"
}
of_program() {
    echo "{\"name\":\"$1\",\"command\":[\"python3\",\"$faulty\",\"$1\",
        \"$(marker "program-$1" "$2")\"],\"timeout\":$(patience "$1" "$2")}"
}
of_server() {
    echo "{\"name\":\"$1\",\"url\":\"http://127.0.0.1:$port/$1/$(marker "server-$1" "$2")\",
        \"timeout\":$(patience "$1" "$2"),\"retries\":${3:-0}}"
}

# faults KIND FAULT:VERDICTS...: as many at once as an experiment may list, each in one group of
# a run; VERDICTS are those of them that are not ok.
faults() {
    local kind=$1 name here entries fault n_bad
    shift
    while [ $# -gt 0 ]; do
        here=("${@:1:7}") name=$kind-${1%%:*}
        shift ${#here[@]}
        entries=$(for fault in "${here[@]}"; do "of_$kind" "${fault%%:*}" once && echo ,; done)
        t "a run with ${#here[@]} faults of $kind" 0 '^4 steps in ' run "$name" "${entries%,}"
        for fault in "${here[@]}"; do
            n_bad=${fault#*:} n_bad=${n_bad%% *}
            t "$kind, once: ${fault%%:*}" 0 "^${fault%%:*}: $((36 - n_bad)) ok; ${fault#*:}$" \
                cat "$name.said"
        done
    done
}
# stops KIND FAULT VERDICTS: one that always has the fault stops the run in its first step.
stops() {
    t "$1, always: $2" 70 "^hone train: .*'$2' failed on 12 of .*max_failure_rate" \
        run "$1-$2-all" "$("of_$1" "$2" all)"
    t "and each sample has its status" 0 "^$2: $3$" cat "$1-$2-all.said"
}

# --- shared objects ---------------------------------------------------------------------------

segv='crashed: it went away: killed by signal 11 \(Segmentation fault\)'
faults so "segv:4 $segv" "past:4 $segv" 'abort:4 crashed: .* killed by signal 6 \(Aborted\)' \
    'exit:4 crashed: it went away: exit status 0' 'hang:4 timeout: no answer within 1 s' \
    'streams:4 crashed: it went away: .*' 'error:4 crashed: no dictionary today' \
    'nan:1 crashed: its score is not a number' \
    'range:1 crashed: score 1.5 is outside of 0 to 1: min_value, max_value' \
    'unset:1 crashed: it left the sample without a verdict' \
    'status:1 crashed: it left an unknown status' \
    'before:1 crashed: it wrote before its result' \
    'reason:1 crashed: its reason is no UTF-8 text' \
    'parts:1 crashed: it left more than 8 parts' 'undecided:1 undecided' 'none:1 not_scorable'
t "failures are on the progress line" 0 '^grpo .* [0-9]+ failed' cat so-segv.txt
stops so segv "12 $segv"
stops so past "12 $segv"
stops so hang '12 timeout: no answer within 0.3 s'
stops so nan '12 crashed: its score is not a number'
t "one that cannot start stops it before the first step" 69 'its create function failed' \
    run create "$(of_so create all)"
t "a missing shared object" 69 'cannot open shared object' run missing '{"plugin":"./none.so"}'

# --- programs ---------------------------------------------------------------------------------

faults program 'segv:4 crashed: it went away: killed by signal 11 \(Segmentation fault\)' \
    'exit:4 crashed: it went away: exit status 3' 'hang:4 timeout: no answer within 1 s' \
    'half:4 timeout: no answer within 1 s' \
    'close:4 crashed: it went away: it closed its output' \
    'flood:4 limit: its answer has no end' 'garbage:4 crashed: answer:1:1: .*' \
    'nan:4 crashed: answer:1:[0-9]+: .*' 'bytes:4 crashed: the answer is not UTF-8' \
    'deep:4 crashed: answer:1:.*' 'count:4 crashed: it has 3 results for 4 samples' \
    'id:4 crashed: it answers request [0-9], asked was [0-9]' \
    'error:4 crashed: no dictionary today' \
    'twice:4 crashed: it answers request [0-9], asked was [0-9]' \
    'word:1 crashed: an ok result without a number as score' \
    'range:1 crashed: score -3 is outside of 0 to 1: min_value, max_value' \
    'status:1 crashed: "status" is none of .*' 'null:1 not_scorable'
stops program segv "12 $segv"
stops program hang '12 timeout: no answer within 0.3 s'
stops program garbage '12 crashed: answer:1:1: .*'
stops program nan '12 crashed: answer:1:[0-9]+: .*'
t "a program that is not there" 69 'start ./none: No such file' \
    run missing '{"command":["./none"]}'

# --- servers ----------------------------------------------------------------------------------

# serve COMMAND...: with `port` set to where a server listens, which is started again whenever it
# ends while the file `again` is there.
serve() {
    local rc=0 server
    rm -f port.txt
    (
        trap 'kill "$child" 2>/dev/null; exit' TERM
        while :; do
            python3 "$faulty" --serve port.txt &
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

all_servers() {
    faults server '500:4 crashed: HTTP 500' '404:4 crashed: HTTP 404' '302:4 crashed: HTTP 302' \
        'slow:4 timeout: no answer within 1 s' 'trickle:4 timeout: no answer within 1 s' \
        'flood:4 limit: its answer has no end' 'garbage:4 crashed: answer:1:1: .*' \
        'nan:4 crashed: answer:1:[0-9]+: .*' 'range:1 crashed: score -3 is outside .*'
    rm -f server-*.once
    t "a 500, a 429 and no answer are nothing where they are tried again" 0 \
        '^429: 36 ok.500: 36 ok.hangup: 36 ok.$' retried
    stops server 500 '12 crashed: HTTP 500'
    t "one that is tried again says so" 70 '^500: 12 crashed: HTTP 500, also when tried again$' \
        run retried-all "$(of_server 500 all 1)"
    stops server slow '12 timeout: no answer within 0.3 s'
    stops server nan '12 crashed: answer:1:[0-9]+: .*'
}
retried() {
    run retried "$(of_server 429 once 2),$(of_server 500 once 2),$(of_server hangup once 2)" \
        >retried.all && tr '\n' . <retried.said
}
vanish() { run "vanish-$1" "$(of_server vanish once "$1")"; }
serve all_servers
t "a server that disappears stops the run" 70 'vanish: (1?[0-9] ok; )?1?[0-9] crashed: .*onnect' \
    serve vanish 1
t "and says why" 0 "^hone train: .*'vanish' failed on 1[0-9] of .*max_failure_rate" \
    cat vanish-1.txt
rm -f server-vanish.once
touch again
t "a server that comes back costs nothing" 0 '^vanish: 36 ok$' serve vanish 10
rm again
t "no server" 69 "http://127.0.0.1:1/score does not say hello: .*onnect" \
    run missing '{"url":"http://127.0.0.1:1/score","retries":0}'

# --- going on ---------------------------------------------------------------------------------

# A program whose fault is mended after the run stopped: what was recorded is not asked again.
cat >mended.sh <<'SH'
#!/bin/sh
[ -e mended.now ] && exec python3 "$1" sound
exec python3 "$1" exit
SH
chmod +x mended.sh
mended() { run mended "{\"name\":\"mine\",\"command\":[\"./mended.sh\",\"$faulty\"]}" "$@"; }
t "a run that was stopped" 70 '^mine: 12 crashed: it went away: exit status 3$' mended
touch mended.now
t "stays so" 70 'the reward .mine. failed on 12 of its last 12' mended
t "goes on where it was, and keeps what was recorded" 0 \
    '^mine: 24 ok; 12 crashed: it went away: exit status 3$' \
    mended --set reward.max_failure_rate=1
finish
