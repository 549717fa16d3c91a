#!/usr/bin/env bash
# tests/test_estimate.sh: what `hone train` says that a run needs, against what it takes.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
quick=$top/experiments/quickstart/experiment.json

# needs FILE NUMBER: the NUMBERth size in the line of FILE, in bytes.
needs() {
    grep '^needs' "$1" | grep -oE '[0-9.]+ [kMGT]B' | sed -n "$2p" |
        awk '{ m["kB"] = 1e3; m["MB"] = 1e6; m["GB"] = 1e9; m["TB"] = 1e12; printf "%.0f\n", $1 * m[$2] }'
}

t "a dry run says what is needed" 0 \
    '^needs [0-9.]+ [kMG]B of memory.*, [0-9.]+ [kMG]B to [0-9.]+ [kMG]B of disk' \
    "$HONE" train "$tiny" --out dry --dry-run
t "and makes nothing" 1 '' test -e dry
t "a dry run refuses what the run would" 78 'no such key' \
    "$HONE" train "$tiny" --out dry --dry-run --set grpo.bta=1

# All checkpoints are kept, so that what is there in the end is the most that there was.
disk() {
    local taken
    "$HONE" train "$tiny" --out run --set checkpoint.keep_last=0 --set checkpoint.save_steps=2 >out || return 1
    taken=$(find run -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')
    echo "at least $(needs out 3), at most $(needs out 4), taken $taken"
    [ "$(needs out 3)" -le "$taken" ] && [ "$taken" -le "$(needs out 4)" ]
}
t "the disk that a run takes is between the bounds" 0 '^at least' disk

# A run that is killed leaves its log as it was, which in the end goes into run.db.
log() {
    local taken pid
    "$HONE" train "$tiny" --out killed --set grpo.max_steps=4000 >out &
    pid=$!
    until [ "$(stat -c %s killed/run.db-wal 2>/dev/null || echo 0)" -gt 20000000 ] || ! kill -0 $pid; do
        sleep 0.05
    done
    kill -KILL $pid
    wait $pid
    taken=$(find killed -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')
    echo "at most $(needs out 4), taken $taken"
    [ "$taken" -gt 20000000 ] && [ "$taken" -le "$(needs out 4)" ]
}
t "its log is counted" 0 '^at most' log

# A start that makes a few steps needs no room for those of the others.
few() {
    "$HONE" train "$tiny" --out few --dry-run --set checkpoint.keep_last=0 --set checkpoint.save_steps=1 >all &&
        "$HONE" train "$tiny" --out few --dry-run --set checkpoint.keep_last=0 --set checkpoint.save_steps=1 \
            --max-steps 2 >out || return 1
    echo "all $(needs all 3), two steps $(needs out 3)"
    [ "$(needs out 3)" -lt $(($(needs all 3) / 10)) ]
}
t "what --max-steps leaves out is not counted" 0 '^all' few

replace_run() {
    local before
    before=$(cat run/run.db | sha256sum)
    "$HONE" train "$tiny" --out run --overwrite --dry-run && [ "$before" = "$(cat run/run.db | sha256sum)" ]
}
t "a dry run with --overwrite leaves the run alone" 0 '^needs' replace_run

t "nor does it promise to begin where a run is" 73 'there is a run in this folder' \
    "$HONE" train "$tiny" --out run --resume never --dry-run
touch file
t "or where no folder can be made" 73 'Not a directory' "$HONE" train "$tiny" --out file/x --dry-run

# Resident at most, in bytes, to `peak`.
memory() {
    python3 - "$HONE" train "$quick" --out q --set coldstart.max_steps=3 --set grpo.max_steps=2 \
        --set eval.eval_steps=100 >out <<'PY' || return 1
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
open("peak", "w").write(str(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
PY
    echo "estimated $(needs out 1), taken $(cat peak)"
    awk -v a="$(needs out 1)" -v b="$(cat peak)" 'BEGIN { exit !(a > 0.75 * b && a < 1.25 * b) }'
}
if [[ $HONE == *asan* ]]; then
    echo "# SKIP memory: a sanitizer takes more"
else
    t "the memory that a run takes is as estimated" 0 '^estimated' memory
fi

t "a run that --max-minutes will end says so" 0 \
    'steps left of coldstart alone take about [0-9]+ min at this pace: --max-minutes 0.15 ends' \
    "$HONE" train "$quick" --out long --max-minutes 0.15 --set coldstart.max_steps=1000000 \
    --set problems.eval=
t "one that it will not end does not" 1 '' grep 'at this pace' out
finish
