# Starts the registry that serves this host's content, with the files that were written before.
# Users whom nobody asks for any more.
grep -q -- " --htpasswd " /etc/systemd/system/sealer-registry.service || rm -f "$SEALER_DATA/certs/htpasswd"
systemctl daemon-reload
systemctl enable sealer-registry.service 2>/dev/null
systemctl restart sealer-registry.service
tries=0
until listening "$SEALER_REGISTRY_PORT"; do
    tries=$((tries + 1))
    [ "$tries" -lt 150 ] || fail "the registry does not listen on port $SEALER_REGISTRY_PORT"
    sleep 0.2
done
