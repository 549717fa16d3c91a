#!/usr/bin/env bash
# tests/fuzz/run.sh OUT RUNS [WORD]: each fuzz target whose name has WORD, RUNS executions.
# FUZZ_FLAGS are passed on. New inputs stay in OUT/corpus and are gone on from.
set -euo pipefail
out=$1 runs=$2 word=${3:-}
here=$(dirname "$0")

# The pairs of the tests as seeds, unescaped.
seeds() {
    local target=$1 into=$2 line gold pred k=0
    mkdir -p "$into"
    [[ $target == fuzz_math* ]] || return 0
    while IFS= read -r line; do
        gold=$(sed -E 's/^\{"gold": "(.*)", "pred": .*/\1/; s/\\\\/\\/g' <<<"$line")
        pred=$(sed -E 's/.*"pred": "(.*)", "equal": .*/\1/; s/\\\\/\\/g' <<<"$line")
        k=$((k + 1))
        case $target in
            fuzz_math_score) printf '%s\n%s' "$gold" "$pred" >"$into/pair-$k" ;;
            fuzz_math_extract) printf 'So $x$ is \\boxed{%s}.' "$pred" >"$into/pair-$k" ;;
            *) printf '%s' "$pred" >"$into/pair-$k" ;;
        esac
    done <"$here/../data/math_pairs.jsonl"
}

for program in "$out"/tests/fuzz/fuzz_*; do
    [[ -x $program && $program != *.* && $program == *"$word"* ]] || continue
    name=$(basename "$program")
    dict=()
    for d in "$here"/*.dict; do
        [[ $name == fuzz_$(basename "$d" .dict)* ]] && dict=("-dict=$d")
    done
    [ -d "$out/seeds/$name" ] || seeds "$name" "$out/seeds/$name"
    mkdir -p "$out/corpus/$name"
    corpus=("$out/corpus/$name" "$out/seeds/$name")
    [ ! -d "$here/corpus/$name" ] || corpus+=("$here/corpus/$name")
    echo "== $name"
    # shellcheck disable=SC2086
    "$program" -runs="$runs" -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$out/$name-" "${dict[@]}" ${FUZZ_FLAGS:-} "${corpus[@]}"
done
