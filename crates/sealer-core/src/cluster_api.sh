# Runs kubectl as the cluster's administrator. Exit code 69: this host has no API server of the cluster.
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
[ -f "$ADMIN_KUBECONFIG" ] || { echo "there is no $ADMIN_KUBECONFIG" >&2; exit 69; }
