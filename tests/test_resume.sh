#!/usr/bin/env bash
# tests/test_resume.sh: ways to end `hone train` early and to go on: limits, signals, changed
# settings, what a second start finds. The end is always that of a run in one go.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
args=(--set checkpoint.save_steps=20 --set checkpoint.commit_prompts=1)

go() {
    local name=$1
    shift
    "$HONE" train "$tiny" --out "$name" "${args[@]}" --threads "${threads:-1}" "$@"
}

# same NAME: its rows and weights are those of the run `whole`.
same() {
    run_rows "$1" && cmp whole.rows "$1.rows" &&
        cmp whole/final/model.safetensors "$1/final/model.safetensors"
}

sql() { sqlite3 "$1/run.db" "$2"; }

t "a run in one go" 0 '' go whole
t "its rows" 0 '' run_rows whole

# --- limits -----------------------------------------------------------------------------

t "--resume require without a folder" 66 'there is no run in this folder' \
    go steps --resume require
t "makes none" 1 '' test -e steps
t "--max-steps ends a start" 0 'stopped after --max-steps, 7 steps done' go steps --max-steps 7
t "with a checkpoint of where it is" 0 '^step-7$' sh -c 'ls steps/checkpoints | grep 7'
t "the next start makes as many more" 0 'resumed after step 7, from the checkpoint of step 7' \
    go steps --max-steps 7
t "and no more" 0 '^14$' sql steps 'SELECT count(*) FROM steps'
t "--max-minutes ends a start" 0 'stopped after --max-minutes, 14 steps done' \
    go steps --max-minutes 0.00001
t "--resume never keeps what is there" 73 'there is a run in this folder' go steps --resume never
t "to the end" 0 '64 steps, 50 of them by this start' go steps --resume require
t "the same as in one go" 0 '' same steps
t "a start after the end" 0 '64 steps, 0 of them by this start' go steps
t "changes nothing" 0 '' same steps

# --- signals ----------------------------------------------------------------------------

# Fast steps are committed together, and the whole run may take less time than a commit waits: a
# step is there at the next evaluation, and a start that goes on as soon as it says so.
has_step() { [ -n "$(sqlite3 -readonly "$1/run.db" "SELECT 1 FROM steps WHERE step = $2" 2>/dev/null)" ]; }
runs() { grep -q "\"pid\": $2\b" "$1/status.json" 2>/dev/null; }

