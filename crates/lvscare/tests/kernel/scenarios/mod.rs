//! What clients notice when servers, daemons and rules come to harm.
//!
//! The same scenarios run with every dataplane.

mod certificates;
mod daemons;
mod deaths;
mod interference;
mod ports;

use crate::harness::{Plane, Test, test};

type Scenario = (&'static str, fn(Plane, bool));

/// Every scenario, in both address families where that could make a difference.
pub fn tests(plane: Plane) -> Vec<Test> {
    let both: [Scenario; 13] = [
        ("killed", deaths::killed),
        ("frozen", deaths::frozen),
        ("black_hole", deaths::black_hole),
        ("all_down", deaths::all_down),
        ("daemon_killed", daemons::killed_and_started_with_another_list),
        ("list_changed", daemons::list_changed),
        ("stopped", daemons::stopped),
        ("once", daemons::once),
        ("cleaned", daemons::cleaned),
        ("flushed", interference::rules_flushed),
        ("unreachable", interference::address_taken_away),
        ("ports_of_checks", ports::of_checks),
        ("expired_certificate", certificates::expired),
    ];
    let four: [Scenario; 7] = [
        ("once_stopped", daemons::once_stopped),
        ("server_errors", deaths::server_errors),
        ("flapping", deaths::flapping),
        ("quiet", daemons::quiet),
        ("others_untouched", interference::others_untouched),
        ("shared_port", ports::shared),
        ("link", daemons::link),
    ];
    let mut tests = Vec::new();
    for (name, play) in both {
        for (family, six) in [("ipv4", false), ("ipv6", true)] {
            tests.push(test(format!("scenario::{name}::{family}"), move || play(plane, six)));
        }
    }
    for (name, play) in four {
        // Links of kind dummy are not in every kernel; where they are not, routes do the work. IPVS leaves clients' ports
        // as they are, so there nothing can be done about a program whose own connection to a server has the same.
        let impossible = if plane == Plane::Ipvs { "shared_port" } else { "link" };
        if name != impossible {
            tests.push(test(format!("scenario::{name}"), move || play(plane, false)));
        }
    }
    tests
}
