#!/usr/bin/env bash
# tests/test_kill.sh: the tiny run, killed 50 times at random instants and gone on with, ends in
# the bytes of a run that was never killed. HONE_TEST_KILLS says how often, HONE_TEST_EXPERIMENT
# may be quickstart, shortened.
. "$(dirname "$0")/lib.sh"
kills=${HONE_TEST_KILLS:-50}
experiment=$top/tests/data/tiny.json
args=(--set checkpoint.save_steps=5 --set checkpoint.commit_prompts=1)
longest=160 # milliseconds until the kill
if [ "${HONE_TEST_EXPERIMENT:-tiny}" = quickstart ]; then
    experiment=$top/experiments/quickstart/experiment.json
    args+=(--set coldstart.max_steps=40 --set grpo.max_steps=8 --set grpo.num_prompts=6)
    args+=(--set checkpoint.keep_last=2 --set eval.eval_steps=20 --set eval.samples=2)
    args+=(--set problems.eval=spell_backward:length=3-6,split=test,n=40,seed=1)
    longest=1200
fi

go() { "$HONE" train "$experiment" --out "$1" --threads 1 "${args[@]}" >>"$1.log" 2>&1; }

# Starts the run and kills it after a random time; 0 when a kill came before the end.
kill_once() {
    "$HONE" train "$experiment" --out "$1" --threads 1 "${args[@]}" >>"$1.log" 2>&1 &
    local pid=$! rc=0
    sleep "$(ms=$((RANDOM % longest + 1)); printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null || rc=$?
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
    local done=0 ends=1 bad="" killed
    while [ $done -lt "$2" ]; do
        killed=0
        kill_once "$1" && killed=1 && done=$((done + 1))
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

t "a run that is never killed" 0 '' "$HONE" train "$experiment" --out whole --threads 1 "${args[@]}"
t "its rows" 0 '' run_rows whole
t "killed at random instants, the same bytes" 0 'all the same$' both
sed 's/^/# /' one.txt two.txt
finish
