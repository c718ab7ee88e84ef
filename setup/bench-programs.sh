#!/bin/sh
# The programs that netsvc is measured beside: each is looked for by its command and, where it is missing,
# installed as a Debian package. What cannot be installed is named, and the measurement goes without it.
set -eu

PATH=$PATH:/usr/sbin:/sbin
missing=
while read -r program package; do
    command -v "$program" >/dev/null || missing="$missing $package"
done <<PROGRAMS
cc gcc
ncat ncat
socat socat
inetutils-inetd inetutils-inetd
PROGRAMS

# A C compiler needs the C library's headers too.
case "$missing" in *gcc*) missing="$missing libc6-dev" ;; esac

# shellcheck disable=SC2086 # one word per package
[ -z "$missing" ] || "$(dirname "$0")/apt-install.sh" $missing || true
