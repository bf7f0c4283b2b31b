# Succeeds when this host's node is Ready, or merely there where nothing gives pods a network yet.
if [ "$SEALER_WITHOUT_NETWORK" = yes ]; then
    kubectl --request-timeout=10s get node -o name -- "$SEALER_NODE"
    exit
fi
ready='{.status.conditions[?(@.type=="Ready")].status}'
[ "$(kubectl --request-timeout=10s get node -o jsonpath="$ready" -- "$SEALER_NODE")" = True ]
