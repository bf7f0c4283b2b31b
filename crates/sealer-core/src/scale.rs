//! Makes the wanted Clusterfile of a cluster that exists, with hosts that come or go.

use clusterfile::{Cluster, Clusterfile, ErrorKind, Host, MachineSpec, MachinesArg, Role};

use crate::wanted::set_env;
use crate::{Error, Login, RunRequest, Sealer, Wanted, change};

/// Which hosts shall come or go: addresses, or counts where a provider makes the machines.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ScaleRequest {
    /// Masters.
    pub masters: Option<String>,
    /// Nodes.
    pub nodes: Option<String>,
    /// How to log in on hosts that come.
    pub login: Login,
    /// `KEY=VALUE` for scripts and commands of the whole cluster, when hosts come.
    pub env: Vec<String>,
}

impl ScaleRequest {
    /// These masters and nodes.
    #[must_use]
    pub fn new(masters: Option<&str>, nodes: Option<&str>) -> Self {
        Self { masters: masters.map(str::to_owned), nodes: nodes.map(str::to_owned), ..Self::default() }
    }

    /// What is said of each role; at least one is.
    fn parts(&self, cluster: &Cluster) -> Result<Vec<Part>, Error> {
        let mut parts: Vec<Part> = Vec::new();
        for (option, role, text) in [("--masters", Role::Master, &self.masters), ("--nodes", Role::Node, &self.nodes)] {
            let Some(text) = text else { continue };
            let failed = |source| Error::Argument { option, value: text.clone(), source };
            let machines = clusterfile::machines_or_addresses(text).map_err(failed)?;
            if let MachinesArg::Addresses(addresses) = &machines {
                let before = parts.iter().find_map(|part| match &part.machines {
                    MachinesArg::Addresses(before) => addresses.iter().find(|address| before.contains(address)),
                    MachinesArg::Count(_) => None,
                });
                if let Some(twice) = before {
                    return Err(failed(ErrorKind::DuplicateAddress(*twice)));
                }
            }
            parts.push(Part { role, machines });
        }
        if parts.iter().all(|part| part.machines == MachinesArg::Count(0)) {
            return Err(refused(cluster, "say which masters or nodes by addresses, or how many"));
        }
        Ok(parts)
    }
}

/// What is said of one role.
struct Part {
    role: Role,
    machines: MachinesArg,
}

/// The cluster that is meant, as it is remembered: the one of this name, else that of `file`, else the only one there is.
///
/// What `file` says besides its name counts only where nothing is remembered.
///
/// # Errors
///
/// [`Error::NoCluster`] when nothing is known of it, [`Error::WhichCluster`] when there is none, or several.
pub fn current(sealer: &Sealer, name: Option<&str>, file: Option<Clusterfile>) -> Result<Clusterfile, Error> {
    let name = match (name, &file) {
        (Some(name), _) => name.to_owned(),
        (None, Some(file)) => file.cluster.name.clone(),
        (None, None) => match <[String; 1]>::try_from(sealer.state().clusters()?) {
            Ok([only]) => only,
            Err(known) => return Err(Error::WhichCluster { known, state: sealer.state().root().to_owned() }),
        },
    };
    let known = sealer.state().clusterfile(&name)?.or(file);
    known.ok_or_else(|| Error::NoCluster { cluster: name, state: sealer.state().root().to_owned() })
}

/// The cluster that `current` is remembered as, with more hosts.
///
/// Counts are so many more machines. The same call again after an interruption asks for the same cluster, and hosts that
/// the cluster has already are no error.
///
/// # Errors
///
/// [`Error::Argument`] and [`Error::Scale`] for what cannot be meant; [`Error::OtherRole`] for a host that the cluster
/// has in another role.
pub fn scale_up(current: &Clusterfile, request: &ScaleRequest) -> Result<Wanted, Error> {
    let mut wanted = settled(current);
    let cluster = &mut wanted.cluster;
    for part in request.parts(cluster)? {
        add(cluster, part, &request.login, u32::saturating_add)?;
    }
    set_env(cluster, &request.env)?;
    Ok(Wanted { keeps_hosts: true, ..checked(&wanted)?.into() })
}

/// A Clusterfile with what was said beside it: hosts by their addresses that it has too, counts instead of its own, and
/// variables.
///
/// # Errors
///
/// As [`scale_up`].
pub fn with_arguments(file: &Clusterfile, request: &ScaleRequest) -> Result<Clusterfile, Error> {
    let mut wanted = file.clone();
    let cluster = &mut wanted.cluster;
    let names_hosts = request.masters.is_some() || request.nodes.is_some();
    if !names_hosts && request.env.is_empty() {
        return Ok(wanted);
    }
    if names_hosts {
        for part in request.parts(cluster)? {
            add(cluster, part, &request.login, |_, count| count)?;
        }
    }
    set_env(cluster, &request.env)?;
    checked(&wanted)
}

