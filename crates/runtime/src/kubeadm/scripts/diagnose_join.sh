echo "the kubelet's last lines:"
journalctl -u kubelet --since -5min --no-pager -o cat 2>&1 | tail -n 12 | cut -c 1-300 | sed 's/^/  /'
if command -v bash >/dev/null && ! timeout 5 bash -c 'exec 3<>/dev/tcp/apiserver.cluster.local/6443' 2>/dev/null; then
    echo "port 6443 of apiserver.cluster.local ($(awk '/apiserver.cluster.local/ { print $1; exit }' /etc/hosts)) cannot be reached from this host"
    /var/lib/sealer/bin/sealer lvscare status 2>/dev/null | sed 's/^/  /'
fi
