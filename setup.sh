#!/usr/bin/env bash
# Installs the Debian packages that building, running and testing hone need; with --dev also
# those of the other compiler and of lint; with --aarch64 also a cross compiler, an emulator,
# and the libraries in build/aarch64-root. Says nothing when nothing is missing.
set -euo pipefail

packages=(gcc make pkg-config git libc6-dev libsqlite3-dev libcurl4-openssl-dev libcjson-dev
    libxxhash-dev libpcre2-dev libutf8proc-dev libgmp-dev libmpfr-dev libflint-dev libcmocka-dev
    libseccomp-dev sqlite3 python3 g++ lua5.4)
dev=(clang libclang-rt-dev libomp-dev cppcheck)
aarch64=(gcc-aarch64-linux-gnu qemu-user)

case "${1:-}" in
    "" | --aarch64) ;;
    --dev) packages+=("${dev[@]}") ;;
    *)
        echo "usage: ./setup.sh [--dev | --aarch64]" >&2
        exit 64
        ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "setup.sh: this is no Debian or Ubuntu. Install the equivalents of: ${packages[*]}" >&2
    exit 69
fi

sudo=()
# What follows needs root: says how to get it where it is not to be had.
become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    # sudo may ask for a password where somebody can answer
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo=(sudo)
        return 0
    fi
    echo "setup.sh: packages are missing and this user may not install them. As root, run:" >&2
    echo "    $1" >&2
    exit 77
}
fetch_lists() { "${sudo[@]}" apt-get update -qq; }

# field NAME PACKAGE: a field of the package as it is installed here. One of another
# architecture is not the one that is wanted.
native=$(dpkg --print-architecture)
field() {
    dpkg-query -W -f='${Architecture} ${db:Status-Status} ${'"$1"'}\n' "$2" 2>/dev/null |
        awk -v native="$native" '($1 == native || $1 == "all") && $2 == "installed" {print $3}'
}

# FLINT 3 absorbed Arb, Antic and Calcium, which are packages of their own before. The one
# that is installed decides, else the one that this system offers.
flint_version() {
    field Version libflint-dev | grep . && return
    LC_ALL=C apt-cache policy libflint-dev | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}'
}
if [ -z "$(flint_version)" ]; then # the lists are absent
    become_root "apt-get update && ./setup.sh $*"
    fetch_lists
fi
[[ $(flint_version) != 2.* ]] || packages+=(libflint-arb-dev libantic-dev libcalcium-dev)

# The libraries that hone links, for aarch64. libflint-dev cannot be installed for two
# architectures at once, so they are unpacked into a folder; apt finds what they need among
# its own lists, and nothing of this system changes.
unpack_aarch64() {
    local root=build/aarch64-root apt="$PWD/build/aarch64-apt" link deb wanted=(libgomp1)
    local package options
    for package in "${packages[@]}"; do
        [[ $package != lib*-dev ]] || wanted+=("$package")
    done
    [ "$(cat "$root/unpacked" 2>/dev/null)" != "${wanted[*]}" ] || return 0
    echo "setup.sh: unpacking ${wanted[*]} for aarch64 into $root"
    rm -rf "$root" "$apt"
    mkdir -p "$root" "$apt/lists/partial" "$apt/archives/partial"
    touch "$apt/status"
    options=(-qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$apt"
        -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" -o APT::Sandbox::User=
        -o Debug::NoLocking=1)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" install -y --no-install-recommends --download-only "${wanted[@]}"
    for deb in "$apt"/archives/*.deb; do dpkg-deb -x "$deb" "$root"; done
    # links that start at / are meant to start at the root
    find "$root" -type l -lname '/*' | while read -r link; do
        ln -snfr "$root$(readlink "$link")" "$link"
    done
    rm -rf "$apt"
    echo "${wanted[*]}" >"$root/unpacked"
}
if [ "${1:-}" = --aarch64 ]; then
    cd "$(dirname "$0")"
    unpack_aarch64
    packages+=("${aarch64[@]}")
fi

missing=()
for package in "${packages[@]}"; do
    [ -n "$(field Version "$package")" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

become_root "apt-get update && apt-get install -y --no-remove --no-install-recommends ${missing[*]}"
echo "setup.sh: installing ${missing[*]}"
install_missing() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-remove --no-install-recommends "${missing[@]}"
}
# The lists may be absent or stale: fetch them only if the first try fails.
install_missing || { fetch_lists && install_missing; }
