# tests/lib.sh: sourced by tests/test_*.sh. HONE names the program; the script runs in a
# folder of its own, removed at the end. One `t` is one TAP line.
set -uo pipefail
: "${HONE:?the program to test}"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
n=0 failures=0

# The interpreter itself: what stands for it on some machines takes several times as long to start.
mkdir .bin
ln -s "$(python3 -c 'import sys; print(sys.executable)')" .bin/python3
export PATH=$dir/.bin:$PATH

# t NAME STATUS PATTERN COMMAND...: the command must end with STATUS, and its output (both
# streams) must contain a match of the extended regular expression PATTERN ("" matches all).
t() {
    n=$((n + 1))
    try "$n" "$@" || failures=$((failures + 1))
}

# beside: as t, but beside what follows; `together` waits for them, and shows them in order.
beside() {
    n=$((n + 1))
    try "$n" "$@" >"$dir/.beside.$n" &
    others+=("$! $n")
}
together() {
    local other
    for other in "${others[@]}"; do
        wait "${other% *}" || failures=$((failures + 1))
        cat "$dir/.beside.${other#* }"
    done
    others=()
}
others=()

try() {
    local number=$1 name=$2 status=$3 pattern=$4 rc=0 text
    shift 4
    text=$("$@" 2>&1) || rc=$?
    if [ "$rc" -eq "$status" ] && grep -Eq -- "$pattern" <<<"$text"; then
        echo "ok $number - $name"
        return 0
    fi
    echo "not ok $number - $name"
    printf '%s\n' "wanted status $status and /$pattern/, got status $rc and:" "$text" |
        head -n 40 | sed 's/^/# /'
    return 1
}

# start_server FILE.py: to the end of the test; $url is the address that it prints.
start_server() {
    python3 "$1" 0 >url.txt &
    server=$!
    trap 'kill $server 2>/dev/null; rm -rf "$dir"' EXIT
    for _ in $(seq 1200); do
        [ -s url.txt ] && break
        sleep 0.05
    done
    url=$(cat url.txt)
}

# run_rows DIR: every row of the run in DIR, without what is a time, into DIR.rows.
run_rows() {
    sqlite3 "$1/run.db" "
        SELECT step, stage, stage_step, state, weights_before, weights_after, learning_rate,
               refusal FROM steps ORDER BY step;
        SELECT stage, name, type, max_steps, finished_at IS NULL FROM stages ORDER BY stage;
        SELECT * FROM problems ORDER BY id;
        SELECT step, idx, problem_id, n_prompt, hex(ids) FROM traces ORDER BY step, idx;
        SELECT * FROM groups ORDER BY id;
        SELECT id, group_id, sample, n_prompt, n_completion, finish_reason, reward, advantage,
               key_seed, key_purpose, key_step, key_prompt, key_sample, weights_hash,
               quote(text), hex(ids), hex(logps), hex(mask) FROM episodes ORDER BY id;
        SELECT episode_id, checker, version, weight, status, score, detail,
               deterministic, parts FROM verdicts
         ORDER BY episode_id, checker;
        SELECT * FROM group_sums ORDER BY group_id;
        SELECT group_id, checker, verdicts, scored, score_sum, passed, unparsable, failures,
               not_scorable FROM group_checkers ORDER BY group_id, checker;
        SELECT step, name, value FROM metrics WHERE name NOT LIKE 'timing_s/%'
           AND name NOT IN ('step_time', 'tokens_per_s') ORDER BY step, name;
        SELECT id, step, spec, mode, k, temperature, n, pass1, ci95, pass_at_k, avg_at_k,
               mean_length, weights_hash FROM eval_runs ORDER BY id;
        SELECT * FROM eval_episodes ORDER BY eval_id, idx, sample;" >"$1.rows" &&
        [ -s "$1.rows" ]
}

# fault.so, to be LD_PRELOADed: see its source.
build_shim() { "${CC:-cc}" -O2 -Wall -D_GNU_SOURCE -fPIC -shared "$top/tests/shim/fault.c" -o "$dir/fault.so"; }

finish() {
    echo "1..$n"
    [ "$failures" -eq 0 ] && [ "$n" -gt 0 ]
    exit
}
