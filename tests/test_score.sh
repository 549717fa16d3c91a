#!/usr/bin/env bash
# tests/test_score.sh: hone score, a checker alone over a file of pairs.
. "$(dirname "$0")/lib.sh"

cat >pairs.jsonl <<'PAIRS'
{"gold": "\\frac{1}{2}", "pred": "So it is \\boxed{0.5}."}
{"gold": "x^2-1", "pred": "$(x-1)(x+1)$"}

{"gold": 7, "pred": "8"}
{"gold": "5", "pred": "\\frac{}{}"}
PAIRS

t "counts and speed" 0 '^4 rows, 2 correct \(50\.0 %\), [0-9]+ checks/s on 1 thread, slowest' \
    "$HONE" score --data pairs.jsonl
t "a row that is no mathematics has its status" 0 '^  unparsable +1$' \
    "$HONE" score --data pairs.jsonl
t "a JSON line a row" 0 \
    '^\{"row": 2, "status": "ok", "score": 0, "ms": [0-9.]+, "reason": "different: ' \
    "$HONE" score --data pairs.jsonl --json
t "then the totals" 0 '^\{"rows": 4, "correct": 2, "checks_per_s": [0-9]+, "threads": 2, ' \
    "$HONE" score --data pairs.jsonl --json --threads 2
same_on_threads() {
    "$HONE" score --data pairs.jsonl --json --threads "$1" | grep '^{"row"' |
        sed 's/"ms": [^,]*//' >"$1.out"
}
same_on_threads 1
same_on_threads 3
t "the same on any number of threads" 0 '' cmp 1.out 3.out
t "explain" 0 '^equal: |^  \(\* \(\+ x \(- 1\)\) \(\+ x 1\)\)$' \
    "$HONE" score --data pairs.jsonl --explain --row 1
t "explain one row" 1 '' grep -q 'row 0' <("$HONE" score --data pairs.jsonl --explain --row 1)
t "a row that is not there" 64 'has rows 0 to 3' \
    "$HONE" score --data pairs.jsonl --explain --row 4
t "other keys" 65 'pairs.jsonl:1: no "answer"' \
    "$HONE" score --data pairs.jsonl --gold-key answer
t "options" 0 '^4 rows, 2 correct' \
    "$HONE" score --data pairs.jsonl --options '{"rounding": 0}'
t "an unknown option" 78 'math: .*roundin.*rounding' \
    "$HONE" score --data pairs.jsonl --options '{"roundin": 0}'
t "another checker" 0 '^4 rows, 0 correct' "$HONE" score --data pairs.jsonl --checker format
t "an unknown checker" 78 'no checker "maths"; the nearest is "math"' \
    "$HONE" score --data pairs.jsonl --checker maths
t "explain is for math" 64 'only the checker math has it' \
    "$HONE" score --data pairs.jsonl --checker format --explain
t "a missing file" 66 'none.jsonl: No such file' "$HONE" score --data none.jsonl
echo '{"gold": "5"' >bad.jsonl
t "a line that is no JSON" 65 'bad.jsonl' "$HONE" score --data bad.jsonl
echo '{"gold": ["5"], "pred": "5"}' >bad.jsonl
t "a gold of another type" 65 'bad.jsonl:1: "gold" must be a text or a number' \
    "$HONE" score --data bad.jsonl
: >empty.jsonl
t "an empty file" 65 'holds no rows' "$HONE" score --data empty.jsonl
finish
