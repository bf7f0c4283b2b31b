# Takes a node out of the cluster; one that is gone already is no failure.
kubectl --request-timeout=60s delete node --ignore-not-found --timeout=60s -- "$SEALER_NODE" >&2
