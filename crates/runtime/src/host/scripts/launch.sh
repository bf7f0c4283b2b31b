# Runs a command of the image in its rootfs.
PATH=$SEALER_ROOTFS/bin:$PATH
cd "$SEALER_ROOTFS"
# Everybody on the host can read arguments: the command, which holds values of the user's, travels in the environment.
if command -v bash >/dev/null; then
    exec bash -c 'eval "$SEALER_LAUNCH"'
fi
exec sh -c 'eval "$SEALER_LAUNCH"'
