# Moves pods away from the node at address $SEALER_HOST, as far as they can run elsewhere; a node that nobody knows has none.
each='{range .items[*]}{.metadata.name}{" "}{.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'
nodes=$(kubectl --request-timeout=30s get node -o jsonpath="$each")
node=$(printf '%s\n' "$nodes" | awk -v host="$SEALER_HOST" '$2 == host { print $1 }')
[ -n "$node" ] || exit 0
kubectl cordon -- "$node" >&2
# The option was renamed in 1.20.
if kubectl drain --help | grep -q delete-emptydir-data; then data=--delete-emptydir-data; else data=--delete-local-data; fi
if kubectl drain --ignore-daemonsets --force "$data" --timeout="${SEALER_SECONDS}s" -- "$node" >&2; then
    exit 0
fi
if [ "$SEALER_FORCE" != yes ]; then
    fail "node $node is not empty after $SEALER_SECONDS s, and is left cordoned; --drain-timeout gives pods more time, --drain-force deletes those that do not leave"
fi
# Deleting instead of evicting: budgets for disruptions do not count.
kubectl drain --ignore-daemonsets --force "$data" --disable-eviction --timeout="${SEALER_SECONDS}s" -- "$node" >&2
