# Runs a command of an image in its rootfs: the cluster's own, or that of an application.
PATH=$SEALER_ROOTFS/bin:$PATH
payload=${SEALER_PAYLOAD:-$SEALER_ROOTFS}
[ "$payload" = "$SEALER_ROOTFS" ] || PATH=$payload/bin:$PATH
cd "$payload/${SEALER_DIRECTORY:-.}"
# Everybody on the host can read arguments: the command, which holds values of the user's, travels in the environment.
if command -v bash >/dev/null; then
    exec bash -c 'eval "$SEALER_LAUNCH"'
fi
exec sh -c 'eval "$SEALER_LAUNCH"'
