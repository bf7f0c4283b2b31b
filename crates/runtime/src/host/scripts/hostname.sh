# Gives the host its name; the kubelet registers under it. Programs look a host's own name up, sudo each time: a name
# server that does not know it, or is not there, would hold up every command.
grep -qwF -- "$SEALER_HOSTNAME" /etc/hosts || printf '127.0.1.1 %s\n' "$SEALER_HOSTNAME" >>/etc/hosts
if command -v hostnamectl >/dev/null && hostnamectl set-hostname "$SEALER_HOSTNAME" 2>/dev/null; then
    [ "$(uname -n)" != "$SEALER_HOSTNAME" ] || exit 0
fi
printf '%s\n' "$SEALER_HOSTNAME" >/etc/hostname
hostname "$SEALER_HOSTNAME"
