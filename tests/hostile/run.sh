#!/usr/bin/env bash
# run.sh [OPTIONS of run.py]: the hostile programs against HONE, as this user; started by root,
# then as nobody too.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bad=0
echo "# as $(id -un)"
python3 "$here/run.py" "$HONE" "$@" || bad=1
if [ "$(id -u)" -eq 0 ]; then
    # a copy that another user can reach
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp "$HONE" "$copy/hone"
    cp "$here"/run.py "$here"/*.txt "$copy"
    chmod -R a+rX "$copy"
    echo "# as nobody"
    setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp \
        /usr/bin/python3 "$copy/run.py" "$copy/hone" "$@" || bad=1
fi
exit $bad
