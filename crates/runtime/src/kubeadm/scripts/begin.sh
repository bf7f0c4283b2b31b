set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$SEALER_ROOTFS/bin
export PATH
say_why() {
    echo "$*" >&2
    exit 1
}
# Whether somebody listens on a TCP port.
listening() {
    grep -qi ":$(printf '%04X' "$1") [0-9A-F:]* 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null
}
remove_containers() {
    command -v ctr >/dev/null || return 0
    ctr -n k8s.io tasks ls -q 2>/dev/null | while read -r task; do
        ctr -n k8s.io tasks rm -f "$task" >/dev/null 2>&1 || true
    done
    ctr -n k8s.io containers ls -q 2>/dev/null | while read -r container; do
        ctr -n k8s.io containers rm "$container" >/dev/null 2>&1 || true
    done
}
# Volumes of pods are mounted below; removing files through such a mount would remove somebody's data.
unmount_below() {
    # The kernel calls mount points by their real names.
    below=$(readlink -f "$1") || return 0
    awk -v below="$below/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r point; do
        point=$(printf '%b' "$point")
        umount "$point" 2>/dev/null || umount -l "$point" 2>/dev/null || true
    done
    if awk -v below="$below/" 'index($5, below) == 1 { found = 1 } END { exit !found }' /proc/self/mountinfo; then
        say_why "cannot unmount what is mounted below $1"
    fi
}
# A kubeconfig that leads elsewhere is not ours.
remove_our_kubeconfig() {
    if cmp -s /etc/kubernetes/admin.conf /root/.kube/config; then
        rm -f /root/.kube/config
    fi
}
# Takes away what a kubeadm that was interrupted left, but nothing that was here before it.
remove_half_made() {
    systemctl stop kubelet 2>/dev/null || true
    remove_containers
    unmount_below /var/lib/kubelet
    remove_our_kubeconfig
    rm -rf /etc/kubernetes/manifests /etc/kubernetes/pki /etc/kubernetes/*.conf /var/lib/etcd/member
    rm -rf /var/lib/kubelet/pki /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env
    rm -rf /var/lib/kubelet/cpu_manager_state /var/lib/kubelet/memory_manager_state /var/lib/kubelet/pods
}
# Runs kubeadm; shows only the lines that say what failed, and keeps all of them beside.
run_kubeadm() {
    log=$SEALER_DATA/kubeadm/$1.log
    # It tells the token too.
    rm -f "$log"
    (umask 077 && : >"$log")
    if kubeadm "$@" >"$log" 2>&1; then
        return 0
    fi
    { grep -E '^error|^failed|^couldn|\[ERROR|rror execution' "$log" || tail -n 10 "$log"; } | grep -v 'stack trace' | head -n 20 >&2
    echo "all that kubeadm said is in $log on this host" >&2
    return 1
}
digest_of() {
    sha256sum <"$1" | cut -d ' ' -f 1
}
