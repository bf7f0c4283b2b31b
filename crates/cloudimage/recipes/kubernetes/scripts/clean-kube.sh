#!/bin/bash
# Takes Kubernetes off this host: containers, state, rules, binaries. Safe on a host that never got far.
set -uo pipefail

rootfs=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

systemctl disable --quiet --now kubelet.service 2>/dev/null

# Pods first: they hold the mounts and the network interfaces below. kubeadm reset would need crictl for this.
if command -v ctr >/dev/null && ctr version >/dev/null 2>&1; then
    ctr --namespace k8s.io tasks list --quiet | while read -r task; do
        ctr --namespace k8s.io tasks kill --signal SIGKILL "$task" >/dev/null 2>&1
    done
    ctr --namespace k8s.io containers list --quiet | while read -r container; do
        ctr --namespace k8s.io tasks delete --force "$container" >/dev/null 2>&1
        ctr --namespace k8s.io containers delete "$container" >/dev/null 2>&1
    done
fi
awk '$5 ~ "^/var/lib/kubelet/" { print $5 }' /proc/self/mountinfo | sort --reverse | while read -r point; do
    umount --lazy "$point" 2>/dev/null
done

# What the network add-on made: chain, routes (marked with its own protocol number), configuration.
ours='KUBE-|SEALER-|CNI-|FLANNEL-|cali-'
for program in iptables ip6tables; do
    command -v "$program-save" >/dev/null || continue
    for table in filter nat mangle; do
        saved=$("$program-save" -t "$table" 2>/dev/null) || continue
        if grep -qE "$ours" <<< "$saved"; then
            grep -vE "$ours" <<< "$saved" | "$program-restore" -T "$table" 2>/dev/null
        fi
    done
done
ip -4 route flush proto 117 2>/dev/null
ip -6 route flush proto 117 2>/dev/null
# Deleting a pod's network namespace takes its interfaces and their routes along.
for namespace in /run/netns/cni-*; do
    [ -e "$namespace" ] && ip netns delete "$(basename "$namespace")" 2>/dev/null
done
for link in $(ip -o link show 2>/dev/null | grep -oE ' (veth[0-9a-f]{8}|cali[0-9a-f]{11}|vxlan\.calico|vxlan-v6\.calico|flannel\.1|flannel-v6\.1)[@:]' | tr -d ' @:'); do
    ip link delete "$link" 2>/dev/null
done

rm -rf /etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/cni /etc/cni/net.d /var/log/pods /var/log/containers /run/flannel /run/calico /var/lib/calico /var/log/calico
rm -f /run/kubelet.sealer.env /etc/systemd/system/kubelet.service
rm -rf /etc/systemd/system/kubelet.service.d
systemctl daemon-reload
systemctl reset-failed kubelet.service 2>/dev/null

for program in "$rootfs"/bin/* "$rootfs"/scripts/kubelet-pre-start.sh; do
    rm -f "/usr/bin/$(basename "$program")"
done
programs_of() {
    [ ! -e "$rootfs/cri/$1" ] || tar --list --gzip --file "$rootfs/cri/$1"
}
for program in "$rootfs"/cni/* $(programs_of cni-plugins.tgz); do
    program=/opt/cni/bin/$(basename "$program")
    [ ! -f "$program" ] || rm -f "$program"
done
for program in $(programs_of crictl.tar.gz); do
    rm -f "/usr/bin/$(basename "$program")"
done
# Directories that the kubelet, the engine and pods made on the way; one that holds something stays.
rmdir /opt/cni/bin /opt/cni /etc/cni /run/netns /lib/modules 2>/dev/null
(cd /usr/libexec && rmdir --parents kubernetes/kubelet-plugins/volume/exec) 2>/dev/null

# The kernel's settings as init-kube.sh found them. A container leaves alone what is the whole machine's.
settings=${SEALER_DATA:-$rootfs}/settings.before
if [ -e "$settings" ]; then
    while read -r name value; do
        case "$name" in
            vm/* | kernel/*) systemd-detect-virt --quiet --container && continue ;;
        esac
        { echo "$value" > "/proc/sys/$name"; } 2>/dev/null
    done < "$settings"
fi
exit 0
