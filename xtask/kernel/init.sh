#!/bin/sh
# First process of the user-mode Linux: prepares the kernel, runs the program beside this file, powers off.
# The machine's files are read only here; what must be written lies in memory.
directory=$(dirname "$0")
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=0755 tmpfs /run
cp "$directory/program" "$directory/arguments" /run/
mount -t tmpfs tmpfs /tmp

# The kernel's modules are where its package put them, not where modprobe looks; /lib/modules may not even exist.
mkdir -p /run/modules/lib/modules /run/programs
ln -s "/usr/lib/uml/modules/$(uname -r)" "/run/modules/lib/modules/$(uname -r)"
printf '#!/bin/sh\nexec /sbin/modprobe -d /run/modules "$@"\n' >/run/programs/modprobe
chmod 0755 /run/programs/modprobe
echo /run/programs/modprobe >/proc/sys/kernel/modprobe
export PATH=/run/programs:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp

ip link set lo up
set --
while IFS= read -r word; do set -- "$@" "$word"; done </run/arguments
/run/program "$@" 2>&1
echo "ended with $?"
echo o >/proc/sysrq-trigger
sleep 10
