# Runs the script of a plugin, in the rootfs once it is there.
PATH=$SEALER_ROOTFS/bin:$PATH
cd "$SEALER_ROOTFS" 2>/dev/null || cd /
# It may hold values of the user's, so it is no argument.
if command -v bash >/dev/null; then
    exec bash -c 'eval "$SEALER_PLUGIN"'
fi
exec sh -c 'eval "$SEALER_PLUGIN"'
