# Runs a command of the image in its rootfs.
PATH=$SEALER_ROOTFS/bin:$PATH
cd "$SEALER_ROOTFS"
if command -v bash >/dev/null; then
    exec bash -c "$SEALER_LAUNCH"
fi
exec sh -c "$SEALER_LAUNCH"
