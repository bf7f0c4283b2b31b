# Removes what the image's scripts installed, by the image's own scripts where they arrived.
[ -f "$SEALER_DATA/host.json" ] || exit 0
cd /
unmount_below /var/lib/kubelet
if [ -f "$SEALER_ROOTFS/scripts/clean-kube.sh" ]; then
    (cd "$SEALER_ROOTFS/scripts" && bash ./clean-kube.sh) || true
fi
remove_runtime_files
for link in cni0 flannel.1 kube-ipvs0 vxlan.calico tunl0; do
    [ ! -e "/sys/class/net/$link" ] || ip link delete "$link" 2>/dev/null || true
done
if [ "$SEALER_ENGINE_OURS" = yes ] && [ -f "$SEALER_ROOTFS/scripts/uninstall-$SEALER_ENGINE.sh" ]; then
    (cd "$SEALER_ROOTFS/scripts" && bash "./uninstall-$SEALER_ENGINE.sh" "$SEALER_ENGINE_STORAGE") || true
fi
for rules in /etc/containerd/certs.d/*; do
    if grep -qs "^# written by sealer" "$rules/hosts.toml"; then
        rm -rf "$rules"
    fi
done
