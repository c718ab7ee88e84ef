#!/bin/sh
# Makes the virtual environment .venv in the current directory with a Python of 3.11 or newer, unless a
# working one is there. PYTHON names another interpreter than the one that is found.
set -eu

# An environment holds its own path: one that was moved or copied still starts the programs of the old place.
if grep -qsF "$PWD/.venv/" .venv/bin/pip && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for python in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14}; do
    if is_new_enough "$python"; then
        found=$python
        break
    fi
done
if [ -z "${found:-}" ]; then
    echo "netsvc needs Python 3.11 or newer; PYTHON=/path/to/python3 names one that is not on the PATH" >&2
    exit 1
fi

# Debian keeps what makes an environment in a package of its own.
if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
    "$(dirname "$0")/apt-install.sh" "$("$found" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
fi
"$found" -m venv --clear .venv
