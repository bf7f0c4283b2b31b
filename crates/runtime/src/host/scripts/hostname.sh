# Gives the host its name; the kubelet registers under it.
if command -v hostnamectl >/dev/null && hostnamectl set-hostname "$SEALER_HOSTNAME" 2>/dev/null; then
    [ "$(uname -n)" != "$SEALER_HOSTNAME" ] || exit 0
fi
printf '%s\n' "$SEALER_HOSTNAME" >/etc/hostname
hostname "$SEALER_HOSTNAME"
