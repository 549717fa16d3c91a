#!/usr/bin/env bash
# tests/lint.sh: the rules of the house that a machine can check. CFLAGS come from make lint.
set -uo pipefail
cd "$(dirname "$0")/.."
rooms=(base policy rollout reward rl db cli tests)
bad=0

fail() {
    printf '%s\n' "$@"
    bad=$((bad + 1))
}

files() { find "${rooms[@]}" -name "$1" -not -path '*/golden/*' | sort; }

may_include() {
    case $1 in
        base) echo base ;;
        policy | reward | db) echo "base $1" ;;
        rollout) echo "base policy rollout" ;;
        rl) echo "base policy rollout rl" ;;
        cli | tests) echo "${rooms[*]}" ;;
    esac
}

# The file without its comments, lines kept.
code() { gcc -fpreprocessed -dD -E "$1" 2>/dev/null | grep -v '^# '; }

include_direction() {
    local file room other
    for file in $(files '*.[ch]'); do
        room=${file%%/*}
        while read -r other; do
            [[ " $(may_include "$room") " == *" $other "* ]] ||
                fail "$file: $room/ must not include $other/"
        done < <(sed -nE 's@^ *# *include "([a-z]+)/.*@\1@p' "$file" | sort -u)
        grep -nE '^ *# *include "[^/"]*"' "$file" /dev/null && fail "$file: include by room/file.h"
        grep -nE '^ *# *include [<"][^>"]*\.c[>"]' "$file" /dev/null &&
            fail "$file: a source is included"
    done
}

headers_alone() {
    local header cc
    for header in $(files '*.h'); do
        for cc in gcc clang; do
            command -v $cc >/dev/null || continue
            # shellcheck disable=SC2086
            $cc ${CFLAGS:-"-std=gnu11 -D_GNU_SOURCE -I."} -Wall -Wextra -Werror -Wno-unused-function \
                -x c -include "$header" -fsyntax-only /dev/null ||
                fail "$header: does not compile alone with $cc"
        done
    done
}

banned_calls() {
    local file hits
    for file in $(files '*.[ch]'); do
        local banned='strcpy|strcat|sprintf|strtok|atoi|atof|gets|rand|assert'
        case $file in cli/* | tests/*) ;; *) banned+='|getenv|exit' ;; esac
        hits=$(code "$file" | grep -nE "(^|[^_A-Za-z0-9])($banned) *\(") &&
            fail "$file: a banned call:" "$hits"
    done
}

lengths() {
    local file n
    for file in $(files '*.[ch]') $(files '*.sh'); do
        n=$(wc -l <"$file")
        [ "$n" -le 800 ] || fail "$file: $n lines, 800 is the limit"
        # simd.h is inline code, one small function an operation and instruction set
        [[ $file != *.h || $file == policy/simd.h ]] || [ "$n" -le 150 ] || fail "$file: $n lines, 150 is the limit of a header"
    done
}

# Nothing that is true on one machine only, and no loose ends.
words() {
    local list
    list=$(git ls-files 2>/dev/null || true)
    [ -n "$list" ] || return 0
    # shellcheck disable=SC2086
    grep -nIE '(^|[^A-Za-z0-9_.])/(wor[k]|hom[e]/[a-z]+|roo[t]|User[s])/' $list &&
        fail "a path of one machine"
    # shellcheck disable=SC2086
    grep -nIE '\b(TOD[O]|FIXM[E]|XX[X])\b' $(grep -E '\.(c|h|sh)$|Makefile' <<<"$list") &&
        fail "a loose end: finish it or file it"
}

scripts() {
    local file
    for file in setup.sh .ci/run $(files '*.sh'); do
        bash -n "$file" || fail "$file: no valid bash"
        [[ $file == tests/lib.sh ]] || [ -x "$file" ] || fail "$file: not executable"
    done
}

static_analysis() {
    command -v cppcheck >/dev/null || return 0
    cppcheck -q -j"$(nproc)" --std=c11 --enable=warning,performance,portability \
        --suppressions-list=tests/cppcheck.txt --inline-suppr --error-exitcode=1 \
        -I. -D__x86_64__ "${rooms[@]}" || fail "cppcheck has something to say"
}

for rule in include_direction headers_alone banned_calls lengths words scripts static_analysis; do
    before=$bad
    $rule
    [ "$bad" -eq "$before" ] && echo "ok   $rule" || echo "FAIL $rule"
done
[ "$bad" -eq 0 ]
