#!/usr/bin/env bash
# tests/test_cron.sh: `hone train` as cron starts it: no PATH, no terminal, no input, another
# working directory. Starts that overlap, that come after a crash, after the time is up, after
# the end; and what a run tells others: status.json, --metrics-file, --notify.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
keep=()
for name in ASAN_OPTIONS UBSAN_OPTIONS; do [ -z "${!name:-}" ] || keep+=("$name=${!name}"); done

# cron ARGUMENT...: of hone train on the tiny run; its output is lines.
cron() {
    (cd / && exec env -i HOME=/nonexistent LOGNAME=cron SHELL=/bin/sh PATH= "${keep[@]}" \
        "$(command -v setsid)" -w "$HONE" train "$tiny" --threads 1 "$@" </dev/null 2>&1 | cat
    exit "${PIPESTATUS[0]}")
}

# field NAME KEY...: of its status.json.
field() {
    python3 -c 'import json, sys
s = json.load(open(sys.argv[1] + "/status.json"))
print(*(s[k] for k in sys.argv[2:]))' "$@"
}

same() {
    run_rows "$1" && cmp whole.rows "$1.rows" &&
        cmp whole/final/model.safetensors "$1/final/model.safetensors"
}

t "a run as cron starts it" 0 '^64 steps' cron --out "$dir/whole"
t "no line is rewritten" 1 '' grep -q "$(printf '\r')" <(cron --out "$dir/lines" --max-steps 3)
t "its rows" 0 '' run_rows whole
t "status.json says that it is complete" 0 '^complete$' field whole state
t "and at which step" 0 '^64$' field whole step

# --- the five starts ---------------------------------------------------------------------

# The first goes on until it is killed.
slow=(--set sft.max_steps=100000)
cron --out "$dir/two" "${slow[@]}" >first.txt 2>&1 &
for _ in $(seq 1000); do
    [ ! -e two/status.json ] || break
    sleep 0.02
done
overlap() {
    local rc=0 start=$SECONDS
    cron --out "$dir/two" "${slow[@]}" --metrics-file "$dir/second.prom" || rc=$?
    [ $((SECONDS - start)) -le 5 ] || echo "after $((SECONDS - start)) s"
    return $rc
}
holder=$(field two pid)
t "a second start ends at once and names the first" 75 \
    "^hone train: $dir/two: another hone train, process $holder, is writing there\$" overlap
t "and reports nothing of its own" 1 '' test -e second.prom
t "the first is running" 0 '^running$' field two state
t "hone runs says so" 0 "two +running +[0-9]+/100004 .* process $holder\$" "$HONE" runs two
kill -KILL "$holder"
wait 2>/dev/null
t "a crash leaves it so" 0 '^running$' field two state
t "hone runs sees that it was killed" 0 'two +killed +[0-9]+/100004 ' "$HONE" runs two
t "the start after it goes on: no lock is left" 0 'stopped after --max-steps' \
    cron --out "$dir/two" "${slow[@]}" --max-steps 1

t "a start whose time is up" 0 'stopped after --max-minutes, [0-9]+ steps done; the same command goes on' \
    cron --out "$dir/three" --max-minutes 0.0005
t "says so in status.json" 0 '^stopped max-minutes 0$' \
    field three state reason exit_code
t "the next start goes on to the end" 0 '^64 steps' cron --out "$dir/three" --max-minutes 10
t "in the same bytes" 0 '' same three
t "a start after the end" 0 '^64 steps, 0 of them by this start' cron --out "$dir/three" --max-minutes 10
t "changes nothing" 0 '' same three
t "a start with another experiment" 78 'refused seed: 8, recorded is 7' cron --out "$dir/three" --set seed=8
t "leaves what status.json says" 0 '^complete$' field three state
t "hone runs looks into folders of runs" 0 \
    '^three +complete +64/64 +grpo +[0-9.]+ +[0-9.]+ % \+- .* ./lines +stopped .* ./two +stopped .* max-steps ./whole ' \
    sh -c "'$HONE' runs three . | tail -n +2 | tr '\\n' ' '"
t "and writes JSON" 0 '^complete 64 None$' sh -c "'$HONE' runs three --json |
    python3 -c 'import json, sys; r = json.load(sys.stdin)[0]; print(r[\"state\"], r[\"step\"], r[\"reason\"])'"
mkdir -p broken empty && echo no >broken/run.db
t "a run that cannot be read hides no other" 65 'broken/run.db is not a hone database.* three +complete' \
    sh -c "'$HONE' runs broken three 2>&1 | tr '\\n' ' '; '$HONE' runs broken >/dev/null 2>&1"
