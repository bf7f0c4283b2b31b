set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$SEALER_ROOTFS/bin
export PATH
fail() {
    echo "$*" >&2
    exit 1
}
# Whether somebody listens on a TCP port.
listening() {
    grep -qi ":$(printf '%04X' "$1") [0-9A-F:]* 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null
}
remove_containers() {
    command -v ctr >/dev/null || return 0
    ctr -n k8s.io tasks ls -q 2>/dev/null | while read -r task; do
        ctr -n k8s.io tasks rm -f "$task" >/dev/null 2>&1 || true
    done
    ctr -n k8s.io containers ls -q 2>/dev/null | while read -r container; do
        ctr -n k8s.io containers rm "$container" >/dev/null 2>&1 || true
    done
}
# Volumes of pods are mounted below; removing files through such a mount would remove somebody's data.
unmount_below() {
    # The kernel calls mount points by their real names.
    below=$(readlink -f "$1") || return 0
    awk -v below="$below/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r point; do
        point=$(printf '%b' "$point")
        umount "$point" 2>/dev/null || umount -l "$point" 2>/dev/null || true
    done
    if awk -v below="$below/" 'index($5, below) == 1 { found = 1 } END { exit !found }' /proc/self/mountinfo; then
        fail "cannot unmount what is mounted below $1"
    fi
}
digest_of() {
    sha256sum <"$1" | cut -d ' ' -f 1
}
