# Says why there is no control plane: the last lines of the first component that is not there, then the kubelet's.
why=
for component in etcd:2379 kube-apiserver:6443 kube-controller-manager:10257 kube-scheduler:10259; do
    name=${component%:*}
    if listening "${component#*:}"; then
        continue
    fi
    [ -e "/etc/kubernetes/manifests/$name.yaml" ] || continue
    # A container that was just started anew has said nothing yet: the newest log with words in it counts.
    # shellcheck disable=SC2012
    log=$(ls -t /var/log/pods/kube-system_"$name"-*/"$name"/*.log 2>/dev/null |
        while read -r file; do [ ! -s "$file" ] || { echo "$file"; break; }; done)
    if [ -n "$log" ]; then
        echo "$name is not running; its last lines:"
        tail -n 10 "$log" | sed -e 's/^[^ ]* std[a-z]* [FP] //' -e 's/^/  /'
    else
        echo "$name was never started"
    fi
    why=$name
    break
done
# Everything that only follows from there being no API server says nothing.
kubelet_errors() {
    journalctl -u kubelet --since -5min --no-pager -o cat 2>&1 | tail -n 2000 | grep -E '^[EF][0-9]|rror|ailed' |
        grep -vE 'node ".*" not found|connection refused|leases/|Unable to register node|Unable to write event' |
        sed -E 's/^[A-Z][0-9]{4} [0-9:.]+ +[0-9]+ [a-z_]+\.go:[0-9]+\] //' | tac | awk '!seen[$0]++' | head -n "$1" | tac
}
if [ -n "$why" ] && systemctl is-active --quiet kubelet; then
    errors=$(kubelet_errors 3 | cut -c 1-300)
    [ -z "$errors" ] || printf "the kubelet's last errors:\n%s\n" "$errors" | sed '2,$s/^/  /'
else
    echo "the kubelet's last lines:"
    journalctl -u kubelet --since -5min --no-pager -o cat 2>&1 | tail -n 12 | cut -c 1-300 | sed 's/^/  /'
fi
