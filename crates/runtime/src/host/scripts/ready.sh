# Succeeds when all wanted nodes are Ready.
nodes=$(kubectl --request-timeout=10s get nodes --no-headers)
for name in $SEALER_NODES; do
    printf '%s\n' "$nodes" | awk -v name="$name" '$1 == name && $2 ~ /^Ready/ { found = 1 } END { exit !found }'
done
