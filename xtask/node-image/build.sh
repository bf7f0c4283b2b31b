#!/bin/bash
# Builds the root file system of a node container: a minimal Debian that boots systemd and answers SSH.
#
#   build.sh OUTPUT_TAR MIRROR SUITE
#
# The tar carries no identity: no machine-id, no SSH host keys, no root password. Each is made (or set by
# whoever starts the node) at first boot, so that two nodes never look like the same machine.
set -euo pipefail

output=$(realpath -m "$1")
mirror=$2
suite=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "$(dirname "$output")/node-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
root="$work/root"

packages=systemd,systemd-sysv,dbus,openssh-server,sudo,iproute2,iptables,nftables,kmod,procps,conntrack,socat,ethtool
packages+=,ca-certificates,curl,iputils-ping,util-linux
debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror"

cp -r "$here/files/." "$root/"
chmod 0755 "$root/usr/local/bin/sealer-node-init"

: > "$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* "$root"/var/log/*.log
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/usr/share/info/*

# A container has no disks to mount, no terminals to offer and no firmware to talk to.
for unit in getty.target console-getty.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-modules-load.service systemd-logind.service systemd-remount-fs.service e2scrub_reap.service \
    apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer nftables.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

tar --create --file "$output" --directory "$root" --sort=name --numeric-owner --xattrs .
