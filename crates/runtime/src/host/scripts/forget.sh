# Removes the registry, the way to the API servers, the cluster's names, our content and, last of all, the marker.
[ -f "$SEALER_DATA/host.json" ] || exit 0
cd /
systemctl disable --now sealer-registry.service sealer-names.service sealer-lvscare.service 2>/dev/null || true
if [ -e /etc/systemd/system/sealer-lvscare.service ] && [ -x /var/lib/sealer/bin/sealer ]; then
    # More than one where a change of the address was interrupted.
    for service in $(cat "$SEALER_DATA/lvscare.services" 2>/dev/null) "$SEALER_API_SERVERS"; do
        /var/lib/sealer/bin/sealer lvscare clean --quiet --vs "$service" || true
    done
fi
rm -f /etc/systemd/system/sealer-registry.service /etc/systemd/system/sealer-names.service
rm -f /etc/systemd/system/sealer-lvscare.service
rmdir /run/sealer/lvscare /run/sealer 2>/dev/null || true
systemctl daemon-reload 2>/dev/null || true
begin="# begin sealer $SEALER_CLUSTER"
end="# end sealer $SEALER_CLUSTER"
if grep -qxF "$begin" /etc/hosts; then
    # Without its end, nobody knows what belongs to it.
    closed=$(grep -cxF "$end" /etc/hosts) || true
    new=$SEALER_DATA/hosts.new
    awk -v begin="$begin" -v end="$end" -v closed="$closed" '$0 == begin { skip = closed; next } !skip { print } $0 == end { skip = 0 }' /etc/hosts >"$new"
    cat "$new" >/etc/hosts
fi
# A machine that has images of its own uses sealer itself.
[ -e /var/lib/sealer/content ] || rm -rf /var/lib/sealer/bin
unmount_below "$SEALER_DATA"
find "$SEALER_DATA" -mindepth 1 -maxdepth 1 ! -name host.json -exec rm -rf {} +
rm -f "$SEALER_DATA/host.json"
rmdir "$SEALER_DATA" /var/lib/sealer/data /var/lib/sealer 2>/dev/null || true
