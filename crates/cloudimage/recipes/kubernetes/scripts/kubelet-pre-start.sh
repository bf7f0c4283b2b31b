#!/bin/bash
# Brings back what a reboot undoes, before every start of the kubelet: kernel modules, sysctls, swap.
# Writes /run/kubelet.sealer.env with the flags that this very host needs. Never keeps the kubelet from starting:
# what a host does not allow is said, and the kubelet decides.
set -uo pipefail

# Modules may be built in, unknown to this kernel, or not ours to load (a host that is a container).
for module in overlay br_netfilter nf_conntrack ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh; do
    modprobe "$module" 2>/dev/null
done

# Sets sysctl $1 to $2 where it exists and differs.
set_sysctl() {
    local file="/proc/sys/${1//./\/}"
    if [ -e "$file" ] && [ "$(cat "$file")" != "$2" ]; then
        echo "$2" 2>/dev/null > "$file" || echo "kubelet-pre-start.sh: $1 stays $(cat "$file")"
    fi
}
set_sysctl net.ipv4.ip_forward 1
if [ -e /var/lib/kubelet/sealer-routes-ipv6 ]; then
    # A host that routes takes its own routes from router advertisements only when told so by 2.
    for file in /proc/sys/net/ipv6/conf/*/accept_ra; do
        [ "$(cat "$file")" != 1 ] || echo 2 2>/dev/null > "$file"
    done
    set_sysctl net.ipv6.conf.all.forwarding 1
fi
set_sysctl net.bridge.bridge-nf-call-iptables 1
set_sysctl net.bridge.bridge-nf-call-ip6tables 1
limit=$(cat /proc/sys/net/netfilter/nf_conntrack_max 2>/dev/null || echo 0)
if [ "$limit" -gt 0 ] && [ "$limit" -lt 131072 ]; then
    set_sysctl net.netfilter.nf_conntrack_max 131072
fi

flags=
# Swap of a container belongs to the machine below it, and is not ours to switch off.
if [ "$(wc -l < /proc/swaps)" -gt 1 ]; then
    if ! systemd-detect-virt --quiet --container; then
        swapoff --all
        sed -i '/^[^#].*[[:space:]]swap[[:space:]]/ s/^/#/' /etc/fstab
    fi
    if [ "$(wc -l < /proc/swaps)" -gt 1 ]; then
        flags="$flags --fail-swap-on=false"
    fi
fi
echo "KUBELET_SEALER_ARGS=\"${flags# }\"" > /run/kubelet.sealer.env
exit 0
