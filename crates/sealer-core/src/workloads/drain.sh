# Moves pods away from the node at address $HOST, as far as they can run elsewhere; a node that nobody knows has none.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH KUBECONFIG=/etc/kubernetes/admin.conf
each='{range .items[*]}{.metadata.name}{" "}{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'
nodes=$(kubectl --request-timeout=30s get node -o jsonpath="$each")
node=$(printf '%s\n' "$nodes" | awk -v host="$HOST" '$2 == host { print $1 }')
[ -n "$node" ] || exit 0
kubectl cordon "$node" >&2
# The option was renamed in 1.20.
if kubectl drain --help | grep -q delete-emptydir-data; then data=--delete-emptydir-data; else data=--delete-local-data; fi
kubectl drain "$node" --ignore-daemonsets --force "$data" --timeout="${SECONDS_LEFT}s" >&2
