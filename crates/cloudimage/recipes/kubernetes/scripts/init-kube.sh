#!/bin/bash
# Prepares this host for Kubernetes: kernel, firewall, binaries, kubelet unit. May run again at any time.
set -euo pipefail

rootfs=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Copies a program into place without ever leaving half of it where something may run it.
install_program() {
    if ! cmp -s "$1" "$2"; then
        cp "$1" "$2.sealer-new"
        chmod 0755 "$2.sealer-new"
        mv -f "$2.sealer-new" "$2"
    fi
}

# What Kubernetes changes about the kernel, as it was before: clean-kube.sh puts it back.
settings=${SEALER_DATA:-$rootfs}/settings.before
if [ ! -e "$settings" ]; then
    for name in $(cd /proc/sys && echo net/ipv6/conf/*/accept_ra) net/ipv4/ip_forward net/ipv6/conf/all/forwarding net/ipv4/conf/all/route_localnet net/bridge/bridge-nf-call-iptables \
        net/bridge/bridge-nf-call-ip6tables net/netfilter/nf_conntrack_max net/netfilter/nf_conntrack_tcp_timeout_established \
        net/netfilter/nf_conntrack_tcp_timeout_close_wait vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
        [ ! -e "/proc/sys/$name" ] || echo "$name $(cat "/proc/sys/$name")"
    done > "$settings.new"
    mv "$settings.new" "$settings"
fi

# Rules of a host firewall and of Kubernetes would undo each other.
for unit in firewalld ufw; do
    if systemctl is-active --quiet "$unit"; then
        systemctl disable --quiet --now "$unit"
    fi
done
if command -v getenforce >/dev/null && [ "$(getenforce)" = Enforcing ]; then
    setenforce 0
    sed -i 's/^SELINUX=enforcing/SELINUX=permissive/' /etc/selinux/config
fi

# Only where the cluster has IPv6 do its hosts route it.
mkdir -p /var/lib/kubelet
if [ "${HostIPFamily:-4}" = 6 ] || [ "${IPv6DualStack:-false}" = true ]; then
    touch /var/lib/kubelet/sealer-routes-ipv6
fi
install_program "$rootfs/scripts/kubelet-pre-start.sh" /usr/bin/kubelet-pre-start.sh
bash /usr/bin/kubelet-pre-start.sh

for program in "$rootfs"/bin/*; do
    install_program "$program" "/usr/bin/$(basename "$program")"
done
mkdir -p /opt/cni/bin /etc/cni/net.d
# Copies the programs in directory $1 to $2.
install_all() {
    for program in "$1"/*; do
        [ ! -f "$program" ] || install_program "$program" "$2/$(basename "$program")"
    done
}
# The official archives are unpacked here: their images carry them as they came.
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
for archive in crictl.tar.gz cni-plugins.tgz; do
    if [ -e "$rootfs/cri/$archive" ]; then
        mkdir "$unpacked/$archive"
        tar --extract --gzip --no-same-owner --file "$rootfs/cri/$archive" --directory "$unpacked/$archive"
    fi
done
rm -f "$unpacked"/*/LICENSE "$unpacked"/*/README.md
install_all "$unpacked/crictl.tar.gz" /usr/bin
install_all "$unpacked/cni-plugins.tgz" /opt/cni/bin
install_all "$rootfs/cni" /opt/cni/bin

mkdir -p /etc/systemd/system/kubelet.service.d /var/lib/kubelet
cp "$rootfs/etc/kubelet.service" /etc/systemd/system/kubelet.service
cp "$rootfs/etc/10-kubeadm.conf" /etc/systemd/system/kubelet.service.d/10-kubeadm.conf
systemctl daemon-reload
# Only enabled: kubeadm starts it as soon as it has a configuration.
systemctl enable --quiet kubelet.service
