#!/bin/sh
# Installs the Debian packages named as arguments, quietly and without a question. Where that cannot be
# done (no root, no apt-get), says in one line what is missing and exits 1.
set -eu

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing, and to be installed by hand: $*" >&2
    exit 1
fi
echo "installing Debian packages: $*"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Without the lists' newest state apt-get asks mirrors for versions that they no longer have.
if ! { apt-get update -qq && apt-get install -qq --yes --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "missing, and apt-get could not install them: $*" >&2
    exit 1
fi
