# Starts lvscare for the API servers' address, with the files that were written before. It is ready when the kernel has
# the rules, whether or not an API server answers already.
systemctl daemon-reload
systemctl enable sealer-lvscare.service 2>/dev/null
systemctl restart sealer-lvscare.service 2>/dev/null || fail "the load balancing of the API servers cannot be started"
