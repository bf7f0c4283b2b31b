# Takes the member of etcd at address $SEALER_HOST out of it, where there is one; asked in the etcd of this master.
[ -e /etc/kubernetes/manifests/etcd.yaml ] || exit 0
etcdctl() {
    kubectl --request-timeout=30s -n kube-system exec "etcd-$SEALER_THROUGH" -- etcdctl --endpoints=https://127.0.0.1:2379 \
        --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key "$@"
}
case $SEALER_HOST in
*:*) peer="https://[$SEALER_HOST]:2380" ;;
*) peer="https://$SEALER_HOST:2380" ;;
esac
tries=0
# etcd changes its members only while it is well; after a change it needs a moment.
until members=$(etcdctl member list) &&
    member=$(printf '%s\n' "$members" | awk -F ', ' -v peer="$peer" '$4 == peer { print $1 }') &&
    { [ -z "$member" ] || etcdctl member remove "$member" >&2; }; do
    tries=$((tries + 1))
    [ "$tries" -lt 12 ] || fail "etcd does not let go of its member $SEALER_HOST"
    sleep 5
done
