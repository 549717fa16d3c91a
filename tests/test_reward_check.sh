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

# Long, so that a busy machine makes no faults of its own, but where the fault takes it.
fault_check() { "$HONE" reward check ./faulty.so --timeout "${2:-100}" --options "{\"fault\":\"$1\",\"marker\":\"\"}"; }

t "a sound shared object passes" 0 '^all 12 tests passed$' "$HONE" reward check ./digits.so --timeout 100
t "its options are handed over" 0 '^all 12 tests passed$' \
    "$HONE" reward check ./digits.so --timeout 100 --options '{"enough": 0.5}'
t "what it says of its options is shown" 69 'options: the only one is enough' \
    "$HONE" reward check ./digits.so --options '{"enough": 7}'
t "a file that is no shared object" 69 'load the plug-in: .*invalid ELF header' \
    "$HONE" reward check "$rewards/digits.c"
t "check finds a crash" 70 'killed by signal 11' fault_check segv
beside "check finds a hang" 70 'no answer within 0.1 s' fault_check hang 0.1
t "check finds a NaN" 70 'its score is not a number' fault_check nan
t "check finds a write before a result" 70 'it wrote before its result' fault_check before
t "check finds a write past a result" 70 'killed by signal 11' fault_check past
t "check finds a sample without verdict" 70 'left the sample without a verdict' fault_check unset
t "check finds a score out of range" 70 'score 1.5 is outside of 0 to 1' fault_check range
t "which may be what it is told" 0 '^all 12 tests passed$' \
    "$HONE" reward check ./faulty.so --timeout 100 --max-value 2 --options '{"fault":"range","marker":""}'
t "check finds an unknown status" 70 'it left an unknown status' fault_check status
t "a status that is no score is fine, and counted" 0 ' [0-9]+ undecided$' fault_check undecided
t "likewise not scorable" 0 ' [0-9]+ not_scorable$' fault_check none
t "check finds a signal that is taken" 70 'it changed what signal 2 \(Interrupt\) does' fault_check signal
t "check finds a call from another thread" 70 'it called set_error on a thread of its own' \
    fault_check thread
t "check finds a write into a text" 70 'killed by signal 11' fault_check text
t "check finds a write into ids" 70 'killed by signal 11' fault_check ids
t "check finds who knows one size only" 70 '^1 of 12 tests failed$' fault_check size
t "check finds who goes over samples as an array" 70 'killed by signal 11' fault_check array
t "check finds who wipes what it does not know" 70 'it wrote (before|past) its result' fault_check wipe

# --- programs and servers -----------------------------------------------------------------------

program() { "$HONE" reward check --command "[\"python3\",\"$1\"${2:+,\"$2\"}]" --timeout "${3:-100}"; }
faulty=$top/tests/plugins/faulty.py
beside "a sound program passes" 0 '^all 12 tests passed$' program "$rewards/letters.py"
beside "a program that only crashes when its input ends" 70 '^1 of 12 tests failed$' \
    "$HONE" reward check --timeout 100 --command '["sh", "-c", "python3 \"$0\"; exit 5", "'"$rewards/letters.py"'"]'
beside "check finds a program's crash" 70 'killed by signal 11' program "$faulty" segv
beside "its garbage" 70 'answer:1:1: ' program "$faulty" garbage
beside "its NaN" 70 'answer:1:[0-9]+: ' program "$faulty" nan
beside "its hang" 70 'no answer within 0.1 s' program "$faulty" hang 0.1
together
t "a program that is not there" 69 'start ./none: No such file' "$HONE" reward check --command '["./none"]'
start_server "$rewards/server.py"
t "a sound server passes" 0 '^all 11 tests passed$' "$HONE" reward check --timeout 100 --url "$url"
t "no server" 69 'does not say hello: .*onnect' "$HONE" reward check --url http://127.0.0.1:1/
t "one of three" 64 'one of PLUGIN, --command and --url is needed' "$HONE" reward check
t "and no more" 64 'one of PLUGIN, --command and --url is needed' \
    "$HONE" reward check ./digits.so --url http://127.0.0.1:1/
t "columns that are no object" 64 'columns' "$HONE" reward check ./digits.so --columns '[]'
finish
