#!/bin/bash
# Stops every container of the cluster and removes the containerd that containerd.sh installed, with its data. An
# engine that was on the host before stays, with the configuration it had.
#
#   uninstall-containerd.sh [STORAGE]
set -uo pipefail

storage=${1:-/var/lib/containerd}
installed=/etc/containerd/sealer-installed

# kubeadm reset removes containers only where crictl is there; they would go on running without their engine.
if ctr version >/dev/null 2>&1; then
    ctr --namespace k8s.io tasks list --quiet | while read -r task; do
        ctr --namespace k8s.io tasks kill --signal SIGKILL "$task" >/dev/null 2>&1
    done
    ctr --namespace k8s.io containers list --quiet | while read -r container; do
        ctr --namespace k8s.io tasks delete --force "$container" >/dev/null 2>&1
        ctr --namespace k8s.io containers delete "$container" >/dev/null 2>&1
    done
fi
systemctl disable --quiet --now containerd.service 2>/dev/null
# Shims live outside the engine; after a crash they may be all that is left.
for process in $(pgrep --full '^/usr/bin/containerd-shim-runc-v2 -namespace k8s.io '); do
    kill -KILL "$process" 2>/dev/null
done
# Only the mounts of the cluster's namespace: another engine of this host may have containers of its own.
awk '$5 ~ "^/run/containerd/.*(/k8s.io/|grpc.v1.cri)" { print $5 }' /proc/self/mountinfo | sort --reverse | while read -r point; do
    umount --lazy "$point" 2>/dev/null
done
rm -rf /run/containerd/*/k8s.io /run/containerd/io.containerd.grpc.v1.cri

rm -f /etc/systemd/system/containerd.service
if [ -e "$installed" ]; then
    tail -n +2 "$installed" | while read -r file; do
        rm -f "$file"
    done
    rmdir --ignore-fail-on-non-empty /usr/lib/sealer 2>/dev/null
    rm -rf "$storage" /etc/containerd /run/containerd
    # containerd makes them for programs that nobody asked for.
    rmdir /opt/containerd/bin /opt/containerd/lib /opt/containerd 2>/dev/null
    systemctl daemon-reload
    exit 0
fi

# This engine was here before: it gets its own configuration back and goes on.
if grep -qs '^# Written by containerd.sh' /etc/containerd/config.toml; then
    rm -rf /etc/containerd/config.toml /etc/containerd/certs.d/_default
    if [ -e /etc/containerd/config.toml.before-sealer ]; then
        mv /etc/containerd/config.toml.before-sealer /etc/containerd/config.toml
    fi
fi
systemctl daemon-reload
if [ -e /lib/systemd/system/containerd.service ] || [ -e /usr/lib/systemd/system/containerd.service ]; then
    systemctl enable --quiet --now containerd.service 2>/dev/null
fi
exit 0
