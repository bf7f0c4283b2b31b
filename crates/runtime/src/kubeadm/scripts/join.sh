# Makes this host a node, once: a node that joined by the same configuration is left alone.
config=$SEALER_DATA/kubeadm/join.yaml
done_with=$SEALER_DATA/kubeadm/join.done
digest=$(digest_of "$config")
# A node that the cluster does not know (any more) joins again, whatever this host remembers.
if [ "${SEALER_UNKNOWN:-no}" = no ] && [ -f /etc/kubernetes/kubelet.conf ] && [ "$(cat "$done_with" 2>/dev/null)" = "$digest" ] && systemctl is-active --quiet kubelet; then
    exit 0
fi
rm -f "$done_with"
remove_partial_install
# shellcheck disable=SC2086
run_kubeadm join --config "$config" $SEALER_KUBEADM_FLAGS
echo "$digest" >"$done_with"
