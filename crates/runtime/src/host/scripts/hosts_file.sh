# Puts the cluster's names into /etc/hosts, once. Written in place: in a container the file is a mount.
set -eu
begin="# begin sealer $SEALER_CLUSTER"
end="# end sealer $SEALER_CLUSTER"
# Without its end, nobody knows what belongs to it.
closed=$(grep -cxF "$end" /etc/hosts) || true
new=$SEALER_DATA/hosts.new
awk -v begin="$begin" -v end="$end" -v closed="$closed" '$0 == begin { skip = closed; next } !skip { print } $0 == end { skip = 0 }' /etc/hosts >"$new"
# A host that we named has to know its own name: sudo looks it up each time, and a name server that does not know it, or
# is not there, would hold up every command. The name stays when the cluster goes, and so does its line.
if [ -n "$SEALER_HOSTNAME" ] && ! printf '%s\n' "$SEALER_NAMES" | cat "$new" - | sed 's/#.*//' |
    awk -v name="$SEALER_HOSTNAME" '{ for (i = 2; i <= NF; i++) if ($i == name) found = 1 } END { exit !found }'; then
    printf '127.0.1.1 %s\n' "$SEALER_HOSTNAME" >>"$new"
fi
{
    echo "$begin"
    printf '%s\n' "$SEALER_NAMES"
    echo "$end"
} >>"$new"
cmp -s "$new" /etc/hosts || cat "$new" >/etc/hosts
rm -f "$new"
