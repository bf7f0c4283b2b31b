why='{range .status.conditions[?(@.type=="Ready")]}{.message}{end}'
said=$(kubectl --request-timeout=10s get node -o jsonpath="$why" -- "$SEALER_NODE" 2>&1) || {
    echo "the API server does not answer for node $SEALER_NODE: $said"
    exit 0
}
echo "node $SEALER_NODE: $said"
kubectl --request-timeout=10s get pods -A --no-headers --field-selector "spec.nodeName=$SEALER_NODE" 2>/dev/null |
    awk '$4 != "Running" && $4 != "Completed" { print "pod " $1 "/" $2 ": " $4 }' | head -n 10
