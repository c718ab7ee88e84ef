#!/bin/sh
# The programs that tests drive netsvc with, because a first user would: each is looked for by its command
# and, where it is missing, installed as a Debian package. What cannot be installed is named, and the tests
# that need it are skipped by name.
set -eu

missing=
while read -r program package; do
    command -v "$program" >/dev/null || missing="$missing $package"
done <<PROGRAMS
nc netcat-openbsd
socat socat
openssl openssl
curl curl
ss iproute2
systemd-socket-activate systemd
man man-db
mandoc mandoc
chromium chromium
strace strace
tshark tshark
PROGRAMS

# shellcheck disable=SC2086 # one word per package
[ -z "$missing" ] || "$(dirname "$0")/apt-install.sh" $missing || true

"$(dirname "$0")/sslyze.sh"
