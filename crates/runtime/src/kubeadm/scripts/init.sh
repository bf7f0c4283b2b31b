# Makes this host the control plane, once: a control plane made from the same configuration is left alone.
config=$SEALER_DATA/kubeadm/init.yaml
done_with=$SEALER_DATA/kubeadm/init.done
digest=$(digest_of "$config")
KUBECONFIG=/etc/kubernetes/admin.conf
export KUBECONFIG
made=no
finished=$(cat "$done_with" 2>/dev/null) || finished=
if [ -f "$KUBECONFIG" ] && { [ "$SEALER_INITIALIZED" = yes ] || [ "$finished" = "$digest" ]; }; then
    # The host may have been restarted a moment ago.
    for _ in 1 2 3 4 5 6; do
        if kubectl --request-timeout=10s get --raw /healthz >/dev/null 2>&1; then
            made=yes
            break
        fi
        sleep 10
    done
    # Making it anew would destroy all that it knows, and it may only be slow.
    [ "$made" = yes ] || fail "this host has a finished control plane that does not answer: fix it and try again, or give the cluster up (sealer delete)"
fi
if [ "$made" = yes ]; then
    # The token by which nodes join lives for a day.
    run_kubeadm init phase bootstrap-token --config "$config"
else
    rm -f "$done_with"
    remove_partial_install
    mkdir -p /etc/kubernetes
    cp -R "$SEALER_DATA/kubeadm/pki" /etc/kubernetes/pki
    # shellcheck disable=SC2086
    run_kubeadm init --config "$config" $SEALER_KUBEADM_FLAGS
    echo "$digest" >"$done_with"
fi
# One that leads to another cluster is left alone.
if [ ! -e /root/.kube/config ]; then
    mkdir -p /root/.kube
    cp "$KUBECONFIG" /root/.kube/config
fi
