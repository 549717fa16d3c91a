#!/usr/bin/env bash
# tests/test_kill.sh: the tiny run, killed 50 times and gone on with, ends in the bytes of a run
# that was never killed. Half of the kills come at random instants, half in a random call of those
# that write: of checkpoints, commits, renames. HONE_TEST_KILLS says how often,
# HONE_TEST_EXPERIMENT may be quickstart, shortened. And a kill in a commit that several fast
# steps share takes them all, and no byte of the end.
. "$(dirname "$0")/lib.sh"
kills=${HONE_TEST_KILLS:-50}
experiment=$top/tests/data/tiny.json
args=(--set checkpoint.save_steps=5 --set checkpoint.commit_prompts=1)
longest=160 # milliseconds until the kill
if [ "${HONE_TEST_EXPERIMENT:-tiny}" = quickstart ]; then
    experiment=$top/experiments/quickstart/experiment.json
    args+=(--set coldstart.max_steps=14 --set grpo.max_steps=6 --set grpo.num_prompts=4)
    args+=(--set checkpoint.keep_last=2 --set eval.eval_steps=7 --set eval.samples=2)
    args+=(--set problems.eval=spell_backward:length=3-6,split=test,n=20,seed=1)
    longest=600
fi

go() { "$HONE" train "$experiment" --out "$1" --threads 1 "${args[@]}" >>"$1.log" 2>&1; }

# shimmed NAME VARIABLE=VALUE...
shimmed() {
    env "${@:2}" LD_PRELOAD="$dir/fault.so" \
        ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        "$HONE" train "$experiment" --out "$1" --threads 1 "${args[@]}" >>"$1.log" 2>&1
}

# Starts the run and kills it after a random time.
kill_at_an_instant() {
    "$HONE" train "$experiment" --out "$1" --threads 1 "${args[@]}" >>"$1.log" 2>&1 &
    local pid=$!
    sleep "$(ms=$((RANDOM % longest + 1)); printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
}

# Half way in the n-th call.
kill_in_a_call() {
    shimmed "$1" FAULT_AT=$(((RANDOM * 32768 + RANDOM) % (calls / 2) + 1)) FAULT_AS=kill 2>/dev/null
}

# kill_once NAME N: one or the other; 0 when a kill came before the end.
kill_once() {
    local rc=0
    if [ $(($2 % 2)) -eq 0 ]; then kill_at_an_instant "$1"; else kill_in_a_call "$1"; fi || rc=$?
    [ $rc -eq 137 ] || [ $rc -eq 0 ] || bad+=" status $rc"
    [ $rc -eq 137 ]
}

compare() {
    run_rows "$1" && cmp -s whole.rows "$1.rows" &&
        cmp -s whole/final/model.safetensors "$1/final/model.safetensors" || bad+=" differs"
}

# torture NAME KILLS: until there were so many; a run that came to its end is compared, and
# begun anew.
torture() {
    local done=0 ends=1 starts=0 bad="" killed
    while [ $done -lt "$2" ]; do
        killed=0
        kill_once "$1" $starts && killed=1 && done=$((done + 1))
        starts=$((starts + 1))
        if [ -e "$1/run.db" ]; then
            [ "$(sqlite3 "$1/run.db" 'PRAGMA integrity_check')" = ok ] || bad+=" integrity"
        fi
        [ -z "$bad" ] || break
        [ $killed = 1 ] && continue
        compare "$1"
        ends=$((ends + 1))
        rm -rf "$1"
    done
    go "$1" || bad+=" end"
    compare "$1"
    echo "$done kills, $ends runs to the end,${bad:- all the same}" | tee "$1.txt"
    [ -z "$bad" ] || { tail -n 20 "$1.log"; return 1; }
}

# Two at a time: most of the time goes by waiting for the disk.
both() {
    torture one $((kills / 2)) &
    local pid=$! rc=0
    torture two $((kills - kills / 2)) || rc=1
    wait $pid && return $rc
}

t "the shim is built" 0 '' build_shim
t "a run that is never killed" 0 '' shimmed whole FAULT_LOG="$dir/calls.txt"
t "its rows" 0 '' run_rows whole
calls=$(wc -l <calls.txt)
t "killed, the same bytes" 0 'all the same$' both
sed 's/^/# /' one.txt two.txt

# --- steps that share a commit -----------------------------------------------------------

# twelve NAME VARIABLE=VALUE...: the first steps (`t` has a shell of its own); nothing asks for a
# commit before the last of them.
twelve() {
    args+=(--set checkpoint.save_steps=0 --max-steps 12)
    shimmed "$@"
}
# The numbers of its syncs of the log, from the first step to the checkpoint after the last.
syncs() {
    awk '/ rename .*step-0$/ { on = 1 } on && / mkdir .*unfinished$/ { exit }
         on && / fdatasync .*run.db-wal$/ { print $1 }' shared.txt
}
few_syncs() {
    echo "$(syncs | wc -l) syncs"
    [ "$(syncs | wc -l)" -le 6 ]
}
# The first one is of the stage; the call after it writes the first page of the steps.
killed_in_their_commit() {
    local rc=0
    twelve group FAULT_AT=$(($(syncs | head -n 1) + 1)) FAULT_AS=kill || rc=$?
    sqlite3 group/run.db "SELECT count(*) || ' stage, ' || (SELECT count(*) FROM steps) || ' steps'
                            FROM stages"
    return $rc
}
group_ends() {
    local bad=""
    go group || bad=" end"
    compare group
    echo "${bad:-the same}"
}
if [ "$experiment" = "$top/tests/data/tiny.json" ]; then
    t "twelve fast steps" 0 '' twelve shared FAULT_LOG="$dir/shared.txt"
    t "share their commits" 0 '^[1-6] syncs' few_syncs
    t "a kill in such a commit takes the steps" 137 '^1 stage, 0 steps' killed_in_their_commit
    t "and they are made again, the same" 0 '^the same' group_ends
fi

finish
