#!/bin/sh
# Boots systemd in namespaces of its own, on this machine's files: what it writes is in memory, and gone when it ends.
#
# The arguments are an empty directory, which is where the rest is mounted for it alone, a control group that this
# process is in already, and a directory that is to be seen inside, with the path that it has there: others may be where
# something else is mounted. It needs root; where something is not allowed, the line that failed says so on standard error.
set -eu

if [ "${5:-}" != inside ]; then
    exec unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup --propagation private "$0" "$@" inside
fi

mount -t tmpfs -o size=1g tmpfs "$1"
root=$1/root
mkdir "$1/upper" "$1/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$root"
mkdir -p "$root$4"
mount --bind "$3" "$root$4"
mount -t proc proc "$root/proc"
# Kernel variables are the whole machine's, and nothing in here is to change them.
mount --bind -o ro "$root/proc/sys" "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    : >"$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ip link set lo up

# Of this machine's own services none starts here, and nothing that would see to its hardware.
units=$root/etc/systemd/system
rm -rf "$units"
mkdir "$units"
for unit in systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service systemd-update-utmp.service \
    systemd-udevd.service systemd-udev-trigger.service sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount dev-hugepages.mount proc-sys-fs-binfmt_misc.automount dbus.socket; do
    ln -s /dev/null "$units/$unit"
done
cat >"$units/booted.target" <<UNIT
[Unit]
Requires=basic.target
After=basic.target
UNIT
: >"$root/etc/machine-id"

mkdir "$root/mnt/outside"
cd "$root"
pivot_root . mnt/outside
umount -l /mnt/outside
# As it is on any machine with systemd: credentials are mounted where all units could see them.
mount --make-rshared /
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=booted.target </dev/null
