//! The events that a provider reports, and the choice of hosts to release.

use std::net::IpAddr;

use serde::Serialize;

/// Something a provider did or waits for; meant for a progress display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProviderEvent {
    /// A network of the cluster was made.
    NetworkCreated {
        /// Its name.
        network: String,
        /// Its addresses, as `a.b.c.d/len`.
        subnet: String,
    },
    /// A new host is being made.
    Creating {
        /// Name of the host.
        host: String,
        /// The address it will have.
        address: IpAddr,
    },
    /// A host that had stopped is started again.
    Restarting {
        /// Name of the host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// A host can be reached and has finished booting.
    Ready {
        /// Name of the host.
        host: String,
        /// Its address.
        address: IpAddr,
        /// Units that systemd could not start; usually none.
        failed_units: Vec<String>,
    },
    /// A host of this cluster exists that is not (or no longer) asked for; it is left alone until it is released.
    Unclaimed {
        /// Name of the host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// A host was given back.
    Released {
        /// Name of the host.
        host: String,
        /// The address it had.
        address: Option<IpAddr>,
    },
    /// Something other than a host was made.
    Made {
        /// What it is.
        what: String,
        /// Its id.
        id: String,
    },
    /// Machines are being ordered.
    Ordering {
        /// For what: `master` or `node`.
        role: &'static str,
        /// How many.
        count: usize,
        /// Their type.
        instance_type: String,
    },
    /// A machine is being given another size.
    Resizing {
        /// Name of the host.
        host: String,
        /// Its new type.
        instance_type: String,
    },
    /// The provider waits before it asks again.
    Waiting {
        /// What for.
        what: String,
        /// How long, in milliseconds.
        milliseconds: u64,
        /// What was refused, if anything was.
        reason: Option<String>,
    },
    /// A machine vanished while it was made, and is replaced.
    Lost {
        /// Its id.
        machine: String,
        /// How often machines vanished so far.
        round: u32,
    },
    /// Something other than a host was given back.
    Freed {
        /// What it was.
        what: String,
        /// Its id.
        id: String,
    },
    /// A network of the cluster was removed.
    NetworkRemoved {
        /// Its name.
        network: String,
    },
}

/// Which hosts of a cluster are given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// All of them, and everything else that was made for the cluster.
    All,
    /// Those with these addresses; what is shared by the others stays.
    Hosts(Vec<IpAddr>),
}
