#!/usr/bin/env bash
# A few of the hostile programs, as this user; `make hostile` runs them all, as two users.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${HONE:?the program to test}"
if ! "$HONE" doctor >/dev/null 2>&1; then
    echo "ok 1 # SKIP no sandbox on this machine"
    echo "1..1"
    exit 0
fi
exec python3 "$top/tests/hostile/run.py" "$HONE" --timeout 0.5 --only "eq_int exit_0_in_solve \
    frames patch_encoder forged_records forged_peer read_secret inherited_files leave_file daemon \
    kill_everybody fork_bomb tcp_out constructor"
