echo "lvscare's last lines:"
journalctl -u sealer-lvscare.service -n 15 --no-pager -o cat 2>&1 | sed 's/^/  /'
