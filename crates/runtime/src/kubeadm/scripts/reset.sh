# Stops Kubernetes on this host and takes its containers away.
[ -f "$SEALER_DATA/host.json" ] || exit 0
systemctl stop kubelet 2>/dev/null || true
remove_our_kubeconfig
if [ ! -e /root/.kube/config ]; then
    rm -rf /root/.kube/cache
    rmdir /root/.kube 2>/dev/null || true
fi
# Before kubeadm removes what is below: it goes on where it cannot unmount, and then removes what is mounted.
unmount_below /var/lib/kubelet
# Without it kubeadm looks after this host alone: whatever the cluster has to forget, it is told apart from this.
rm -f /etc/kubernetes/admin.conf
if command -v kubeadm >/dev/null && [ -e /etc/kubernetes ]; then
    timeout 60 kubeadm reset -f --cri-socket "$SEALER_CRI_SOCKET" </dev/null >/dev/null 2>&1 || true
fi
systemctl disable --now kubelet 2>/dev/null || true
remove_containers
unmount_below /var/lib/kubelet
