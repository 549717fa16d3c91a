#!/usr/bin/env bash
# tests/test_bad_input.sh: what hone refuses. Each refusal has its exit code (sysexits.h), is
# one sentence on stderr, and leaves no file behind.
. "$(dirname "$0")/lib.sh"
tiny=$top/tests/data/tiny.json
logs=$(mktemp -d)
trap 'rm -rf "$dir" "$logs"' EXIT

# Runs COMMAND; 99 if it said other than one line to stderr, or left or removed a file.
cleanly() {
    local rc=0
    find . | sort >"$logs/before"
    "$@" >"$logs/stdout" 2>"$logs/stderr" </dev/null || rc=$?
    find . | sort >"$logs/after"
    cat "$logs/stderr"
    diff "$logs/before" "$logs/after" || rc=99
    [ "$(wc -l <"$logs/stderr")" -eq 1 ] || rc=99
    return $rc
}

refuse() {
    local name=$1 status=$2 pattern=$3
    shift 3
    t "$name" "$status" "$pattern" cleanly "$HONE" "$@"
}

# set NAME STATUS PATTERN KEY=VALUE...: the tiny experiment with these changes.
set_() {
    local name=$1 status=$2 pattern=$3 args=() setting
    shift 3
    for setting in "$@"; do args+=(--set "$setting"); done
    refuse "$name" "$status" "$pattern" train "$tiny" --out out "${args[@]}"
}

