# Prints what this host is, as sections: a line `@name`, then lines that begin with a space.
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

section() {
    printf '@%s\n' "$1"
    shift
    "$@" 2>/dev/null </dev/null | head -n 2000 | cut -c 1-4000 | sed 's/^/ /'
}

each_tool() {
    for tool in bash conntrack containerd crictl crio ctr dockerd ethtool flock helm ip iptables mount nsenter socat systemctl tar; do
        command -v "$tool" >/dev/null && echo "$tool"
    done
    # A cluster's own rootfs is on the path of launch commands.
    for helm in /var/lib/sealer/data/*/rootfs/bin/helm; do
        [ -x "$helm" ] && echo helm
    done
}

each_module() {
    for module in overlay br_netfilter nf_conntrack ip_vs ip_tables nf_tables; do
        if [ -d "/sys/module/$module" ] || modprobe --dry-run --quiet "$module"; then
            echo "$module"
        fi
    done
    grep -q overlay /proc/filesystems && echo overlay
    [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] && echo br_netfilter
    [ -e /proc/net/ip_tables_names ] && echo ip_tables
    [ -e /proc/net/ip_vs ] && echo ip_vs
    grep -q ' nft_do_chain' /proc/kallsyms && echo nf_tables
}

each_controller() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo v2
        tr ' ' '\n' < /sys/fs/cgroup/cgroup.controllers
    else
        echo v1
        awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups
    fi
}

each_port() {
    if command -v ss >/dev/null; then
        ss -Hltnp
    else
        cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" { print $2 }'
    fi
}

each_leftover() {
    for path in /etc/kubernetes/admin.conf /etc/kubernetes/kubelet.conf /etc/kubernetes/pki/ca.crt \
        /etc/kubernetes/manifests/kube-apiserver.yaml /var/lib/kubelet/config.yaml /var/lib/etcd/member \
        /etc/rancher/k3s /var/lib/rancher/k3s /var/lib/k0s; do
        [ -e "$path" ] && echo "$path"
    done
}

is_there() {
    for path in "$@"; do
        [ -e "$path" ] && echo "$path"
    done
}

section time date +%s%N
section machine uname -m
section kernel uname -r
section hostname uname -n
section os cat /etc/os-release
section machine-id cat /etc/machine-id
section user id -u
section init cat /proc/1/comm
section container systemd-detect-virt --container
section addresses ip -o address show
section routes cat /proc/net/route
section routes6 cat /proc/net/ipv6_route
section ports each_port
section disk df -Pk /var/lib
section memory cat /proc/meminfo
section processors getconf _NPROCESSORS_ONLN
section swaps cat /proc/swaps
section cgroups each_controller
section modules each_module
section tools each_tool
section containerd containerd --version
section leftovers each_leftover
section kubelet systemctl is-active kubelet
section present is_there "${ADMIN_KUBECONFIG:-}"
for marker in /var/lib/sealer/data/*/host.json; do
    [ -f "$marker" ] && section marker head -c 65536 "$marker"
done
echo @end
