#!/bin/bash
# Stops every container of the cluster and removes the containerd that containerd.sh installed, with its data.
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
awk '$5 ~ "^/run/containerd/" { print $5 }' /proc/self/mountinfo | sort --reverse | while read -r point; do
    umount --lazy "$point" 2>/dev/null
done
rm -rf /run/containerd

if [ -e "$installed" ]; then
    tail -n +2 "$installed" | while read -r file; do
        rm -f "$file"
    done
    rmdir --ignore-fail-on-non-empty /usr/lib/sealer 2>/dev/null
    rm -rf "$storage"
fi
rm -rf /etc/containerd /etc/systemd/system/containerd.service
systemctl daemon-reload
exit 0