skip() {
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

# --- the command line -------------------------------------------------------------------

refuse "an unknown option" 64 "no such option '--treads'; did you mean '--threads'" \
    train "$tiny" --out out --treads 2
refuse "an option without its value" 64 '^hone train: --out' train "$tiny" --out
refuse "an option that is no number" 64 '^hone train: --threads' \
    train "$tiny" --out out --threads two
refuse "an option out of range" 64 '^hone train: --threads' train "$tiny" --out out --threads 0
refuse "a word too many" 64 '^hone train: ' train "$tiny" out --out out
refuse "no --out" 64 '^hone train: --out is missing' train "$tiny"
refuse "an unknown instruction set" 78 'this processor runs: .*plain' \
    train "$tiny" --out out --isa mmx
set_ "a --set without =" 64 '--set seed: must be key=value' seed
set_ "a --set without a key" 64 '--set =3: must be key=value' =3
set_ "a --set with a broken path" 64 'must be key=value' 'stages[x].beta=1'
set_ "a --set of an unknown key" 78 "no such key; did you mean 'grpo.beta'" grpo.bta=1
set_ "a --set of a stage that is not there" 78 'has no stages\[2\]' 'stages[2].beta=1'

# --- the experiment ---------------------------------------------------------------------

mkdir folder
: >empty.json
head -c 1000 "$HONE" >binary.json
head -c 1100000 /dev/zero | tr '\0' ' ' >large.json
echo '[]' >list.json
echo '{"seed": 1, "seed": 2}' >twice.json
refuse "a missing experiment" 66 'open none.json: No such file' train none.json --out out
refuse "a folder as experiment" 66 'open folder: not a regular file' train folder --out out
refuse "an empty experiment" 65 '^hone train: empty.json:1:1: ' train empty.json --out out
refuse "a binary experiment" 65 '^hone train: binary.json:1:' train binary.json --out out
refuse "a large experiment" 65 'large.json' train large.json --out out
refuse "a list as experiment" 78 'list.json: must be an object' train list.json --out out
refuse "a key that is there twice" 65 'twice.json: seed: the key appears twice' \
    train twice.json --out out
set_ "a number for a string" 78 "must be .*found \"2\"" grpo.loss_type=2
set_ "a string for a number" 78 'grpo.beta=high: must be a number, found a string' grpo.beta=high
set_ "a fraction for an integer" 78 'seed=1.5: must be a whole number' seed=1.5
set_ "a number above its range" 78 'adam_beta1=1: must be ' grpo.adam_beta1=1
set_ "a number below its range" 78 'learning_rate=-1: must be ' sft.learning_rate=-1
set_ "a temperature of 0" 78 'temperature=0: must be from 1e-06' grpo.temperature=0
set_ "one generation" 78 'at least 2: a sample alone has no group' grpo.num_generations=1
set_ "a thousand million episodes" 78 'more than the [0-9]+ episodes' \
    grpo.num_prompts=100000000 grpo.num_generations=10
set_ "a filter with two iterations" 78 'use num_iterations 1 and beta 0' grpo.top_k=5 \
    grpo.num_iterations=2
set_ "an unknown checker" 78 'no checker "anser"; the nearest is "answer"' \
    'reward.checkers[0].checker=anser'
set_ "an unknown word" 78 'must be "grpo", "dr_grpo" or "dapo", found "gspo"' grpo.loss_type=gspo
set_ "no stages" 78 'stages=\[\]: 1 to 8 stages, found 0' 'stages=[]'

# --- problems ---------------------------------------------------------------------------

: >empty.jsonl
echo '{"prompt": "2+2=", "answer": "4"}' >sum.jsonl
printf '{"prompt": "2+2=", "answer": "4"}\nnonsense\n' >bad.jsonl
set_ "an unknown kind of problem" 78 'problems.train: .* nearest is "countdown"' \
    problems.train=countdwn
set_ "an unknown parameter of problems" 78 'problems.train.*letters' \
    problems.train=spell_backward:leters=3
set_ "a parameter out of range" 78 'problems.train.*length' \
    problems.train=spell_backward:length=0-3
set_ "more problems than there are" 65 'problems.eval.*[0-9]' \
    problems.eval=spell_backward:length=1,letters=2,split=test,n=400
set_ "a missing file of problems" 66 'open none.jsonl' problems.train=jsonl:none.jsonl
set_ "an empty file of problems" 65 'problems.train.*empty.jsonl' problems.train=jsonl:empty.jsonl
set_ "a bad line in a file of problems" 65 'bad.jsonl:2' problems.train=jsonl:bad.jsonl
set_ "an endless evaluation" 78 'problems.eval.*is endless, give it n=' \
    problems.eval=spell_backward:length=2

# --- the policy ---------------------------------------------------------------------------

set_ "a vocabulary that is too small" 78 'vocab_size: is 10, the tokenizer has [0-9]+' \
    model.config.vocab_size=10
set_ "completions longer than the model" 78 \
    'stages\[1\].max_completion_length: 48 leaves no room for a prompt.*positi.* 48' \
    grpo.max_completion_length=48
set_ "evaluated completions longer than the model" 78 \
    'eval.max_completion_length: 47 leaves no room' eval.max_completion_length=47
set_ "groups that no pass can hold" 78 'a group of num_generations 65536 .* rows' \
    grpo.num_generations=65536 grpo.num_prompts=1 model.config.max_position_embeddings=10000 \
    model.config.kv_lora_rank=1 grpo.max_completion_length=9000 'problems.eval=""'
set_ "more experts than the router has room for" 78 \
    'n_routed_experts is 1025, must be from 1 to 1024' model.config.n_routed_experts=1025
set_ "more experts a token" 78 'num_experts_per_tok is 65, must be from 1 to 64' \
    model.config.n_routed_experts=128 model.config.num_experts_per_tok=65
set_ "more groups of experts" 78 'n_group is 257, must be from 1 to 256' \
    model.config.n_routed_experts=514 model.config.n_group=257
set_ "an odd rope" 78 'qk_rope_head_dim is 7, must be even' model.config.qk_rope_head_dim=7
set_ "an unknown key of the model" 78 "did you mean 'hidden_size'" model.config='{"hiden_size": 8}'
set_ "a path and a config" 78 'both a path and a config' model.path=somewhere
set_ "no policy at all" 78 'needs a path .* or a config' model.config=null
set_ "a missing model folder" 66 'open none/config.json: No such file' \
    model.config=null model.path=none

"$HONE" train "$tiny" --out good --set sft.max_steps=1 --set grpo.max_steps=1 >/dev/null
broken() { # NAME: a copy of the model in the folder NAME
    rm -rf broken
    cp -r good/final broken
}
each() { # NAME STATUS PATTERN: every command that loads a model refuses the folder `broken`
    refuse "$1, eval" "$2" "^hone eval: .*$3" eval --model broken --problems "$spec"
    refuse "$1, sample" "$2" "^hone sample: .*$3" sample --model broken --prompt 'rev ab'
    set_ "$1, train" "$2" "^hone train: .*$3" model.config=null model.path=broken
}
spec=spell_backward:length=2,letters=8,split=test,n=2,seed=7
broken && truncate -s -4 broken/model.safetensors
each "weights cut short" 65 'broken/model.safetensors: '
broken && head -c 100 "$HONE" >broken/model.safetensors
each "weights that are something else" 65 'broken/model.safetensors: '
broken && rm broken/model.safetensors
each "no weights" 66 'open broken/model.safetensors: No such file'
broken && echo '{"model_type": "deepseek_v3", ' >broken/config.json
each "a config.json cut short" 65 'broken/config.json:2:'
broken && sed -i 's/deepseek_v3/qwen3/' broken/config.json
each "another architecture" 78 \
    'broken/config.json: model_type: only "deepseek_v3" and "llama" are built, found "qwen3"'
broken && sed -i 's/"hidden_size": 32/"hidden_size": 48/' broken/config.json
each "a config of other weights" 65 'tensor .* has shape \[.*\], config.json asks for \[.*48\]'
broken && rm broken/tokenizer.json
each "no tokenizer" 66 'open broken/tokenizer.json: No such file'
broken && echo '{}' >broken/tokenizer.json
each "an empty tokenizer" 65 'broken/tokenizer.json: '
rm -rf broken

refuse "an endless set to evaluate" 78 'is endless, give it n=' \
    eval --model good/final --problems spell_backward:length=2
refuse "no problems to evaluate" 65 'empty.jsonl' \
    eval --model good/final --problems jsonl:empty.jsonl
refuse "a prompt with an unknown character" 65 "'rev .*' has a character that the tokenizer" \
    sample --model good/final --prompt 'rev aZ'
refuse "an unknown character in a file to evaluate" 65 "problem 0 .* has a character" \
    eval --model good/final --problems jsonl:sum.jsonl
refuse "a prompt that is too long" 65 'has [0-9]+ tokens, [0-9]+ fit' \
    sample --model good/final --prompt "rev $(printf 'ab%.0s' {1..40})"
refuse "sampled completions longer than the model" 78 'leaves no room for a prompt' \
    sample --model good/final --prompt 'rev ab' --max-completion-length 48

# A run finds it at the first step only: what was begun can be looked at.
unknown() {
    "$HONE" train "$tiny" --out begun --set model.config=null --set model.path=good/final \
        --set problems.train=jsonl:sum.jsonl --set 'problems.eval=""' --set 'stages=[{"type":
        "grpo", "max_steps": 1, "max_completion_length": 24}]'
}
t "an unknown character in a file to learn from" 65 "'2\+2=' has a character" unknown
t "the run is there without a step" 0 '0 of 1' "$HONE" show begun

