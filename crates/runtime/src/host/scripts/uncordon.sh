# Waits until the node at address $SEALER_HOST is Ready again and lets pods come to it; a node that nobody knows is not waited for.
each='{range .items[*]}{.metadata.name}{" "}{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'
end=$(($(date +%s) + SEALER_SECONDS))
in_time() {
    [ "$(date +%s)" -lt "$end" ] || { echo "$1" >&2; exit 1; }
    sleep 2
}
# This may be the master that was just started: its API server needs a moment.
until nodes=$(kubectl --request-timeout=10s get node -o jsonpath="$each" 2>/dev/null); do
    in_time "the API server does not answer"
done
node=$(printf '%s\n' "$nodes" | awk -v host="$SEALER_HOST" '$2 == host { print $1 }')
[ -n "$node" ] || exit 0
# What the cluster believes of a node may be from before it stopped; its lease tells when it spoke last.
spoke() {
    kubectl --request-timeout=10s -n kube-node-lease get lease -o jsonpath='{.spec.renewTime}' -- "$node" 2>/dev/null || true
}
before=$(spoke)
while [ -n "$before" ] && now=$(spoke) && { [ -z "$now" ] || [ "$now" = "$before" ]; }; do
    in_time "node $node does not speak to its API server"
done
until [ "$(kubectl --request-timeout=10s get node -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' -- "$node" 2>/dev/null)" = True ]; do
    in_time "node $node is not Ready"
done
kubectl uncordon -- "$node" >&2
