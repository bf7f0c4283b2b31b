# Stops Kubernetes on this host and takes its containers away.
[ -f "$SEALER_DATA/host.json" ] || exit 0
systemctl stop kubelet 2>/dev/null || true
if cmp -s /etc/kubernetes/admin.conf /root/.kube/config; then
    rm -rf /root/.kube/config /root/.kube/cache
    rmdir /root/.kube 2>/dev/null || true
fi
if command -v kubeadm >/dev/null && [ -e /etc/kubernetes ]; then
    timeout 60 kubeadm reset -f --cri-socket "$SEALER_CRI_SOCKET" </dev/null >/dev/null 2>&1 || true
fi
systemctl disable --now kubelet 2>/dev/null || true
remove_containers
unmount_below /var/lib/kubelet
