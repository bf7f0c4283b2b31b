//! Lists the system calls that a command is refused, and installs that list.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::linux::fault;
use crate::error::Result;

/// Refused whatever their arguments: mounts, namespaces of others, keys, and parts of the kernel that builds do not need
/// and attacks do.
const DENIED: &[i64] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_open_by_handle_at,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
];

/// Namespaces that `clone` could make; a new user namespace gives every capability in it.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// The same for `unshare`; for `clone`, this bit is part of a signal's number.
const TIME_NAMESPACE: i32 = 0x80;

/// Requests of `ioctl` that type or paste into a terminal.
const TERMINAL_INPUT: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// The part of a socket's type that is not a flag.
const TYPE_MASK: u64 = 0xf;

/// Programs for the x32 variant of x86-64 add this bit to the number of a system call.
const X32: i64 = 0x4000_0000;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Refuses these calls to the calling thread and everything that it starts, and with them any gain of privileges by
/// starting a program (`no_new_privs`). Programs for other architectures, 32-bit ones too, are killed.
pub(super) fn deny(raw_packets: bool) -> Result<()> {
    let lists = [
        (libc::EPERM, forbidden()),
        // The arguments of clone3 cannot be seen by a filter; libraries fall back to clone.
        (libc::ENOSYS, Ok(Rules::from([(libc::SYS_clone3, Vec::new())]))),
        (libc::EAFNOSUPPORT, unsupported_sockets(raw_packets)),
    ];
    for (error, rules) in lists {
        let installed = rules.and_then(|rules| install(rules, error));
        installed.map_err(std::io::Error::other).map_err(fault("limit the system calls of the command"))?;
    }
    Ok(())
}

fn install(mut rules: Rules, error: i32) -> seccompiler::Result<()> {
    let variants: Vec<_> = rules.iter().map(|(number, rule)| (number | X32, rule.clone())).collect();
    rules.extend(variants);
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?;
    apply_filter(&BpfProgram::try_from(filter)?)
}

fn forbidden() -> seccompiler::Result<Rules> {
    let mut rules: Rules = DENIED.iter().map(|number| (*number, Vec::new())).collect();
    let has_flag = |flag: &i32| rule(&[(0, SeccompCmpOp::MaskedEq(bits(*flag)), bits(*flag))]);
    rules.insert(libc::SYS_clone, NAMESPACES.iter().map(has_flag).collect::<seccompiler::Result<_>>()?);
    let unshared = NAMESPACES.iter().chain([&TIME_NAMESPACE]);
    rules.insert(libc::SYS_unshare, unshared.map(has_flag).collect::<seccompiler::Result<_>>()?);
    let types = |request: &u64| rule(&[(1, SeccompCmpOp::Eq, *request)]);
    rules.insert(libc::SYS_ioctl, TERMINAL_INPUT.iter().map(types).collect::<seccompiler::Result<_>>()?);
    Ok(rules)
}

/// Leaves local sockets, IPv4, IPv6, and the kind of netlink that names addresses and routes.
fn unsupported_sockets(raw_packets: bool) -> seccompiler::Result<Rules> {
    let mut families = vec![libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    if raw_packets {
        families.push(libc::AF_PACKET);
    }
    let none_of: Vec<_> = families.iter().map(|family| (0, SeccompCmpOp::Ne, bits(*family))).collect();
    let other_netlink =
        [(0, SeccompCmpOp::Eq, bits(libc::AF_NETLINK)), (2, SeccompCmpOp::Ne, bits(libc::NETLINK_ROUTE))];
    let mut rules = vec![rule(&none_of)?, rule(&other_netlink)?];
    if !raw_packets {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let is_raw = (1, SeccompCmpOp::MaskedEq(TYPE_MASK), bits(libc::SOCK_RAW));
            rules.push(rule(&[(0, SeccompCmpOp::Eq, bits(family)), is_raw])?);
        }
    }
    Ok(Rules::from([(libc::SYS_socket, rules)]))
}

/// Matches when every argument, given by its place, compares as said.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> seccompiler::Result<SeccompRule> {
    // The kernel looks at 32 bits of each of these arguments.
    let condition = |(place, operator, value): &(u8, SeccompCmpOp, u64)| {
        SeccompCondition::new(*place, SeccompCmpArgLen::Dword, operator.clone(), *value)
    };
    Ok(SeccompRule::new(conditions.iter().map(condition).collect::<std::result::Result<_, _>>()?)?)
}

fn bits(value: i32) -> u64 {
    value.unsigned_abs().into()
}
