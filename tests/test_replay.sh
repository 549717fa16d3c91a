#!/usr/bin/env bash
# tests/test_replay.sh: `hone replay` on a run of the tiny experiment: every way to ask, other
# threads, batches and instruction sets, a folder that was moved and cannot be written, and what
# it says when a bit of the record was changed.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json

run() {
    "$HONE" train "$tiny" --out "$@" --set sft.max_steps=5 --set eval.samples=0 \
        --set checkpoint.save_steps=2 --set checkpoint.keep_last=100 --threads 1
}
sql() { sqlite3 "$1/run.db" "$2"; }
t "a run" 0 '^9 steps' run a
t "all of its episodes" 0 '^48 of 48 episodes drawn again, exact$' \
    "$HONE" replay a --sample 1000
t "nothing is left beside it" 0 '^checkpoints experiment.json final run.db status.json $' \
    sh -c 'ls a | tr "\n" " "'
mkdir elsewhere && mv a elsewhere/moved && chmod -R a-w elsewhere/moved
t "as JSON, moved and read-only" 0 '^\{"checked": 48, "exact": 48\}$' \
    "$HONE" replay elsewhere/moved --sample 48 --json
chmod -R u+w elsewhere/moved && mv elsewhere/moved a
t "one thread, one at a time" 0 '^48 of 48' "$HONE" replay a --sample 48 --threads 1 --batch 1
t "three threads, five at a time" 0 '^48 of 48' "$HONE" replay a --sample 48 --threads 3 --batch 5
t "on plain C" 0 '^12 of 12' "$HONE" replay a --sample 12 --isa plain --seed 3
t "a step" 0 '^12 of 12 episodes' "$HONE" replay a --step 7
t "one episode" 0 '^1 of 1 episodes' "$HONE" replay a --episode 48
t "a supervised step has none" 64 'step 3: is a supervised step' "$HONE" replay a --step 3
t "no such episode" 65 'has no episode 49' "$HONE" replay a --episode 49
t "no such step" 65 'has no step 10' "$HONE" replay a --step 10
t "one question at a time" 64 'one of --episode' "$HONE" replay a --step 7 --episode 3
t "without a run" 66 'none/run.db: No such file' "$HONE" replay none --sample 3

# --- weights from the log alone ---------------------------------------------------------------

cp -r a bare && rm -r bare/checkpoints bare/final
for step in 3 5 7; do
    t "the weights of step $step from the log alone" 0 "^step $step: weights [0-9a-f]{16} as rec" \
        "$HONE" replay bare --to-step $step --out "built$step"
done
t "are those of its checkpoint" 0 '' cmp built7/model.safetensors a/checkpoints/step-7/model.safetensors
t "are not those of another" 1 'differ' cmp built7/model.safetensors built5/model.safetensors
t "a model is not written over" 73 'there is a model' "$HONE" replay bare --to-step 5 --out built5
t "a place is needed" 64 'belong together' "$HONE" replay bare --to-step 5
t "as JSON" 0 '^\{"checked": 4, "exact": 4\}$' "$HONE" replay bare --to-step 4 --out four --json
t "episodes without any checkpoint" 0 '^12 of 12' "$HONE" replay bare --step 9

# --- what was changed is seen -------------------------------------------------------------------

# change NAME SQL: a copy of the run with one thing changed by hand.
change() {
    rm -rf "$1" && cp -r a "$1" && sql "$1" "$2"
}
# the lowest bit of the last log-probability of episode 48
flip="UPDATE episodes SET logps = cast(substr(logps, 1, 4 * n_completion - 4)
    || (CASE substr(hex(logps), 8 * n_completion - 7, 1) WHEN '0' THEN x'11111111' ELSE x'01111111' END)
    AS BLOB) WHERE id = 48"
t "a log-probability is changed" 0 '' change flipped "$flip"
last=$(sql a 'SELECT n_completion - 1 FROM episodes WHERE id = 48')
t "the token is named, with both values and builds" 65 \
    "^episode 48 of step 9: token $last differs: recorded id .* logp .*, drawn id " \
    "$HONE" replay flipped --step 9
t "and who drew it" 65 'recorded by hone .* drawn by hone ' "$HONE" replay flipped --episode 48
t "and the others are exact" 65 '^11 of 12 episodes' "$HONE" replay flipped --step 9
t "as JSON" 65 '^\{"checked": 12, "exact": 11\}$' "$HONE" replay flipped --step 9 --json
t "an advantage is changed" 0 '' change other \
    'UPDATE episodes SET advantage = 0.75 WHERE group_id = 1 AND sample = 1'
t "the step's hash shows it" 65 'step 6 applied again gives [0-9a-f]{16}, the log says' \
    "$HONE" replay other --to-step 7 --out seven
t "nothing is written" 1 '^$' test -e seven
t "a token of a trace is changed" 0 '' change other \
    "UPDATE traces SET ids = cast(x'05000000' || substr(ids, 5) AS BLOB) WHERE step = 2 AND idx = 1"
t "the step's hash shows it too" 65 'step 2 applied again gives' \
    "$HONE" replay other --to-step 4 --out four2

# --- two runs -------------------------------------------------------------------------------------

t "the same run again" 0 '' run b
t "differs in no step" 0 '^9 of 9 steps are the same$' "$HONE" replay a --bisect b
t "a run with another rate in the second stage" 0 '' run c --set grpo.learning_rate=0.001
t "differs from that stage on" 65 '^step 6 is the first' "$HONE" replay a --bisect c
t "in the metrics: no group of that step has anything to teach" 65 \
    '^\{"step": 6, "differs": \{"metrics": \{"n": 2, "first": "learning_rate is 0.002 and 0.001"\}\}\}$' \
    "$HONE" replay a --bisect c --json
t "a run of another seed" 0 '' run d --set seed=8
t "differs in its first problems" 65 '^  problem +[0-9]+  trace 0: ' "$HONE" replay a --bisect d
t "the changed log-probability" 65 '^step 9 is the first' "$HONE" replay a --bisect flipped
t "is all that differs there" 65 '"differs": \{"log-probs": \{"n": 1, "first": "episodes 48 and 48: token' \
    "$HONE" replay a --bisect flipped --json
sql flipped "UPDATE verdicts SET score = 0.5 WHERE episode_id = 13 AND status = 'ok' AND checker = 'format'"
t "a changed verdict is found before it" 65 '^step 7 is the first' "$HONE" replay a --bisect flipped
finish
