# Prints what is on this machine, one thing a line: kind, then what tells it from others.
LC_ALL=C
export LC_ALL

each() {
    kind=$1
    shift
    "$@" 2>/dev/null </dev/null | sed "s|^|$kind |"
}

# Of this script and of whoever looks at the machine beside it nobody cares.
processes() {
    ps -e -o comm= | grep -vxE 'sh|ps|grep|sed|sshd.*|systemctl|\(sd-pam\)'
}

# The rules that the container engine keeps for its own name server are in every container; empty tables and chains of
# iptables come with a first look at them.
rules() {
    { iptables-save; ip6tables-save; } | grep -E '^-A|^:.* (DROP|-) ' | grep -vE 'DOCKER|127\.0\.0\.11' | sed 's/\[[0-9:]*\]//'
    nft list tables | grep -vE ' ip6? (filter|mangle|nat|raw|security)$'
    cat /proc/net/ip_vs
}

settings() {
    for name in net/ipv4/ip_forward net/ipv4/conf/all/route_localnet net/ipv4/conf/all/rp_filter net/ipv6/conf/all/forwarding \
        net/bridge/bridge-nf-call-iptables net/bridge/bridge-nf-call-ip6tables \
        net/netfilter/nf_conntrack_tcp_timeout_established net/netfilter/nf_conntrack_tcp_timeout_close_wait; do
        [ ! -e "/proc/sys/$name" ] || echo "$name $(cat "/proc/sys/$name")"
    done
}

# /var/lib/systemd and the logs of the system itself are written all the time; the locks in /run, of iptables and of the
# steps of a plan, hold nothing and are gone after a boot, as is what the first login writes.
files() {
    find / /var -xdev \( -path /proc -o -path /sys -o -path /tmp -o -path /dev -o -path /var/log/journal \
        -o -path /var/lib/systemd -o -path /var/cache -o -path /var/tmp \) -prune -o -print
    find /run /tmp -xdev \( -path /run/systemd -o -path /run/xtables.lock -o -path /run/sealer-step \
        -o -path /run/motd.dynamic \) -prune -o -print
}

# Without the number of the interface, which a machine that was switched off gets anew.
addresses() {
    ip -o address show scope global | sed 's/^[0-9]*: //'
}

each process processes
each unit systemctl list-unit-files --no-legend --no-pager
each failed systemctl list-units --failed --plain --no-legend --no-pager
each mount awk '{ print $5 }' /proc/self/mountinfo
each link ls /sys/class/net
each address addresses
each route ip route show table all
each namespace ip netns list
each rule rules
each setting settings
each name cat /etc/hosts
each configuration find /etc -xdev -type f -exec sha256sum {} +
each file files