# --- the folder of the run ----------------------------------------------------------------

short=(--set sft.max_steps=1 --set grpo.max_steps=1)
mkdir -p other
echo nonsense >other/run.db
echo text >file
refuse "a run.db that is not to be touched" 73 'there is a run in this folder' \
    train "$tiny" --out other --resume never
refuse "a run.db that is no database to go on with" 65 'other/run.db is not a hone database' \
    train "$tiny" --out other
refuse "a run.db that is no database" 65 'other/run.db is not a hone database' \
    train "$tiny" --out other --overwrite
t "it is left as it was" 0 '^nonsense$' cat other/run.db
mkdir -p mine/final && echo precious >mine/final/p && cp "$tiny" mine/experiment.json
refuse "a folder that holds something else" 73 'there is already' \
    train mine/experiment.json --out mine "${short[@]}"
t "its files are left" 0 '^precious$' cat mine/final/p
t "an experiment too" 0 '' cmp "$tiny" mine/experiment.json
t "a run to replace" 0 'weights' "$HONE" train "$tiny" --out again "${short[@]}"
t "the policy that a run starts from is not replaced" 78 'would remove .*again/final' \
    "$HONE" train "$tiny" --out again --overwrite --set model.config=null \
    --set model.path=again/final
t "it is still there" 0 '"model_type"' cat again/final/config.json

# Two starts into one folder: one runs, the other is told so, the run is whole.
two_starts() {
    "$HONE" train "$tiny" --out race --threads 1 --set sft.max_steps=150 >race.log 2>&1 &
    local first=$! rc=0
    until [ -e race/run.db ]; do sleep 0.02; done
    "$HONE" train "$tiny" --out race --overwrite || rc=$?
    wait $first || echo "the first one failed"
    return $rc
}
t "a folder that is being written" 75 'another hone train, process [0-9]+, is writing there' two_starts
t "the run there is whole" 0 'weights' cat race.log

