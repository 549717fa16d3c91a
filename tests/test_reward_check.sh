#!/usr/bin/env bash
# tests/test_reward_check.sh: `hone reward check`, which tries a plug-in against its interface.
. "$(dirname "$0")/lib.sh"
rewards=$top/experiments/rewards
: "${CC:=cc}"
# a worker that crashes dies by the signal under the address sanitizer too
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:handle_segv=0

build() { "$CC" -O2 -Wall -fPIC -shared -fvisibility=hidden -iquote "$top" -iquote "$top/reward" "$1" -o "$2"; }
build "$rewards/digits.c" digits.so || echo "Bail out! cannot build digits.so"
build "$top/tests/plugins/faulty.c" faulty.so || echo "Bail out! cannot build faulty.so"

fault_check() { "$HONE" reward check ./faulty.so --timeout 0.3 --options "{\"fault\":\"$1\",\"marker\":\"\"}"; }

t "a sound shared object passes" 0 '^all 9 tests passed$' "$HONE" reward check ./digits.so
t "its options are handed over" 0 '^all 9 tests passed$' \
    "$HONE" reward check ./digits.so --options '{"enough": 0.5}'
t "what it says of its options is shown" 69 'options: the only one is enough' \
    "$HONE" reward check ./digits.so --options '{"enough": 7}'
t "a file that is no shared object" 69 'load the plug-in: .*invalid ELF header' \
    "$HONE" reward check "$rewards/digits.c"
t "check finds a crash" 70 'killed by signal 11' fault_check segv
t "check finds a hang" 70 'no answer within 0.3 s' fault_check hang
t "check finds a NaN" 70 'its score is not a number' fault_check nan
t "check finds a write before a result" 70 'it wrote before its result' fault_check before
t "check finds a write past a result" 70 'killed by signal 11' fault_check past
t "check finds a sample without verdict" 70 'left the sample without a verdict' fault_check unset
finish
