# Has the API server of this master show a certificate with the names of the configuration that was written before.
config=$SEALER_DATA/kubeadm/init.yaml
pki=/etc/kubernetes/pki
old=$SEALER_DATA/kubeadm/apiserver.old
if [ ! -d "$old" ]; then
    rm -rf "$old.new"
    mkdir -m 0700 "$old.new"
    cp -p "$pki/apiserver.crt" "$pki/apiserver.key" "$old.new"
    mv "$old.new" "$old"
fi
rm -f "$pki/apiserver.crt" "$pki/apiserver.key"
if ! run_kubeadm init phase certs apiserver --config "$config"; then
    cp -p "$old/apiserver.crt" "$old/apiserver.key" "$pki"
    exit 1
fi
# Hosts that join later are told by the cluster.
KUBECONFIG=/etc/kubernetes/admin.conf
export KUBECONFIG
run_kubeadm init phase upload-config kubeadm --config "$config"
if [ "$SEALER_RELOADS" = yes ]; then
    # The API server looks at its certificate once a minute, so nobody has to do without it.
    sleep 65
else
    # The kubelet starts it again.
    pkill -TERM -x kube-apiserver || true
    sleep 5
fi
tries=0
until kubectl --request-timeout=5s get --raw /healthz >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || fail "the API server does not answer with its new certificate"
    sleep 2
done
rm -rf "$old"
