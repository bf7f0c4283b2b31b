echo "the registry's last lines:"
journalctl -u sealer-registry.service -n 15 --no-pager -o cat 2>&1 | sed 's/^/  /'
