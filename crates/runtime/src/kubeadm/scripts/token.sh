# Renews the token by which nodes join.
KUBECONFIG=/etc/kubernetes/admin.conf
export KUBECONFIG
run_kubeadm init phase bootstrap-token --config "$SEALER_DATA/kubeadm/init.yaml"