/// Adds hosts by their addresses; a count changes that of the role as `count` says of the one before and the one given.
fn add(cluster: &mut Cluster, part: Part, login: &Login, count: impl Fn(u32, u32) -> u32) -> Result<(), Error> {
    let Part { role, machines } = part;
    match machines {
        MachinesArg::Count(given) => {
            let count = count(counted(cluster, &role)?, given);
            spec(cluster, &role).get_or_insert_with(MachineSpec::default).count = count;
        }
        MachinesArg::Addresses(addresses) if !cluster.machines.is_empty() => {
            let reason = format!(
                "{} makes its machines itself: say how many, not {}",
                cluster.provider,
                addresses.first().map(ToString::to_string).unwrap_or_default()
            );
            return Err(refused(cluster, reason));
        }
        MachinesArg::Addresses(addresses) => {
            for address in addresses {
                same_role(cluster, address, &role)?;
                join(cluster, &role, address, login);
            }
        }
    }
    Ok(())
}

/// The cluster that `current` is remembered as, with fewer hosts.
///
/// Counts are so many machines fewer; which of them leave, the youngest first, is decided when the change is made.
///
/// # Errors
///
/// [`Error::Argument`] and [`Error::Scale`] for what cannot be meant, such as taking out the last master.
pub fn scale_down(current: &Clusterfile, request: &ScaleRequest) -> Result<Wanted, Error> {
    let mut wanted = settled(current);
    let cluster = &mut wanted.cluster;
    set_env(cluster, &request.env)?;
    for Part { role, machines } in request.parts(cluster)? {
        let fewer = match &machines {
            MachinesArg::Count(fewer) => *fewer,
            MachinesArg::Addresses(addresses) => {
                for address in addresses {
                    let host = current.cluster.host(*address);
                    if !host.is_some_and(|host| host.roles.contains(&role)) {
                        let known = host.map(|host| format!("; it is a {}", role_of(host))).unwrap_or_default();
                        return Err(refused(cluster, format!("{address} is no {role} of it{known}")));
                    }
                }
                cluster.hosts.retain(|host| !addresses.contains(&host.address));
                u32::try_from(addresses.len()).unwrap_or(u32::MAX)
            }
        };
        if !cluster.machines.is_empty() || matches!(machines, MachinesArg::Count(_)) {
            let before = counted(cluster, &role)?;
            let Some(left) = before.checked_sub(fewer) else {
                return Err(refused(cluster, format!("it has {before} of role {role}: {fewer} cannot be taken out")));
            };
            spec(cluster, &role).get_or_insert_with(MachineSpec::default).count = left;
        }
    }
    let masters =
        cluster.machines.masters.as_ref().map_or_else(|| cluster.masters().count(), |spec| spec.count as usize);
    if masters == 0 {
        let reason =
            format!("the last master cannot be taken out; `sealer delete -c {}` deletes the cluster", cluster.name);
        return Err(refused(cluster, reason));
    }
    Ok(checked(&wanted)?.into())
}

/// The cluster that an image is run as once more: `known`, overlaid by what `request` says, with the hosts of `fresh`
/// besides. Hosts that are not named stay, and a remark says so.
pub(crate) fn run_again(known: &Clusterfile, fresh: Clusterfile, request: &RunRequest) -> Result<Wanted, Error> {
    if fresh.cluster.provider != known.cluster.provider {
        // Refused when it is applied.
        return Ok(fresh.into());
    }
    let mut wanted = settled(known);
    wanted.cluster.machines.clone_from(&known.cluster.machines);
    let (cluster, fresh) = (&mut wanted.cluster, &fresh.cluster);
    let is_known = |host: &Host| cluster.host(host.address).is_some_and(Host::is_master);
    if fresh.masters().next().is_some() && !fresh.masters().any(is_known) {
        let masters = cluster.masters().map(|host| host.address).collect();
        return Err(Error::ClusterExists { cluster: cluster.name.clone(), masters });
    }
    overlay(cluster, fresh, request)?;
    let mut notes = Vec::new();
    let named = request.masters.is_some() || request.nodes.is_some();
    for role in [Role::Master, Role::Node] {
        let option = if role == Role::Master { "--masters" } else { "--nodes" };
        let asked = spec_of(fresh, &role).map(|spec| spec.count);
        let place = spec(cluster, &role);
        if let Some(asked) = asked {
            let known = place.get_or_insert_with(|| spec_of(fresh, &role).cloned().unwrap_or_default());
            known.count = known.count.max(asked);
        }
        if let Some(known) = place.as_ref().filter(|known| named && asked.unwrap_or(0) < known.count) {
            let fewer = known.count - asked.unwrap_or(0);
            notes.push(format!(
                "cluster {name} keeps all {} machines of role {role}: `sealer delete -c {name} {option} {fewer}` takes some out",
                known.count,
                name = fresh.name,
            ));
        }
    }
    let stay = cluster.hosts.iter().filter(|host| cluster.machines.is_empty() && fresh.host(host.address).is_none());
    notes.extend(stay.map(|host| {
        let (address, role) = (host.address, role_of(host));
        format!(
            "{address} stays a {role} of cluster {name}: `sealer delete -c {name} --{role}s {address}` takes it out",
            name = fresh.name
        )
    }));
    for host in &fresh.hosts {
        let role = if host.is_master() { Role::Master } else { Role::Node };
        same_role(cluster, host.address, &role)?;
        cluster.add_hosts(&role, [host.address]);
    }
    Ok(Wanted { clusterfile: checked(&wanted)?, notes, keeps_hosts: true })
}

