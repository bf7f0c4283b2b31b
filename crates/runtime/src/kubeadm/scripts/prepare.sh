# Prepares the host for Kubernetes by the image's own script.
cd "$SEALER_ROOTFS/scripts"
exec bash ./init-kube.sh
