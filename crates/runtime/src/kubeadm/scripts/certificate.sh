# Has the API server of this master show a certificate with the names of the configuration that was written before.
config=$SEALER_DATA/kubeadm/init.yaml
pki=/etc/kubernetes/pki
old=$SEALER_DATA/kubeadm/apiserver.old
if [ ! -d "$old" ]; then
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
# The kubelet starts it again, with the new certificate.
pkill -TERM -x kube-apiserver || true
tries=0
sleep 2
until kubectl --request-timeout=5s get --raw /healthz >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || fail "the API server does not answer with its new certificate"
    sleep 2
done
rm -rf "$old"
