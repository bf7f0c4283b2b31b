echo "the kubelet's last lines:"
journalctl -u kubelet -n 12 --no-pager -o cat 2>&1 | sed 's/^/  /'
