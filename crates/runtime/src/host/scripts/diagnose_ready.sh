known=$(kubectl --request-timeout=10s get nodes -o go-template='{{range .items}}{{.metadata.name}}{{"\n"}}{{end}}' 2>&1) || {
    echo "the API server does not answer: $known"
    exit 0
}
for name in $SEALER_NODES; do
    printf '%s\n' "$known" | grep -qx "$name" || echo "node $name is not registered"
done
kubectl --request-timeout=10s get nodes -o go-template='{{range .items}}{{$name := .metadata.name}}{{range .status.conditions}}{{if eq .type "Ready"}}{{if ne .status "True"}}node {{$name}}: {{.message}}{{"\n"}}{{end}}{{end}}{{end}}{{end}}' 2>&1 || true
kubectl --request-timeout=10s get pods -A --no-headers 2>/dev/null | awk '$4 != "Running" && $4 != "Completed" { print "pod " $1 "/" $2 ": " $4 }' | head -n 10