t "a folder without runs" 66 'empty: there is no run in it' "$HONE" runs empty

# --- until -------------------------------------------------------------------------------

t "until an evaluation" 0 'stopped as --until holds, 30 steps done: eval/pass@1 ' \
    cron --out "$dir/until" --until 'eval/pass@1 >= 0'
t "again: it still holds" 0 'stopped as --until holds, 30 steps done' \
    cron --out "$dir/until" --until 'eval/pass@1 >= 0'
t "it leaves a policy" 0 '' test -e until/final/config.json
t "until several things" 0 'holds, 6[1-4] steps done: reward [0-9.]+, eval/pass@2 ' \
    cron --out "$dir/until" --until 'reward > 0 and eval/pass@2 <= 1'
t "until what never comes" 0 '^64 steps' cron --out "$dir/until" --until 'reward > 99'
t "ends in the same bytes" 0 '' same until
t "a name that no run has" 64 "no run records 'rewrad'; did you mean 'reward'" \
    cron --out "$dir/no" --until 'rewrad > 1'
t "a condition that is none" 64 "a number is wanted at 'high'" cron --out "$dir/no" --until 'kl < high'
t "an evaluation that there is not" 64 'has no problems.eval' \
    cron --out "$dir/no" --until 'eval/pass@1 > 0' --set 'problems.eval=""'
t "another number of samples" 64 'eval.samples is 2' cron --out "$dir/no" --until 'eval/pass@8 > 0'
t "none of them made a folder" 1 '' test -e no

# --- nice --------------------------------------------------------------------------------

cron --out "$dir/nice" "${slow[@]}" --nice 7 >/dev/null &
for _ in $(seq 1000); do
    [ ! -e nice/status.json ] || break
    sleep 0.02
done
t "--nice" 0 '^7( 7)* $' sh -c "ps -L -o ni= -p $(field nice pid) | tr -s ' \n' ' ' | sed 's/^ //'"
kill -KILL "$(field nice pid)"
wait 2>/dev/null

# --- what others are told -----------------------------------------------------------------

t "a file for Prometheus" 0 '' cron --out "$dir/prom" --metrics-file "$dir/hone.prom"
t "has the step" 0 "^hone_step\{run=\"tiny\",dir=\"$dir/prom\"\} 64\$" cat hone.prom
t "and only lines of its format" 1 '' \
    grep -Ev '^(# (HELP|TYPE) hone_[a-z0-9_]+ .+|hone_[a-z0-9_]+\{run="tiny",dir="[^"]*"\} [-0-9.e+]+)$' hone.prom
t "a folder of it that is not there" 73 '^hone train: --metrics-file: write into /nonexistent: No such file' \
    cron --out "$dir/no" --metrics-file /nonexistent/hone.prom

# told NAME STATUS ARGUMENT...: the server answers with STATUS.
told() {
    local name=$1 status=$2 rc=0
    shift 2
    rm -f "$name.port"
    python3 "$top/tests/shim/notify_server.py" "$name.port" "$name.jsonl" "$status" &
    local server=$!
    for _ in $(seq 1000); do
        [ ! -s "$name.port" ] || break
        sleep 0.02
    done
    cron --out "$dir/$name" --notify "http://127.0.0.1:$(cat "$name.port")/" "$@" || rc=$?
    kill $server
    return $rc
}
said() { python3 -c 'import json, sys; s = json.loads(open(sys.argv[1]).readlines()[-1]); print(s["state"], s["step"], s["exit_code"], s["error"])' "$1.jsonl"; }
t "an end is told" 0 '' told told 204 --max-steps 2
t "as it is" 0 '^stopped 2 0 None$' said told
echo broken >told/run.db
t "a failure, too" 65 'told/run.db is not a hone database' told told 204
t "with its sentence" 0 '^failed [0-9]+ 65 .*told/run.db' said told
t "a server that will not have it ends nothing" 0 'hone train: --notify http://.*: HTTP 500; the run itself' \
    told deaf 500 --max-steps 2
t "after three tries" 0 '^3$' sh -c 'wc -l <deaf.jsonl'
t "nor does none" 0 '--notify http://127.0.0.1:9/: .*connect' \
    cron --out "$dir/deaf" --max-steps 2 --notify http://127.0.0.1:9/
t "no URL" 64 '--notify: must begin with http' cron --out "$dir/no" --notify mailto:a@b.c
finish
