# Puts the cluster's names into /etc/hosts, once. Written in place: in a container the file is a mount.
set -eu
begin="# begin sealer $SEALER_CLUSTER"
end="# end sealer $SEALER_CLUSTER"
new=$SEALER_DATA/hosts.new
awk -v begin="$begin" -v end="$end" '$0 == begin { skip = 1 } !skip { print } $0 == end { skip = 0 }' /etc/hosts >"$new"
{
    echo "$begin"
    printf '%s\n' "$SEALER_NAMES"
    echo "$end"
} >>"$new"
cmp -s "$new" /etc/hosts || cat "$new" >/etc/hosts
rm -f "$new"