# Vocabularies larger than the tokenizer, stop strings, lengths that differ.
t "an id beyond the tokenizer" 0 'weights' "$HONE" train "$tiny" --out padded "${short[@]}" \
    --set 'stop=["="]' --set model.config.vocab_size=300
t "stages of other lengths than the evaluation" 0 'weights' "$HONE" train "$tiny" \
    --out lengths "${short[@]}" --set grpo.max_completion_length=40
cp -r good/final endless && sed -i 's/<eos>/<end>/g' endless/tokenizer.json
refuse "a tokenizer without an end" 65 'has no token <eos>' \
    sample --model endless --prompt 'rev ab'
cp -r good/final silent
sed -i 's/"unk_token": "<unk>"/"unk_token": null/' silent/tokenizer.json
refuse "characters that would be dropped" 65 'a character that the tokenizer does not know' \
    sample --model silent --prompt 'rev %a'
refuse "a file in the place of the folder" 73 'file' train "$tiny" --out file
refuse "a file in the place of a parent" 73 'file/out: Not a directory' \
    train "$tiny" --out file/out
refuse "a folder that cannot be made" 73 '/proc/none' train "$tiny" --out /proc/none/out
refuse "a path that is too long" 64 'too long' train "$tiny" --out "$(printf 'a%.0s' {1..5000})"
refuse "a run that is not there" 66 'open none' show none
refuse "a folder without a run" 66 'folder/run.db' show folder
refuse "a database of something else" 65 'is not a hone database' show other

chmod 711 "$dir"
mkdir sealed && chmod 555 sealed
if [ "$(id -u)" -ne 0 ]; then
    nobody=()
else
    nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi
cp "$tiny" readable.json && chmod 644 readable.json
if ${nobody[@]+"${nobody[@]}"} "$HONE" --version >/dev/null 2>&1; then
    t "a folder without the right to write" 73 'sealed/out: Permission denied' \
        cleanly ${nobody[@]+"${nobody[@]}"} "$HONE" train readable.json --out sealed/out
    touch secret.json && chmod 000 secret.json
    t "an experiment without the right to read" 66 'open secret.json: Permission denied' \
        cleanly ${nobody[@]+"${nobody[@]}"} "$HONE" train secret.json --out out
else
    skip "a folder without the right to write" "no other user here"
fi

# full SIZE: a run on a disk of SIZE; what it leaves is copied to `left`.
full() {
    unshare -rm sh -c '
        mount -t tmpfs -o "size=$1" none folder && shift &&
        "$@"; rc=$?; cp -r folder left; exit $rc' full "$1" \
        "$HONE" train "$tiny" --out folder/out "${short[@]}" "${@:2}"
}
if unshare -rm mount -t tmpfs none folder 2>/dev/null; then
    t "a disk that is too small is seen before the start" 73 \
        '^hone train: folder/out: the run writes [0-9.]+ [kM]B at least, [0-9.]+ [kM]?B are free' full 64k
    t "nothing was made on it" 1 '^$' grep -q . <(find left -mindepth 1)
    rm -rf left
    t "a disk without room for the database" 74 \
        '^hone train: .*(full|No space)' full 64k --no-estimate
    t "nothing is left on it" 1 '^$' grep -q . <(find left -mindepth 1)
    rm -rf left
    t "a disk that is full after the first step" 74 '^hone train: .*(full|No space)' full 1200k --no-estimate
    t "what was committed is there" 0 '^ +1 sft ' "$HONE" show left/out
    t "no half-written file is" 1 '^$' grep -q . <(find left -name '*.tmp*')
else
    skip "a full disk" "no right to mount"
fi
# ulimit -v leaves room to start, and none for what the run works in.
short_of_memory() { (ulimit -v "$1" && exec "$HONE" train "$tiny" --out out "${@:2}"); }
if [[ $HONE != *asan* ]]; then
    t "a run that is too large for the memory" 71 'hone: out of memory: .*needs [0-9]+ MB' \
        short_of_memory 1500000 --threads 1 --set grpo.num_prompts=4000 \
        --set grpo.max_tokens_per_microbatch=100000000
fi
t "no refusal left a folder" 1 '^$' test -e out
finish
