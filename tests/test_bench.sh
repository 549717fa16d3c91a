#!/usr/bin/env bash
# tests/test_bench.sh: `hone bench` on a policy so small that it takes no time.
. "$(dirname "$0")/lib.sh"

cat >config.json <<'END'
{"model_type": "deepseek_v3", "vocab_size": 12, "hidden_size": 32, "intermediate_size": 48,
 "moe_intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
 "q_lora_rank": null, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8,
 "v_head_dim": 8, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2,
 "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "max_position_embeddings": 64}
END
tiny=(--config config.json --seq 16 --micro 64 --prompt 8 --tokens 8 --sequences 9 --repeat 1)

t "bench --help" 0 '^usage: hone bench \[JOB\]' "$HONE" bench --help
t "help bench" 0 'tiny-moe \(default\)' "$HONE" help bench
t "an unknown option" 64 "no such option '--jsno'; did you mean '--json'" "$HONE" bench --jsno
t "an unknown job" 64 "no such job 'trian'; valid are matmul, rollout, train" "$HONE" bench trian
t "an unknown preset" 64 "no such preset 'tiny'; valid are|did you mean 'tiny-moe'" \
    "$HONE" bench --preset tiny
t "two models" 64 'exclude each other' "$HONE" bench --preset tiny-moe --config config.json
t "an unknown type" 64 "dtype: must be f32 or bf16, found 'f16'" "$HONE" bench --dtype f16
t "a sequence longer than a micro-batch" 64 'seq 65: is longer than --micro 64' \
    "$HONE" bench --seq 65 --micro 64
t "a sequence longer than the model" 64 'seq 65: config.json has 64 positions' \
    "$HONE" bench --config config.json --seq 65
t "a completion longer than the model" 64 'config.json has 64 positions' \
    "$HONE" bench --config config.json --seq 16 --prompt 32 --tokens 33
t "no group to share" 64 'unshared: is about a --group' "$HONE" bench train --unshared
t "a group" 0 '^train .* tokens/s' "$HONE" bench train "${tiny[@]}" --threads 1 --group 3
t "a group, unshared" 0 '^train .* tokens/s' \
    "$HONE" bench train "${tiny[@]}" --threads 1 --group 3 --unshared
t "a missing config" 66 'open none.json: No such file' "$HONE" bench --config none.json
t "no thread at all" 64 'threads: must be from 1' "$HONE" bench --threads 0

t "text names the fractions" 0 '^decode .* tokens/s .* % of the ceiling' \
    "$HONE" bench decode "${tiny[@]}" --threads 1
"$HONE" bench --json "${tiny[@]}" --isa plain --threads 2 >all.json
has() { t "json has $1" 0 "$2" cat all.json; }
has "a version" '"version": "[0-9]'
has "the ceiling" '"gflops": [0-9.e+-]+,'
has "the bandwidth" '"gbytes_per_s": [0-9]'
for job in matmul rollout train decode; do has "the job $job" "\"job\": \"$job\""; done
has "the type" '"dtype": "f32"'
has "the instruction set" '"isa": "plain"'
has "the threads" '"threads": 2'
has "tokens a second" '"tokens_per_s": [1-9]'
has "null where there are no tokens" '"tokens_per_s": null'
has "the memory" '"peak_rss_bytes": [1-9]'
for stage in idle matmul attention routing norm_rope_act sampling head_and_loss optimizer packing; do
    has "the stage $stage" "\"$stage\": [0-9]"
done
# nonzero JOB: the stages of a job that took time
nonzero() {
    awk -v job="\"$1\"" '/"job":/ {on = index($0, job)} /"timing_s"/ {at = on; next} /}/ {at = 0}
        at {gsub(/[",:]/, ""); if ($2 > 0) printf "%s ", $1}' all.json
}
t "stages of rollout" 0 'matmul attention routing norm_rope_act sampling head_and_loss other' \
    nonzero rollout
t "stages of train" 0 'matmul attention routing norm_rope_act head_and_loss optimizer packing' \
    nonzero train
fractions() {
    grep -o '"fraction": [0-9.e+-]*' all.json |
        awk '$2 <= 0 || $2 > 10 {bad++} END {print (NR > 4), bad + 0}'
}
t "fractions are sane" 0 '^1 0$' fractions
t "one object" 0 '^1$' grep -c '^[{}]' <(tr -d '\n' <all.json)
finish
