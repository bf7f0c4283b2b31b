# Prepares the host for Kubernetes by the image's own script.
take_turn
cd "$SEALER_ROOTFS/scripts"
exec bash ./init-kube.sh
