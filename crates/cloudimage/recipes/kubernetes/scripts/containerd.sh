#!/bin/bash
# Installs and starts containerd on this host.
#
#   containerd.sh [STORAGE] [REGISTRY_DOMAIN] [REGISTRY_PORT]
#
# The rules that send image pulls to the cluster's registry (certs.d) are not this script's: the registry's
# certificate and the addresses of the masters are known only when a cluster is made.
set -euo pipefail

rootfs=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
storage=${1:-/var/lib/containerd}
installed=/etc/containerd/sealer-installed

# Says whether this host may use capability number $1.
has_capability() {
    local bounding
    bounding=$(awk '/^CapBnd/ { print $2 }' /proc/self/status)
    (((0x$bounding >> $1) & 1))
}

install_binaries() {
    mkdir -p /etc/containerd
    # An engine that somebody else put here stays, and is not removed later.
    if command -v containerd >/dev/null && command -v runc >/dev/null && [ ! -e "$installed" ]; then
        echo "containerd.sh: using the containerd of this host: $(containerd --version)"
        return
    fi
    local bundle="$rootfs/cri/containerd.tar.gz" wanted
    wanted=$({ cat "$bundle"; cat "$rootfs/cri/runc" 2>/dev/null || true; } | sha256sum | cut -d ' ' -f 1)
    if [ -e "$installed" ] && [ "$(head -n 1 "$installed")" = "$wanted" ] && command -v containerd >/dev/null; then
        return
    fi
    # Unpacked beside the target and moved, so that a running engine never sees half a file.
    local stage=/var/tmp/sealer-containerd
    rm -rf "$stage"
    mkdir -p "$stage"
    tar --extract --gzip --file "$bundle" --directory "$stage" --no-same-owner
    # The official archive begins with bin/; others are unpacked at /.
    if [ -d "$stage/bin" ]; then
        mkdir -p "$stage/usr"
        mv "$stage/bin" "$stage/usr/bin"
    fi
    [ ! -e "$rootfs/cri/runc" ] || cp "$rootfs/cri/runc" "$stage/usr/bin/runc"
    { echo "$wanted"; cd "$stage"; find . -type f | sed 's/^\.//'; } > "$installed.new"
    local file
    (cd "$stage" && find . -type f) | while read -r file; do
        mkdir -p "$(dirname "/$file")"
        cp "$stage/$file" "/$file.sealer-new"
        mv -f "/$file.sealer-new" "/$file"
    done
    rm -rf "$stage"
    mv "$installed.new" "$installed"
    export LD_LIBRARY_PATH=/usr/lib/sealer
    if ! containerd --version || ! runc --version; then
        echo "containerd.sh: the carried containerd and runc do not run on this host, which has" \
            "$(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'another C library'); the lines above say what they need" >&2
        exit 1
    fi
}

write_configuration() {
    local restrict=false snapshotter=overlayfs
    # Some container hosts lack CAP_SYS_RESOURCE (24).
    if ! has_capability 24; then
        restrict=true
    fi
    # overlayfs cannot lie on overlayfs: a host that is itself a container may keep its storage there.
    mkdir -p "$storage"
    if [ "$(stat --file-system --format %T "$storage")" = overlayfs ]; then
        snapshotter=native
    fi
    sed -e "s|@STORAGE@|$storage|" -e "s|@RESTRICT_OOM_SCORE_ADJ@|$restrict|" \
        -e "s|@SNAPSHOTTER@|$snapshotter|" "$rootfs/etc/containerd-config.toml" > /etc/containerd/config.toml.new
    mkdir -p /etc/containerd/certs.d
    # The configuration of an engine that was here before comes back with uninstall-containerd.sh.
    if [ -e /etc/containerd/config.toml ] && ! grep -q '^# Written by containerd.sh' /etc/containerd/config.toml; then
        mv /etc/containerd/config.toml /etc/containerd/config.toml.before-sealer
    fi
    if cmp -s /etc/containerd/config.toml.new /etc/containerd/config.toml 2>/dev/null; then
        rm /etc/containerd/config.toml.new
    else
        mv /etc/containerd/config.toml.new /etc/containerd/config.toml
        restart=yes
    fi
}

restart=no
install_binaries
write_configuration
if ! cmp -s "$rootfs/etc/containerd.service" /etc/systemd/system/containerd.service; then
    cp "$rootfs/etc/containerd.service" /etc/systemd/system/containerd.service
    systemctl daemon-reload
    restart=yes
fi
systemctl enable --quiet containerd.service
if [ "$restart" = yes ]; then
    systemctl restart containerd.service
else
    systemctl start containerd.service
fi

# `notify` says that the socket listens; the first answer says that the plugins are loaded too.
for _ in $(seq 50); do
    if ctr version >/dev/null 2>&1; then
        exit 0
    fi
    sleep 0.2
done
echo "containerd.sh: containerd does not answer; its last lines:" >&2
journalctl --unit containerd.service --lines 20 --no-pager >&2 || true
exit 1
