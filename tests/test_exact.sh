#!/usr/bin/env bash
# tests/test_exact.sh: a run that has every part ends in the same weights, and leaves the same
# rows, on each instruction set, with any number of threads, however its passes are cut; for
# an MoE and a Llama policy, in f32 and in bf16.
#
# Each number of threads is tried with one of the instruction sets; HONE_TEST_EXACT=full
# (make exact) tries it with all of them.
#
# HONE_ALSO is one more program to compare with, such as a build for another processor under
# an emulator; HONE_ALSO_ISA are the instruction sets that it is to use.
. "$(dirname "$0")/lib.sh"
export OMP_WAIT_POLICY=passive # 8 threads on few processors do not spin
exact=$top/tests/data/exact.json
llama='{"model_type": "llama", "hidden_size": 36, "intermediate_size": 52, "head_dim": 10,
        "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
        "tie_word_embeddings": true, "max_position_embeddings": 48, "initializer_range": 0.1,
        "rope_theta": 1000}'

# The last hash that a run printed.
weights() { sed -n 's/.* weights \([0-9a-f]\{16\}\)$/\1/p' "$1.txt"; }

# train NAME PROGRAM... -- ARGUMENT...: the run of $model in $dtype, into the folder NAME.
train() {
    local name=$1 program=() config=()
    shift
    while [ "$1" != -- ]; do
        program+=("$1")
        shift
    done
    shift
    [ "$model" = moe ] || config=(--set "model.config=$llama")
    "${program[@]}" train "$exact" --out "$name" --set "compute_dtype=$dtype" "${config[@]}" \
        "$@" >"$name.txt" 2>&1 || {
        cat "$name.txt"
        return 1
    }
    run_rows "$name"
}

# same NAME ...: train, which must leave what the run of reference left.
same() {
    train "$@" || return
    echo "$1: $(weights "$1"), $reference: $(weights "$reference")"
    [ -n "$(weights "$1")" ] && [ "$(weights "$1")" = "$(weights "$reference")" ] &&
        diff "$reference.rows" "$1.rows"
}

# The sampled and the trained log-probabilities of every step of a run.
differences() {
    sqlite3 "$1/run.db" "SELECT count(*), max(abs(value)), (SELECT count(*) FROM episodes) > 20
        FROM metrics WHERE name LIKE 'sampling/sampling_logp_difference/m%'"
}

moved() { # the hashes of the weights after each step are all different
    sqlite3 "$1/run.db" "SELECT count(DISTINCT weights_after), count(*) FROM steps"
}

none=$("$HONE" train "$exact" --out none --isa none 2>&1)
read -ra isas <<<"${none##*:}"
threads=(1 2 3 4 8)
cuts=(4096 60 1 4096 200) # tokens a pass; one group at least
recompute=(false false false true false)

# The instruction set and the threads of each run that is compared, a line each.
combinations() {
    local i isa
    for i in "${!threads[@]}"; do
        if [ "${HONE_TEST_EXACT:-}" = full ]; then
            for isa in "${isas[@]}"; do echo "$isa ${threads[i]}"; done
        else
            echo "${isas[i % ${#isas[@]}]} ${threads[i]}"
        fi
    done
}
mapfile -t combinations < <(combinations)

for model in moe llama; do
    for dtype in f32 bf16; do
        reference=$model-$dtype
        t "$reference" 0 '' train "$reference" "$HONE" -- --threads 2
        t "$reference: sampled is trained, exactly" 0 '^6\|0\.0\|1$' differences "$reference"
        t "$reference: each step moves the weights" 0 '^5\|5$' moved "$reference"
        echo "# $reference: weights $(weights "$reference")"
        for i in "${!combinations[@]}"; do
            read -r isa n_threads <<<"${combinations[i]}"
            cut=${cuts[i % ${#cuts[@]}]}
            t "$reference: $isa on $n_threads, $cut tokens a pass" 0 '' \
                same "$reference-$i" "$HONE" -- --isa "$isa" --threads "$n_threads" \
                --set "sft.max_tokens_per_microbatch=$cut" \
                --set "grpo.max_tokens_per_microbatch=$cut" \
                --set "gradient_checkpointing=${recompute[i % ${#recompute[@]}]}"
        done
        for isa in ${HONE_ALSO_ISA:-}; do
            # shellcheck disable=SC2086
            t "$reference: the other build's $isa" 0 '' \
                same "$reference-also-$isa" $HONE_ALSO -- --isa "$isa" --threads 2
        done
    done
done
finish
