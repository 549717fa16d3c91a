#!/usr/bin/env bash
# Installs the Debian packages that building, running and testing hone need; with --dev also
# those of the other compiler and of lint. Says nothing when nothing is missing.
set -euo pipefail

packages=(gcc make pkg-config git libc6-dev libsqlite3-dev libcurl4-openssl-dev libcjson-dev
    libxxhash-dev libpcre2-dev libcmocka-dev sqlite3
    libseccomp-dev python3 g++)
dev=(clang libomp-dev cppcheck)

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

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null || true)
    [[ " $status" == *" installed "* ]] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    # sudo may ask for a password where somebody can answer
    if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo=(sudo)
    else
        echo "setup.sh: packages are missing and this user may not install them. As root, run:" >&2
        echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
        exit 77
    fi
fi

echo "setup.sh: installing ${missing[*]}"
install_missing() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
# The lists may be absent or stale: fetch them only if the first try fails.
install_missing || { "${sudo[@]}" apt-get update -qq && install_missing; }
