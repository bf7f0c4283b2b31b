//! Takes from a thread what a command must not do: capabilities, descriptors, sockets, system calls.

use landlock::{CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, Scope};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::linux::fault;
use super::namespace::io;
use super::system_calls;
use crate::error::Result;

/// First descriptor that a command does not get.
const FIRST_CLOSED: i32 = 3;

/// Confines the calling thread and whatever it starts from now on. There is no way back.
///
/// Without `raw_packets`, no packet can be sent whose headers the command wrote itself.
pub(super) fn confine(raw_packets: bool) -> Result<()> {
    keep_descriptors();
    limit_capabilities(raw_packets)?;
    leave_abstract_sockets()
        .map_err(std::io::Error::other)
        .map_err(fault("keep the command from sockets of this machine"))?;
    // Comes last: with it, this thread can do no more than the command. It also makes set-uid programs ordinary ones.
    system_calls::deny(raw_packets)
}

/// Keeps the descriptors of this process from the programs that it starts, whoever opened them: through `/proc/self/fd`
/// they lead out of every namespace. It is said of the whole process, since its threads share them.
pub(super) fn keep_descriptors() {
    close_fds::set_fds_cloexec(FIRST_CLOSED, &[]);
}

/// Leaves what an ordinary container may do, in every set: a program that root starts gets what is in the inheritable set
/// even when the bounding set lacks it.
fn limit_capabilities(raw_packets: bool) -> Result<()> {
    let mut kept = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FSETID
        | CapabilitySet::FOWNER
        | CapabilitySet::MKNOD
        | CapabilitySet::SETGID
        | CapabilitySet::SETUID
        | CapabilitySet::SETFCAP
        | CapabilitySet::SETPCAP
        | CapabilitySet::NET_BIND_SERVICE
        | CapabilitySet::SYS_CHROOT
        | CapabilitySet::KILL;
    kept.set(CapabilitySet::NET_RAW, raw_packets);
    let limited = || {
        for capability in CapabilitySet::all().iter() {
            let bounded = rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false);
            if bounded && !kept.contains(capability) {
                rustix::thread::remove_capability_from_bounding_set(capability)?;
            }
        }
        rustix::thread::clear_ambient_capability_set()?;
        let permitted = rustix::thread::capabilities(None)?.permitted & kept;
        let sets = CapabilitySets { effective: permitted, permitted, inheritable: CapabilitySet::empty() };
        rustix::thread::set_capabilities(None, sets)
    };
    limited().map_err(io).map_err(fault("drop capabilities"))
}

/// Abstract sockets have no file that could be hidden. Kernels before 6.12 cannot keep them apart.
fn leave_abstract_sockets() -> std::result::Result<(), RulesetError> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).scope(Scope::AbstractUnixSocket)?;
    ruleset.create()?.restrict_self()?;
    Ok(())
}
