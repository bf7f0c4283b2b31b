# Prints what the API server of this master knows: its version, then one line per node.
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
KUBECONFIG=$ADMIN_KUBECONFIG
export KUBECONFIG
version=$(kubectl --request-timeout=10s get --raw /version) || exit 1
echo "version $version" | tr -d '\n'
echo
# A template and not JSON: a thousand nodes are then a few hundred kilobytes.
kubectl --request-timeout=10s get nodes -o go-template='{{range .items}}node {{.metadata.name}} {{.status.nodeInfo.kubeletVersion}}{{with .status.nodeInfo.machineID}} machine={{.}}{{end}}{{range .status.addresses}}{{if eq .type "InternalIP"}} address={{.address}}{{end}}{{end}}{{range .status.conditions}}{{if eq .type "Ready"}} ready={{.status}}{{end}}{{end}}{{range $key, $value := .metadata.labels}} label={{$key}}{{end}}{{"\n"}}{{end}}' || exit 1
