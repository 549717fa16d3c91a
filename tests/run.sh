#!/usr/bin/env bash
# tests/run.sh OUT [WORD]: runs OUT/tests/test_* and tests/test_*.sh, one after the other.
# Every program speaks TAP. WORD picks programs by name, or single functions of the others.
# Each program gets HONE_TEST_TIMEOUT seconds (300). The last line: "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.."
out=$1 word=${2:-}
export HONE="$PWD/$out/hone" CMOCKA_MESSAGE_OUTPUT=TAP
# Threads that spin while they wait take the processor from whoever has work to do, where
# several runs share a machine; no result depends on it.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export ASAN_OPTIONS=detect_leaks=1:${ASAN_OPTIONS:-}
export UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-}
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run_one() {
    local program=$1 name=$2 filter="" start=$SECONDS rc=0 ok bad skip
    [ -z "$word" ] || [[ $name == *"$word"* ]] || filter=$word
    HONE_TEST_FILTER=$filter timeout -k 5 "${HONE_TEST_TIMEOUT:-300}" "$program" >"$log" 2>&1 ||
        rc=$?
    # some releases of cmocka print a skipped test as `not ok N # SKIP`
    skip=$(grep -cE '^(not )?ok .*# SKIP' "$log")
    ok=$(grep '^ok ' "$log" | grep -vc '# SKIP')
    bad=$(grep '^not ok ' "$log" | grep -vc '# SKIP')
    # a crash, a sanitizer's report or a timeout fails even where no test says so
    [ "$rc" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    if [ -z "$filter" ] && [ $((ok + bad + skip)) -eq 0 ]; then bad=1; fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ "$bad" -gt 0 ]; then
        printf 'FAIL %-24s %d passed, %d failed, %d s' "$name" "$ok" "$bad" $((SECONDS - start))
        [ "$rc" -ne 124 ] && [ "$rc" -ne 137 ] || printf ' (timed out)'
        printf ', status %d\n' "$rc"
        grep -v '^ok ' "$log" | tail -n 60 | sed 's/^/    /'
    elif [ $((ok + skip)) -gt 0 ]; then
        printf 'ok   %-24s %d passed, %d s\n' "$name" "$ok" $((SECONDS - start))
        grep -E '^(not )?ok .*# SKIP' "$log" | sed -E 's/^(not )?ok [0-9]*/     skipped/'
    fi
}

for source in tests/test_*.c tests/test_*.sh; do
    [ -e "$source" ] || continue
    name=$(basename "$source")
    case $source in
        *.c) run_one "$out/tests/${name%.c}" "${name%.c}" ;;
        *.sh)
            # a script's functions cannot be picked one by one
            if [ -z "$word" ] || [[ $name == *"$word"* ]]; then
                run_one "$source" "$name"
            fi
            ;;
    esac
done

[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
