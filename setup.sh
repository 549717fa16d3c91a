#!/usr/bin/env bash
# Installs the Debian packages that building, running and testing hone need; with --dev also
# those of the other compiler and of lint. Says nothing when nothing is missing.
set -euo pipefail

packages=(gcc make pkg-config git libc6-dev libsqlite3-dev libcurl4-openssl-dev libcjson-dev
    libxxhash-dev libpcre2-dev libutf8proc-dev libgmp-dev libmpfr-dev libflint-dev libcmocka-dev
    libseccomp-dev sqlite3 python3 g++)
dev=(clang libclang-rt-dev libomp-dev cppcheck)

case "${1:-}" in
    "") ;;
    --dev) packages+=("${dev[@]}") ;;
    *)
        echo "usage: ./setup.sh [--dev]" >&2
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

# FLINT 3 absorbed Arb, Antic and Calcium, which are packages of their own before. The one
# that is installed decides, else the one that this system offers.
flint_version() {
    dpkg-query -W -f='${Version}' libflint-dev 2>/dev/null && return
    LC_ALL=C apt-cache policy libflint-dev | awk '$1 == "Candidate:" && $2 != "(none)" {print $2}'
}
if [ -z "$(flint_version)" ]; then # the lists are absent
    become_root "apt-get update && ./setup.sh $*"
    fetch_lists
fi
[[ $(flint_version) != 2.* ]] || packages+=(libflint-arb-dev libantic-dev libcalcium-dev)

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null || true)
    [[ " $status" == *" installed "* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

become_root "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
echo "setup.sh: installing ${missing[*]}"
install_missing() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
# The lists may be absent or stale: fetch them only if the first try fails.
install_missing || { fetch_lists && install_missing; }
