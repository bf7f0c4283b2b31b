# Says why there is no control plane: the last lines of the first component that is not there, then the kubelet's.
why=
for component in etcd:2379 kube-apiserver:6443 kube-controller-manager:10257 kube-scheduler:10259; do
    name=${component%:*}
    if listening "${component#*:}"; then
        continue
    fi
    [ -e "/etc/kubernetes/manifests/$name.yaml" ] || continue
    # shellcheck disable=SC2012
    log=$(ls -t /var/log/pods/kube-system_"$name"-*/"$name"/*.log 2>/dev/null | head -n 1)
    if [ -n "$log" ]; then
        echo "$name is not running; its last lines:"
        tail -n 10 "$log" | sed -e 's/^[^ ]* std[a-z]* [FP] //' -e 's/^/  /'
    else
        echo "$name was never started"
    fi
    why=$name
    break
done
echo "the kubelet's last lines${why:+ that speak of errors}:"
if [ -n "$why" ] && systemctl is-active --quiet kubelet; then
    journalctl -u kubelet -n 400 --no-pager -o cat 2>&1 | grep -E '^[EF][0-9]|rror|ailed' | tail -n 6 | sed 's/^/  /'
else
    journalctl -u kubelet -n 12 --no-pager -o cat 2>&1 | sed 's/^/  /'
fi
