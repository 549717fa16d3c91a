#!/usr/bin/env bash
# tests/test_plugin.sh: rewards that are other people's programs: as `hone reward check` sees
# them, and in real runs.
. "$(dirname "$0")/lib.sh"
rewards=$top/experiments/rewards
: "${CC:=cc}"

"$CC" -O2 -fPIC -shared -fvisibility=hidden -I "$top/reward" "$rewards/digits.c" -o digits.so ||
    echo "Bail out! $CC cannot build digits.so"
t "a sound shared object passes" 0 '^all 9 tests passed$' "$HONE" reward check ./digits.so
t "its options are handed over" 0 '^all 9 tests passed$' \
    "$HONE" reward check ./digits.so --options '{"enough": 0.5}'
t "what it says of its options is shown" 69 'options: the only one is enough' \
    "$HONE" reward check ./digits.so --options '{"enough": 7}'
t "a file that is no shared object" 69 'load the plug-in: .*invalid ELF header' \
    "$HONE" reward check "$rewards/digits.c"
finish