/// What the request itself says, apart from hosts.
fn overlay(cluster: &mut Cluster, fresh: &Cluster, request: &RunRequest) -> Result<(), Error> {
    cluster.image.clone_from(&fresh.image);
    if request.interface.is_some() {
        cluster.network.interface.clone_from(&request.interface);
    }
    if request.pod_cidr.is_some() {
        cluster.network.pod_cidr.clone_from(&fresh.network.pod_cidr);
    }
    if request.service_cidr.is_some() {
        cluster.network.service_cidr.clone_from(&fresh.network.service_cidr);
    }
    set_env(cluster, &request.env)?;
    cluster.command_args.extend(request.command_args.clone());
    request.choose_launch(cluster);
    Ok(())
}

/// The cluster without what a change that is still under way added to it or takes from it.
fn settled(current: &Clusterfile) -> Clusterfile {
    let mut file = current.clone();
    let (known, cluster) = (&current.cluster, &mut file.cluster);
    cluster.hosts.retain(|host| !change::is_leaving(known, host.address));
    if change::is_under_way(known) {
        let (masters, nodes) = change::machines_before(known);
        for (spec, count) in [(&mut cluster.machines.masters, masters), (&mut cluster.machines.nodes, nodes)] {
            spec.iter_mut().for_each(|spec| spec.count = count);
        }
    }
    change::unmark(cluster);
    file
}

fn join(cluster: &mut Cluster, role: &Role, address: std::net::IpAddr, login: &Login) {
    if cluster.host(address).is_some() {
        return;
    }
    let mut alone = cluster.clone();
    alone.hosts.clear();
    login.overlay(&mut alone);
    alone.add_hosts(role, [address]);
    cluster.hosts.extend(alone.hosts);
}

fn same_role(cluster: &Cluster, address: std::net::IpAddr, role: &Role) -> Result<(), Error> {
    let Some(known) = cluster.host(address).filter(|host| !host.roles.contains(role)) else { return Ok(()) };
    let (cluster, role_now) = (cluster.name.clone(), role_of(known).to_owned());
    let wanted = if *role == Role::Master { "master" } else { "node" };
    Err(Error::OtherRole { cluster, host: address, role: role_now, wanted })
}

fn role_of(host: &Host) -> &'static str {
    if host.is_master() { "master" } else { "node" }
}

/// How many machines of a role a provider makes.
fn counted(cluster: &Cluster, role: &Role) -> Result<u32, Error> {
    if cluster.machines.is_empty() {
        return Err(refused(cluster, "its hosts are given by address: name them by their addresses, not by a count"));
    }
    Ok(spec_of(cluster, role).map_or(0, |spec| spec.count))
}

fn spec_of<'a>(cluster: &'a Cluster, role: &Role) -> Option<&'a MachineSpec> {
    if *role == Role::Master { cluster.machines.masters.as_ref() } else { cluster.machines.nodes.as_ref() }
}

fn spec<'a>(cluster: &'a mut Cluster, role: &Role) -> &'a mut Option<MachineSpec> {
    if *role == Role::Master { &mut cluster.machines.masters } else { &mut cluster.machines.nodes }
}

fn refused(cluster: &Cluster, reason: impl Into<String>) -> Error {
    Error::Scale { cluster: cluster.name.clone(), reason: reason.into() }
}

/// What a request and a remembered file make together must be as right as a file.
fn checked(wanted: &Clusterfile) -> Result<Clusterfile, Error> {
    clusterfile::parse(&wanted.to_yaml()).map_err(Error::Request)
}
