# Succeeds when this host's node is Ready.
ready='{.status.conditions[?(@.type=="Ready")].status}'
[ "$(kubectl --request-timeout=10s get node -o jsonpath="$ready" -- "$SEALER_NODE")" = True ]
