# Gives the cluster's names their addresses, now and after each start of the host: in a container, and where a cloud
# looks after it, /etc/hosts is made anew then.
sh "$SEALER_DATA/names.sh"
systemctl daemon-reload
systemctl enable sealer-names.service 2>/dev/null
