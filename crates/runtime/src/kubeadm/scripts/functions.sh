# A kubeconfig that leads elsewhere is not ours.
remove_our_kubeconfig() {
    if cmp -s /etc/kubernetes/admin.conf /root/.kube/config; then
        rm -f /root/.kube/config
    fi
}
# Takes away what a kubeadm that was interrupted left, but nothing that was here before it.
remove_partial_install() {
    systemctl stop kubelet 2>/dev/null || true
    remove_containers
    unmount_below /var/lib/kubelet
    remove_our_kubeconfig
    rm -rf /etc/kubernetes/manifests /etc/kubernetes/pki /etc/kubernetes/*.conf /var/lib/etcd/member
    rm -rf /var/lib/kubelet/pki /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env
    rm -rf /var/lib/kubelet/cpu_manager_state /var/lib/kubelet/memory_manager_state /var/lib/kubelet/pods
}
# Takes this master out of etcd, when a join that was interrupted had made it a member: without its data it would be one
# that is dead for ever. It has to run for that, because it may be needed for the majority.
leave_etcd() {
    if [ ! -e /etc/kubernetes/manifests/etcd.yaml ] || [ ! -e /etc/kubernetes/admin.conf ]; then
        return 0
    fi
    systemctl start kubelet 2>/dev/null || true
    tries=0
    until kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=5s get --raw /healthz >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 30 ] || fail "the API server of $SEALER_JOIN_THROUGH does not answer"
        sleep 2
    done
    timeout 90 kubeadm reset phase remove-etcd-member --kubeconfig /etc/kubernetes/admin.conf >"$SEALER_DATA/kubeadm/reset.log" 2>&1 || true
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
# Takes away what Kubernetes keeps on a host, once the image's own clean-up ran.
remove_runtime_files() {
    rm -rf /etc/kubernetes /var/lib/etcd/member /var/lib/cni /var/log/pods /var/log/containers
    # Where it is a mount point itself, that stays.
    rm -rf /var/lib/kubelet 2>/dev/null || [ -z "$(ls -A /var/lib/kubelet)" ] || fail "cannot remove /var/lib/kubelet"
    rmdir /var/lib/etcd 2>/dev/null || true
}
