#!/bin/sh
# sslyze, which judges what a TLS server agrees to: tests have it look at ours. It is in an environment of its
# own, because it needs an older cryptography than pyOpenSSL does, on which Twisted's TLS stands.
set -eu

# 6.3 has Mozilla's profiles of version 5.7.
wanted='sslyze>=6.3'

[ ! -x .venv/sslyze/bin/sslyze ] || exit 0
echo "installing sslyze in .venv/sslyze"
.venv/bin/python -m venv --clear .venv/sslyze
.venv/sslyze/bin/python -m pip -qq --no-input --disable-pip-version-check install "$wanted" ||
    echo "sslyze cannot be installed: the tests that need it are skipped" >&2