# signalled NAME SIGNAL [STEP]: sends it when the step is there, or else as soon as it runs.
signalled() {
    "$HONE" train "$tiny" --out "$1" "${args[@]}" --threads 1 >"$1.txt" 2>&1 &
    local pid=$! rc=0
    for _ in $(seq 3000); do
        if [ $# -gt 2 ]; then has_step "$1" "$3"; else runs "$1" $pid; fi && break
    done
    kill "-$2" $pid
    wait $pid || rc=$?
    cat "$1.txt"
    return $rc
}
t "SIGINT saves and ends with 130" 130 '^stopped by a signal, [0-9]+ steps done' \
    signalled signal INT 3
newest() { [ -d "$1/checkpoints/step-$(sql "$1" "SELECT max(step) FROM steps WHERE state = 'done'")" ]; }
t "its checkpoint is of the last step" 0 '' newest signal
t "SIGTERM likewise, with 143" 143 '^stopped by a signal' signalled signal TERM
t "and its checkpoint" 0 '' newest signal
t "to the end" 0 '' go signal
t "the same" 0 '' same signal

# Two signals while a step of seconds is made; the second does not wait for its end.
twice() {
    "$HONE" train "$tiny" --out twice --threads 1 --set sft.batch_size=60000 >twice.txt 2>&1 &
    local pid=$! rc=0
    for _ in $(seq 1000); do
        grep -q . twice.txt && break
        sleep 0.01
    done
    sleep 0.1
    kill -TERM $pid
    sleep 0.1
    kill -TERM $pid 2>/dev/null
    wait $pid || rc=$?
    cat twice.txt
    return $rc
}
t "a second signal ends it at once" 143 'stopped at once; what was committed is there' twice
t "the database is whole" 0 '^ok$' sql twice 'PRAGMA integrity_check'

# --- half a step ------------------------------------------------------------------------

# The first group of step 61 alone, as a kill between two commits leaves it.
halve() {
    cp -r whole half && rm -rf half/final half/checkpoints/step-6[1-9]
    sql half "PRAGMA foreign_keys = OFF;
        DELETE FROM eval_episodes WHERE eval_id IN (SELECT id FROM eval_runs WHERE step > 60);
        DELETE FROM eval_runs WHERE step > 60;
        DELETE FROM metrics WHERE step > 60;
        DELETE FROM verdicts WHERE episode_id > 4;
        DELETE FROM episodes WHERE id > 4;
        DELETE FROM groups WHERE id > 1;
        DELETE FROM group_sums WHERE group_id > 1;
        DELETE FROM group_checkers WHERE group_id > 1;
        DELETE FROM steps WHERE step > 61;
        DELETE FROM problems WHERE id > (SELECT max(id) FROM (SELECT max(problem_id) AS id FROM groups
            UNION SELECT max(problem_id) FROM traces UNION SELECT max(problem_id) FROM eval_episodes));
        UPDATE episodes SET advantage = NULL;
        UPDATE stages SET finished_at = NULL WHERE stage = 2;
        UPDATE steps SET state = 'sampled', weights_after = NULL, wall_s = NULL,
               finished_at = NULL WHERE step = 61;"
    sql half "SELECT group_concat(gen_ms) FROM episodes" >half.ms
}
t "a step with one group of three" 0 '' halve
t "goes on with the other two" 0 'resumed after step 60' go half
t "the same" 0 '' same half
t "the first group was not drawn again" 0 '' \
    test "$(sql half "SELECT group_concat(gen_ms) FROM episodes WHERE id <= 4")" = "$(cat half.ms)"

# --- other settings ---------------------------------------------------------------------

t "a changed seed is refused" 78 'refused seed: 8, recorded is 7' go whole --set seed=8
t "with what to do" 78 '1 setting of the run in this folder cannot be changed; go on with' \
    go whole --set seed=8
t "two at once" 78 'whole: 2 settings' go whole --set seed=8 --set grpo.beta=0
t "fewer steps" 78 'refused stages\[1\].max_steps: 2, .*: steps can only be added' \
    go whole --set grpo.max_steps=2
t "more steps of a stage that is over" 78 'the next stage has begun' go whole --set sft.max_steps=70
t "another checker" 78 'refused reward.checkers\[1\].weight' \
    go whole --set 'reward.checkers[1].weight=0.5'
t "none of it changed the run" 0 '' same whole
threads=2 t "what changes no result is taken" 0 'changed checkpoint.keep_every: 50, recorded is 0' \
    go whole --set checkpoint.keep_every=50 --set name=other
t "and recorded" 0 '^other 50$' sql whole \
    "SELECT printf('%s %s', experiment ->> 'name', experiment ->> '\$.checkpoint.keep_every') FROM runs"
t "more steps of the last stage" 0 '^66 steps, 2 of them' go whole --set grpo.max_steps=6 \
    --set checkpoint.keep_every=50 --set name=other
t "keep_every keeps its steps" 0 '' go every --set checkpoint.keep_every=20
t "beside the newest and the start" 0 '^step-0 step-20 step-40 step-60 step-64 $' \
    sh -c 'ls every/checkpoints | tr "\n" " "'

# --- a checker that fails ---------------------------------------------------------------

t "another run" 0 '' go fails
sql fails "UPDATE group_checkers SET failures = verdicts WHERE checker = 'format'"
t "past failures count after a resume" 70 "step 65: the reward 'format' failed on 48 of its last 60" \
    go fails --set grpo.max_steps=6
t "and stop the next start at the same step" 70 'step 65: .* 48 of its last 60' \
    go fails --set grpo.max_steps=6
t "until more are allowed" 0 '^66 steps' \
    go fails --set grpo.max_steps=6 --set reward.max_failure_rate=0.9

# --- files of problems ------------------------------------------------------------------

rows_of() {
    for i in 1 2 3 4; do
        echo "{\"prompt\": \"$i+$i\", \"answer\": \"$((i + i + $1))\", \"completion\": \"$i\"}"
    done
}
from_file() {
    go file --set problems.train=jsonl:p.jsonl --set 'problems.eval=""' --set sft.max_steps=1 "$@"
}
rows_of 0 >p.jsonl
t "a run on a file" 0 'after --max-steps, 3 steps done' from_file --max-steps 3
rows_of 1 >p.jsonl
t "the file was changed" 65 "problems of step 3 are not those that 'jsonl:p.jsonl' gives now" from_file
rows_of 0 >p.jsonl
t "and changed back" 0 '^5 steps, 2 of them' from_file
finish
