//! What does a refusal of IPVS mean, in words that help?

use std::io;

use super::socket::Failure;
use crate::{Error, Scheduler};

/// `ENOENT`: no such server, or no such scheduler.
pub(super) const NO_ENTRY: i32 = 2;
/// `ESRCH`: no such virtual service.
pub(super) const NO_SERVICE: i32 = 3;
/// `EEXIST`: it is there already.
pub(super) const EXISTS: i32 = 17;

/// The error of an act on an object that failed.
pub(super) fn error(act: &'static str, object: String, scheduler: Option<Scheduler>, failure: Failure) -> Error {
    match failure {
        Failure::Refused(code) => Error::Refused { act, object, reason: reason(code, scheduler) },
        Failure::Malformed(reason) => Error::Malformed { object, reason },
        Failure::Socket(source) => Error::Io { act: format!("{act} {object} through netlink"), source },
    }
}

/// The kernel's number in words; `scheduler` is set when the act chooses one.
fn reason(code: i32, scheduler: Option<Scheduler>) -> String {
    let known = match code {
        1 | 13 => "needs CAP_NET_ADMIN: run it as root",
        NO_ENTRY => {
            return match scheduler {
                Some(name) => format!("the kernel has no scheduler {name}; load it with `modprobe ip_vs_{name}`"),
                None => "there is no such server".to_string(),
            };
        }
        NO_SERVICE => "there is no such virtual service",
        12 | 105 => "the kernel has no memory left for it",
        EXISTS => "it is there already",
        19 => "the kernel module is being unloaded",
        97 => "the kernel's IPVS does not know this address family; IPv6 may be switched off",
        _ => return io::Error::from_raw_os_error(code).to_string(),
    };
    known.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: i32, scheduler: Option<Scheduler>) -> String {
        error("add", "the virtual service 10.0.0.1:6443".into(), scheduler, Failure::Refused(code)).to_string()
    }

    #[test]
    fn refusals_say_what_to_do() {
        let prefix = "cannot add the virtual service 10.0.0.1:6443: ";
        assert_eq!(told(1, None), format!("{prefix}needs CAP_NET_ADMIN: run it as root"));
        assert_eq!(
            told(2, Some(Scheduler::Wrr)),
            format!("{prefix}the kernel has no scheduler wrr; load it with `modprobe ip_vs_wrr`")
        );
        assert_eq!(told(3, None), format!("{prefix}there is no such virtual service"));
        assert!(told(22, None).contains("Invalid argument"));
    }
}
