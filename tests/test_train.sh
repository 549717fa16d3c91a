#!/usr/bin/env bash
# tests/test_train.sh: whole runs of `hone train` on the tiny experiment, and what can be done
# with the folder they leave.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
short=(--set sft.max_steps=3 --set grpo.max_steps=2 --set eval.samples=0)

# The last hash that a run printed.
weights() { sed -n 's/.* weights \([0-9a-f]\{16\}\)$/\1/p' "$1.txt"; }

# train NAME ARGUMENT...: into the folder NAME, the output into NAME.txt.
train() {
    local name=$1
    shift
    "$HONE" train "${file:-$tiny}" --out "$name" "$@" >"$name.txt" 2>&1 || {
        cat "$name.txt"
        return 1
    }
}

# same NAME ARGUMENT...: a short run that must end in the weights of the run `short`.
same() {
    train "$@" "${short[@]}" || return
    echo "$1: $(weights "$1"), short: $(weights short)"
    [ -n "$(weights short)" ] && [ "$(weights "$1")" = "$(weights short)" ]
}

differs() {
    same "$@" && return 1
    [ -n "$(weights "$1")" ]
}

# --- the same run (threads and instruction sets: test_exact.sh) --------------------------

t "a short run" 0 '' train short "${short[@]}" --threads 1
t "the same again" 0 '' same again --threads 1
t "without an evaluation" 0 '' same uneval --set 'problems.eval=""'
t "another seed gives other weights" 0 '' differs seed --set seed=8
t "another reward gives other weights" 0 '' differs beta --set grpo.beta=0.5

# --- the folder of a run ------------------------------------------------------------------

t "a run" 0 '' train run --threads 1
t "it prints the number of parameters, and where it goes" 0 \
    '^tiny: [0-9]+ parameters \([0-9]+ a token\), .* on 1 thread, seed 7, into run$' cat run.txt
t "it prints the table of evaluations" 0 '^grpo +[0-9.]+ % +[0-9.]+ % +[0-9.]+ % \(k=2\)$' \
    cat run.txt
t "it prints a line at the first and the last step of a stage" 0 '^grpo +4/4 +reward ' cat run.txt
t "a file gets plain lines" 1 '^$' grep "$(printf '[\r\033]')" run.txt
t "its files" 0 '^checkpoints experiment.json final run.db status.json $' \
    sh -c 'ls run | grep -v -e -wal -e -shm | tr "\n" " "'
t "its start and its newest checkpoints" 0 '^step-0 step-60 step-64 $' sh -c 'ls run/checkpoints | tr "\n" " "'
t "the last checkpoint holds the final weights" 0 '' \
    cmp run/checkpoints/step-64/model.safetensors run/final/model.safetensors
t "a checkpoint has the optimizer's state too" 0 '' \
    test -s run/checkpoints/step-60/optimizer.safetensors
t "nothing half-written is left" 1 '^$' grep -q . <(find run -name '*.tmp*' -o -name unfinished)

file=run/experiment.json t "the effective experiment gives the run again" 0 '' \
    train reread --threads 2
t "with the same weights" 0 '' cmp run/final/model.safetensors reread/final/model.safetensors
t "and the same effective experiment" 0 '' cmp run/experiment.json reread/experiment.json

t "a folder with a run is not written to" 73 'there is a run in this folder.*--overwrite' \
    "$HONE" train "$tiny" --out run "${short[@]}" --resume never
t "nor changed" 0 '' cmp run/experiment.json reread/experiment.json
touch short/notes.txt
t "unless with --overwrite" 0 '' train short "${short[@]}" --overwrite --set seed=9
t "which removes the checkpoints of the old run" 0 '^step-0 step-3 step-5 $' \
    sh -c 'ls short/checkpoints | tr "\n" " "'
t "and nothing that is not the run's" 0 '' test -e short/notes.txt

# --- a policy to start from -----------------------------------------------------------------

from() {
    local name=$1 model=$2
    shift 2
    train "$name" --set model.config=null --set "model.path=$model" "$@"
}
t "a run starts from another's final folder" 0 '' from next run/final "${short[@]}"
t "and evaluates it first" 0 'eval at step 0: greedy' cat next.txt

cp -r run/final broken
size=$(stat -c %s broken/model.safetensors)
printf '\000\000\300\177' | # a NaN
    dd of=broken/model.safetensors bs=1 seek=$((size - 4)) conv=notrunc status=none
t "a policy with a NaN" 0 '' from nan broken "${short[@]}"
t "supervised steps are refused" 0 'step 3 refused: the gradient is not finite' cat nan.txt
t "and reinforcement steps" 0 'step 5 refused: the log-probabilities are not finite' cat nan.txt
t "the database says so" 0 'refused' "$HONE" show nan --step 4
t "the weights are left as they were" 0 '' \
    cmp broken/model.safetensors nan/final/model.safetensors

# --- the other commands ------------------------------------------------------------------------

spec=spell_backward:length=2,letters=8,split=test,n=4,seed=7
last() { # of the greedy evaluations that were recorded
    "$HONE" show run --json | tr -d ' \t\n' | grep -o '"step":64,[^}]*"greedy"[^}]*' |
        grep -o '"pass1":[0-9.]*' | cut -d: -f2
}
recorded=$(printf '%.6f' "$(last)")
t "hone eval agrees with the evaluation in the run" 0 "\"pass@1\": $recorded, " \
    "$HONE" eval --model run/final --problems "$spec" --max-completion-length 24 --json
t "hone eval draws samples" 0 '^pass@3 ' "$HONE" eval --model run/final --problems "$spec" \
    --samples 3 --threads 1
t "hone sample" 0 '^rev ab' "$HONE" sample --model run/final --prompt 'rev ab' -n 2
draw() {
    local name=$1
    shift
    "$HONE" sample --model run/final --prompt 'rev ab' -n 3 --temperature 2 "$@" >"$name.txt"
}
t "three samples on one thread" 0 '' draw one --seed 1 --threads 1
t "three samples on two" 0 '' draw two --seed 1 --threads 2
t "three others" 0 '' draw three --seed 2
t "samples do not depend on threads" 0 '' cmp one.txt two.txt
t "samples depend on the seed" 1 'differ' cmp one.txt three.txt
t "hone show DIR" 0 '^ +64 grpo ' "$HONE" show run
t "hone show DIR --step" 0 'sampling/sampling_logp_difference/max +0$' "$HONE" show run --step 64
t "hone show DIR --episode" 0 '^completion' "$HONE" show run --episode 48
t "there are 4 x 3 x 4 episodes" 65 'has no episode 49' "$HONE" show run --episode 49

# --- killed in the middle -------------------------------------------------------------------------

killed() {
    "$HONE" train "$tiny" --out killed --set sft.max_steps=100000 >killed.txt 2>&1 &
    local pid=$!
    for _ in $(seq 200); do
        "$HONE" show killed --step 3 >/dev/null 2>&1 && break
        sleep 0.05
    done
    kill -KILL $pid
    wait $pid
}
t "a run that is killed" 137 '' killed
t "can be looked at" 0 '^step 3: stage 1' "$HONE" show killed --step 3
t "and replaced" 0 '' train killed "${short[@]}" --overwrite
finish
