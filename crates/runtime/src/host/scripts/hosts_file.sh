# Puts the cluster's names into /etc/hosts, once. Written in place: in a container the file is a mount.
set -eu
begin="# begin sealer $SEALER_CLUSTER"
end="# end sealer $SEALER_CLUSTER"
# Without its end, nobody knows what belongs to it.
closed=$(grep -cxF "$end" /etc/hosts) || true
new=$SEALER_DATA/hosts.new
awk -v begin="$begin" -v end="$end" -v closed="$closed" '$0 == begin { skip = closed; next } !skip { print } $0 == end { skip = 0 }' /etc/hosts >"$new"
# Programs look the host's own name up, sudo each time: nobody may know it after a new start or a new name.
own=$(uname -n)
own=$(grep -qwF -- "$own" "$new" || printf '\n127.0.1.1 %s' "$own")
{
    echo "$begin"
    printf '%s\n' "$SEALER_NAMES$own"
    echo "$end"
} >>"$new"
cmp -s "$new" /etc/hosts || cat "$new" >/etc/hosts
rm -f "$new"
