# Stops the registry of this master: another one has it.
systemctl disable --now sealer-registry.service 2>/dev/null || true
rm -f /etc/systemd/system/sealer-registry.service
systemctl daemon-reload
