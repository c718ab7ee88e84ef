#!/bin/sh
# Installs netsvc for a whole machine, or takes away what was installed: `make install`, `make uninstall`.
#
# The arguments are install or uninstall. From the environment come DESTDIR, PREFIX, SYSCONFDIR and UNITDIR as the
# Makefile has them, PIP_ARGS, more arguments for pip, and PYTHON, the interpreter that netsvc is to run on. What is
# installed holds its final paths, also where DESTDIR puts it somewhere else for now.
set -eu
umask 022

library=$PREFIX/lib/netsvc
# The configuration as it was installed, which tells one that somebody has changed.
pristine=$PREFIX/share/netsvc/netsvc.toml
configuration=$SYSCONFDIR/netsvc/netsvc.toml

# The machine's own Python rather than one that somebody has at home, which the units may not read.
choose_python() {
    for python in ${PYTHON:-/usr/bin/python3 .venv/bin/python}; do
        if "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            case $("$python" -c 'import sys; print(sys.base_prefix)')/ in
            /root/* | /home/*) echo "$python is in a home directory: its units cannot start netsvc with it" >&2 ;;
            esac
            return 0
        fi
    done
    echo "netsvc needs Python 3.11 or newer; PYTHON=/path/to/python3 names one" >&2
    exit 1
}

# An environment of its own with netsvc and what it needs: nothing else of the machine's Python changes it.
install_library() {
    new=$DESTDIR$library.new
    rm -rf "$new"
    mkdir -p "$DESTDIR$PREFIX/lib"
    choose_python
    "$python" -m venv --without-pip "$new"
    # shellcheck disable=SC2086 # arguments
    .venv/bin/python -m pip --python "$new/bin/python" -qq --no-input --disable-pip-version-check \
        install --no-compile ${PIP_ARGS:-} .
    # What is for people who work in an environment, and other projects' programs, are nothing for this one.
    find "$new/bin" -mindepth 1 ! -name 'python*' ! -name netsvc ! -name twistd ! -name twist -delete
    rm -f "$new/.gitignore"
    # Programs, and what says how the environment was made, name the place where it will be.
    # pip begins a program otherwise where its interpreter's path is too long for a first line; later it is not.
    [ ${#library} -gt 100 ] || plain="1{/^#!\/bin\/sh\$/{N;N;s|.*|#!$library/bin/python|;};}"
    grep -rlIF "$new" "$new/bin" "$new/pyvenv.cfg" | while read -r file; do
        sed -e "${plain:-}" -e "s|$new|$library|g" "$file" >"$file.moved"
        cat "$file.moved" >"$file"
        rm "$file.moved"
    done
    # Under its units the daemon may write neither of these. Templates, which are no source of this Python, fail; the
    # reader of the plugins writes dropin.cache.
    "$new/bin/python" -IB -m compileall -qq -f -s "$new" -p "$library" "$new/lib" || true
    (cd / && "$new/bin/python" -B -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))')
    rm -rf "$DESTDIR$library.old"
    [ ! -e "$DESTDIR$library" ] || mv "$DESTDIR$library" "$DESTDIR$library.old"
    mv "$new" "$DESTDIR$library"
    rm -rf "$DESTDIR$library.old"
}

# A file of etc/, with the places where things are in place of the usual ones.
install_text() {
    mkdir -p "$(dirname "$DESTDIR$2")"
    sed -e "s|/usr/local/bin/|$PREFIX/bin/|g" -e "s|/etc/netsvc/|$SYSCONFDIR/netsvc/|g" "$1" >"$DESTDIR$2"
    chmod 644 "$DESTDIR$2"
}

# Not over one that somebody has changed.
install_configuration() {
    if [ ! -e "$DESTDIR$configuration" ] || cmp -s "$DESTDIR$configuration" "$DESTDIR$pristine"; then
        install_text etc/netsvc.toml "$configuration"
    else
        echo "$DESTDIR$configuration has been changed and stays; $DESTDIR$pristine is the new one"
    fi
    install_text etc/netsvc.toml "$pristine"
}

# What is put somewhere else for now is for another machine to take up.
tell_systemd() {
    [ -z "$DESTDIR" ] || return 0
    if [ "$1" = install ] && [ "$(id -u)" = 0 ] && command -v systemd-sysusers >/dev/null; then
        systemd-sysusers "$PREFIX/lib/sysusers.d/netsvc.conf"
    fi
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

each_text() {
    for unit in etc/systemd/*.service etc/systemd/*.socket; do
        "$1" "$unit" "$UNITDIR/$(basename "$unit")"
    done
    "$1" etc/systemd/netsvc.sysusers.conf "$PREFIX/lib/sysusers.d/netsvc.conf"
    "$1" etc/man/netsvc.1 "$PREFIX/share/man/man1/netsvc.1"
    "$1" etc/man/netsvc.toml.5 "$PREFIX/share/man/man5/netsvc.toml.5"
}

remove_text() {
    rm -f "$DESTDIR$2"
}

remove_directory() {
    rmdir "$DESTDIR$1" 2>/dev/null || true
}

case $1 in
install)
    install_library
    mkdir -p "$DESTDIR$PREFIX/bin"
    ln -sfn ../lib/netsvc/bin/netsvc "$DESTDIR$PREFIX/bin/netsvc"
    each_text install_text
    install_configuration
    tell_systemd install
    ;;
uninstall)
    each_text remove_text
    [ "$(readlink "$DESTDIR$PREFIX/bin/netsvc")" != ../lib/netsvc/bin/netsvc ] || rm "$DESTDIR$PREFIX/bin/netsvc"
    rm -rf "$DESTDIR$library" "$DESTDIR$library.new" "$DESTDIR$library.old"
    if cmp -s "$DESTDIR$configuration" "$DESTDIR$pristine"; then
        rm "$DESTDIR$configuration"
    elif [ -e "$DESTDIR$configuration" ]; then
        echo "$DESTDIR$configuration has been changed and stays"
    fi
    rm -f "$DESTDIR$pristine"
    remove_directory "$PREFIX/share/netsvc"
    # Unless there is more in it, such as a token.
    remove_directory "$SYSCONFDIR/netsvc"
    tell_systemd uninstall
    ;;
*)
    echo "expected install or uninstall" >&2
    exit 2
    ;;
esac
