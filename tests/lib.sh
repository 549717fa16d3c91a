# tests/lib.sh: sourced by tests/test_*.sh. HONE names the program; the script runs in a
# folder of its own, removed at the end. One `t` is one TAP line.
set -uo pipefail
: "${HONE:?the program to test}"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
n=0 failures=0

# t NAME STATUS PATTERN COMMAND...: the command must end with STATUS, and its output (both
# streams) must contain a match of the extended regular expression PATTERN ("" matches all).
t() {
    local name=$1 status=$2 pattern=$3 rc=0 text
    shift 3
    n=$((n + 1))
    text=$("$@" 2>&1) || rc=$?
    if [ "$rc" -eq "$status" ] && grep -Eq -- "$pattern" <<<"$text"; then
        echo "ok $n - $name"
        return
    fi
    failures=$((failures + 1))
    echo "not ok $n - $name"
    printf '%s\n' "wanted status $status and /$pattern/, got status $rc and:" "$text" |
        head -n 40 | sed 's/^/# /'
}

finish() {
    echo "1..$n"
    [ "$failures" -eq 0 ] && [ "$n" -gt 0 ]
    exit
}
