#!/usr/bin/env bash
# tests/aarch64.sh: make check-aarch64. Builds for aarch64 with Debian's cross compiler, compares
# whole runs with ./hone's, and runs the tests of all arithmetic, both under qemu-user.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD/build/aarch64-root
cc=aarch64-linux-gnu-gcc out=build/release-aarch64-linux-gnu-gcc
tests=(base kernels matmul linear sampler rollout rl model session)
# threads that spin while they wait are slow to emulate; no result depends on it
export OMP_WAIT_POLICY=passive

for program in $cc qemu-aarch64; do
    command -v "$program" >/dev/null || missing=$program
done
[ -e "$root/unpacked" ] || missing=$root
if [ -n "${missing:-}" ]; then
    echo "check-aarch64: there is no $missing; ./setup.sh --aarch64 installs it" >&2
    exit 69
fi

export PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_LIBDIR=$root/usr/lib/aarch64-linux-gnu/pkgconfig:$root/usr/share/pkgconfig
build() { make --no-print-directory CC=$cc CFLAGS="--sysroot=$root $1" "${@:2}"; }
# gcc 12 for aarch64 ends in an internal error (vect_transform_reduction) on this one at -O3
build -O2 $out/tests/test_model.o
build "" $out/hone "${tests[@]/#/$out/tests/test_}" | { grep -v "is up to date" || true; }

emulated=(qemu-aarch64 -L "$root")
qemu-aarch64 --version | head -n 1
"${emulated[@]}" $out/hone --version
failed=0
HONE=$PWD/hone HONE_ALSO="${emulated[*]} $PWD/$out/hone" HONE_ALSO_ISA="neon plain" \
    tests/test_exact.sh || failed=1
for name in "${tests[@]}"; do
    start=$SECONDS
    if "${emulated[@]}" "$out/tests/test_$name" >"$out/$name.log" 2>&1; then
        echo "ok   test_$name, $(grep -c '^\[ *OK \]' "$out/$name.log") tests, $((SECONDS - start)) s"
    else
        echo "FAIL test_$name"
        tail -n 20 "$out/$name.log"
        failed=1
    fi
done
exit $failed
