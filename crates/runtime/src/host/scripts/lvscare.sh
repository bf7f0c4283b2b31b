# Starts lvscare for the API servers' address, with the files that were written before. It is ready when the kernel has
# the rules, whether or not an API server answers already. An address that the cluster had before is nobody's any more.
services=$SEALER_DATA/lvscare.services
printf '%s\n' "$SEALER_API_SERVERS" >>"$services"
systemctl daemon-reload
systemctl enable sealer-lvscare.service 2>/dev/null
systemctl restart sealer-lvscare.service 2>/dev/null || fail "the load balancing of the API servers cannot be started"
grep -vxF -- "$SEALER_API_SERVERS" "$services" | sort -u | while read -r before; do
    /var/lib/sealer/bin/sealer lvscare clean --quiet --vs "$before"
done
printf '%s\n' "$SEALER_API_SERVERS" >"$services"
