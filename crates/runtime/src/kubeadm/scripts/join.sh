# Makes this host a node or a further master, once: one that joined by the same configuration is left alone.
config=$SEALER_DATA/kubeadm/join.yaml
done_with=$SEALER_DATA/kubeadm/join.done
digest=$(digest_of "$config")
# A host that the cluster does not know (any more) joins again, whatever it remembers itself.
if [ "${SEALER_UNKNOWN:-no}" = no ] && [ -f /etc/kubernetes/kubelet.conf ] && [ "$(cat "$done_with" 2>/dev/null)" = "$digest" ] && systemctl is-active --quiet kubelet; then
    exit 0
fi
rm -f "$done_with"
if [ -n "${SEALER_JOIN_THROUGH:-}" ]; then
    # Until its own API server runs, that of another master is asked.
    trap 'sh "$SEALER_DATA/names.sh"' EXIT
    sed "s/^[^ ]* apiserver.cluster.local\$/$SEALER_JOIN_THROUGH apiserver.cluster.local/" /etc/hosts >"$SEALER_DATA/hosts.join"
    cat "$SEALER_DATA/hosts.join" >/etc/hosts
    rm -f "$SEALER_DATA/hosts.join"
    # One that the cluster does not know was taken out of etcd before.
    [ "${SEALER_UNKNOWN:-no}" = yes ] || leave_etcd
fi
remove_partial_install
if [ -n "${SEALER_JOIN_THROUGH:-}" ]; then
    mkdir -p /etc/kubernetes
    cp -R "$SEALER_DATA/kubeadm/pki" /etc/kubernetes/pki
fi
# shellcheck disable=SC2086
run_kubeadm join --config "$config" $SEALER_KUBEADM_FLAGS
echo "$digest" >"$done_with"
# One that leads to another cluster is left alone.
if [ -n "${SEALER_JOIN_THROUGH:-}" ] && [ ! -e /root/.kube/config ]; then
    mkdir -p /root/.kube
    cp /etc/kubernetes/admin.conf /root/.kube/config
fi
