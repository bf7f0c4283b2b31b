//! Plugins of a Clusterfile: which there are, whom they act on, and what those amount to that only name settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use clusterfile::{Cluster, Clusterfile, Host, MachinesArg, Plugin, Role};

use crate::Error;
use crate::preflight::host::bad_hostname;

/// The environment of a process takes 128 KiB for one value; this leaves room for its name.
const SCRIPT_LIMIT: usize = 120 << 10;
/// Phases that belong to changes of a cluster's image.
const LATER: [&str; 3] = ["upgrade", "rollback", "upgrade-host"];

/// A host as far as plugins choose by it.
pub(crate) struct Chosen<'a> {
    pub(crate) address: IpAddr,
    pub(crate) roles: Vec<&'a str>,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) is_first_master: bool,
}

/// A Clusterfile with all that its plugins only say of hosts: the labels of LABEL and the taints of TAINT. Plugins may also
/// choose hosts by roles that the cluster had before, as it is `known`.
///
/// # Errors
///
/// [`Error::Plugin`] for the first plugin that cannot be understood or is not supported, before any host is touched.
pub fn with_plugins(wanted: &Clusterfile, known: Option<&Cluster>) -> Result<Clusterfile, Error> {
    let mut file = wanted.clone();
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    let mut unnamed = BTreeSet::new();
    for plugin in &wanted.plugins {
        if plugin.name.is_empty() {
            let mut phases = phases(plugin).filter(|_| plugin.plugin_type == "SHELL").collect::<BTreeSet<_>>();
            if phases.iter().any(|phase| unnamed.contains(phase)) {
                return Err(refused(plugin, "two have no name, and the same phase"));
            }
            unnamed.append(&mut phases);
        } else if let Some(before) = names.insert(plugin.name.to_lowercase(), &plugin.name) {
            return Err(refused(
                plugin,
                &if before == plugin.name {
                    "there are two of this name".to_owned()
                } else {
                    format!("its name differs from that of {before} only in upper and lower case")
                },
            ));
        }
        check(plugin, &wanted.cluster, known)?;
    }
    for plugin in sorted(&wanted.plugins) {
        let (is_label, is_taint) = (plugin.plugin_type == "LABEL", plugin.plugin_type == "TAINT");
        if !is_label && !is_taint {
            continue;
        }
        for (addresses, words) in lines(plugin)? {
            for host in file.cluster.hosts.iter_mut().filter(|host| addresses.contains(&host.address)) {
                if is_label { add_labels(plugin, host, &words)? } else { add_taints(host, &words) }
            }
        }
    }
    if file == *wanted {
        return Ok(file);
    }
    // What plugins and hosts make together must be as right as a file.
    let wrong = |errors: clusterfile::Errors| errors.iter().next().map(ToString::to_string).unwrap_or_default();
    let refused = |errors| Error::Plugin { name: "of type LABEL or TAINT".to_owned(), reason: wrong(errors) };
    clusterfile::parse_default(&file.to_yaml()).map_err(refused)?;
    Ok(file)
}

/// The names that HOSTNAME plugins give to hosts.
///
/// # Errors
///
/// [`Error::Plugin`] for what is no line of an address and a name, or no name of a host.
pub fn host_names(wanted: &Clusterfile) -> Result<BTreeMap<IpAddr, String>, Error> {
    let mut names = BTreeMap::new();
    for plugin in sorted(&wanted.plugins).filter(|plugin| plugin.plugin_type == "HOSTNAME") {
        for (addresses, words) in lines(plugin)? {
            let ([address], [name]) = (&addresses[..], &words[..]) else {
                return Err(refused(plugin, "a line is one address and one name"));
            };
            if let Some(reason) = bad_hostname(name) {
                return Err(refused(plugin, &format!("the host name `{name}` {reason}")));
            }
            names.insert(*address, name.clone());
        }
    }
    Ok(names)
}

/// What a person should know of the plugins of a cluster, one sentence each.
pub(crate) fn remarks(wanted: &Clusterfile) -> Vec<String> {
    let mut remarks = Vec::new();
    for plugin in sorted(&wanted.plugins) {
        let mut later: Vec<&str> = phases(plugin).filter(|phase| LATER.contains(phase)).collect();
        later.dedup();
        if !later.is_empty() {
            let (name, phases) = (&plugin.name, later.join(", "));
            remarks.push(format!(
                "plugin {name} is not run in the phase {phases}: changing the image of a cluster is not supported yet"
            ));
        }
    }
    remarks
}

/// Plugins in the order in which they run: by their names.
pub(crate) fn sorted(plugins: &[Plugin]) -> impl Iterator<Item = &Plugin> {
    let mut sorted: Vec<&Plugin> = plugins.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    sorted.into_iter()
}

/// The phases in which a plugin acts.
pub(crate) fn phases(plugin: &Plugin) -> impl Iterator<Item = &str> {
    plugin.action.split('|').map(str::trim)
}

/// Whether a plugin acts on a host: all that `on` and `scope` say hold.
pub(crate) fn acts_on(plugin: &Plugin, host: &Chosen<'_>) -> bool {
    let holds = |word: &str| match word {
        "master0" => host.is_first_master,
        role if host.roles.contains(&role) => true,
        word => match word.split_once('=') {
            Some((key, value)) => host.labels.get(key).is_some_and(|found| found == value),
            None => addresses(word).is_some_and(|addresses| addresses.contains(&host.address)),
        },
    };
    let among = |text: Option<&str>| words(text).next().is_none() || words(text).any(holds);
    among(plugin.on.as_deref()) && among(plugin.scope.as_deref())
}

impl<'a> Chosen<'a> {
    pub(crate) fn of(cluster: &Cluster, host: &'a Host) -> Self {
        let first = cluster.masters().next().map(|master| master.address);
        let (address, roles) = (host.address, host.roles.iter().map(Role::as_str).collect());
        Self { address, roles, labels: &host.labels, is_first_master: first == Some(host.address) }
    }
}

fn check(plugin: &Plugin, cluster: &Cluster, before: Option<&Cluster>) -> Result<(), Error> {
    match plugin.plugin_type.as_str() {
        "SHELL" if plugin.data.len() > SCRIPT_LIMIT => Err(refused(
            plugin,
            &format!("its script is longer than {} KiB; put it into the image and call it", SCRIPT_LIMIT >> 10),
        )),
        "SHELL" | "LABEL" | "TAINT" | "HOSTNAME" | "CLUSTERCHECK" => {
            let mut words = words(plugin.on.as_deref()).chain(words(plugin.scope.as_deref()));
            words.try_for_each(|word| known(plugin, cluster, before, word))?;
            let is_empty = plugin.data.trim().is_empty() && plugin.plugin_type != "CLUSTERCHECK";
            if is_empty { Err(refused(plugin, "it has no data, so it would do nothing")) } else { Ok(()) }
        }
        "ETCD" => Err(refused(plugin, "backups of etcd are not supported yet")),
        other => Err(refused(plugin, &format!("its type {other} is no kind of plugin"))),
    }
}

/// Refuses a word that can choose no host.
fn known(plugin: &Plugin, cluster: &Cluster, before: Option<&Cluster>, word: &str) -> Result<(), Error> {
    let mut hosts = cluster.hosts.iter().chain(before.into_iter().flat_map(|before| &before.hosts));
    let is_role = |host: &Host| host.roles.iter().any(|role| role.as_str() == word);
    let known = ["master", "node", "master0"].contains(&word) || word.contains('=') || hosts.any(is_role);
    if known || cluster.hosts.is_empty() || addresses(word).is_some() {
        return Ok(());
    }
    Err(refused(
        plugin,
        &format!("`{word}` is neither a role of a host, nor an address, a range of them or a label KEY=VALUE"),
    ))
}

fn words(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(['|', ',', ' ', '\n']).filter(|word| !word.is_empty())
}

fn addresses(word: &str) -> Option<Vec<IpAddr>> {
    match clusterfile::machines_or_addresses(word) {
        Ok(MachinesArg::Addresses(addresses)) => Some(addresses),
        _ => None,
    }
}

/// Addresses, and what their hosts shall have.
type Line = (Vec<IpAddr>, Vec<String>);

/// The lines of a LABEL, TAINT or HOSTNAME: addresses, then words.
fn lines(plugin: &Plugin) -> Result<Vec<Line>, Error> {
    let lines = plugin.data.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = lines.map(|line| {
        let mut words = line.split_whitespace();
        let of = words.next().and_then(addresses);
        let rest: Vec<String> = words.map(str::to_owned).collect();
        of.filter(|_| !rest.is_empty()).map(|of| (of, rest)).ok_or_else(|| {
            refused(plugin, &format!("`{line}` is no line of an address and what the host there shall have"))
        })
    });
    read.collect()
}

fn add_labels(plugin: &Plugin, host: &mut Host, words: &[String]) -> Result<(), Error> {
    for pair in words.iter().flat_map(|word| word.split(',')).filter(|pair| !pair.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| refused(plugin, &format!("`{pair}` is no label KEY=VALUE")))?;
        host.labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    Ok(())
}

fn add_taints(host: &mut Host, words: &[String]) {
    let taints = words.iter().flat_map(|word| word.split(',')).filter(|taint| !taint.is_empty());
    for taint in taints {
        if !host.taints.iter().any(|known| known == taint) {
            host.taints.push(taint.to_owned());
        }
    }
}

fn refused(plugin: &Plugin, reason: &str) -> Error {
    let name = if plugin.name.is_empty() { format!("({})", plugin.plugin_type) } else { plugin.name.clone() };
    Error::Plugin { name, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(plugins: &str) -> Clusterfile {
        let cluster = "kind: Cluster\napiVersion: sealer.io/v2\nmetadata: {name: a}\nspec:\n  image: i:1\n  hosts:\n  - {ips: [10.0.0.1, 10.0.0.2], roles: [master], labels: {zone: a}}\n  - {ips: [10.0.0.3], roles: [node, db]}\n";
        clusterfile::parse(&format!("{cluster}{plugins}")).unwrap()
    }

    fn plugin(name: &str, spec: &str) -> String {
        format!("---\nkind: Plugin\napiVersion: sealer.io/v1\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
    }

    fn chosen(on: &str) -> Vec<String> {
        let file = file(&plugin("p", &format!("type: SHELL, action: PreInit, data: x, {on}")));
        with_plugins(&file, None).unwrap();
        let hosts =
            file.cluster.hosts.iter().filter(|host| acts_on(&file.plugins[0], &Chosen::of(&file.cluster, host)));
        hosts.map(|host| host.address.to_string()).collect()
    }

    #[test]
    fn hosts_are_chosen_by_role_address_range_and_label() {
        let [one, two, three] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
        for (on, expected) in [
            ("on: ''", vec![one, two, three]),
            ("on: master", vec![one, two]),
            ("on: master0", vec![one]),
            ("scope: master|db", vec![one, two, three]),
            ("scope: db", vec![three]),
            ("on: 10.0.0.2-10.0.0.3", vec![two, three]),
            ("on: '10.0.0.1,10.0.0.3'", vec![one, three]),
            ("on: zone=a", vec![one, two]),
            ("on: zone=b", vec![]),
            ("on: zone=a, scope: node", vec![]),
        ] {
            assert_eq!(chosen(on), expected, "{on}");
        }
    }

    #[test]
    fn labels_taints_and_names_become_settings_of_hosts() {
        let text =
            plugin("l", "type: LABEL, action: PreGuest, data: \"10.0.0.1 a=b,c=d\\n# no\\n10.0.0.3 ssd=true\\n\"")
                + &plugin("t", "type: TAINT, action: PreGuest, data: \"10.0.0.2-10.0.0.3 k=v:NoSchedule\"")
                + &plugin("h", "type: HOSTNAME, action: PreInit, data: \"10.0.0.3 worker-1\"");
        let wanted = file(&text);
        let hosts = with_plugins(&wanted, None).unwrap().cluster.hosts;
        assert_eq!(
            hosts[0].labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
            ["a=b", "c=d", "zone=a"]
        );
        assert_eq!((hosts[1].taints.len(), &hosts[2].taints[..]), (1, &["k=v:NoSchedule".to_owned()][..]));
        assert_eq!(hosts[2].labels["ssd"], "true");
        assert_eq!(host_names(&wanted).unwrap(), BTreeMap::from([([10, 0, 0, 3].into(), "worker-1".to_owned())]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_anything() {
        // Those of an image come to those of the Clusterfile.
        let mut two = file(&plugin("a", "type: SHELL, action: PreInit, data: x"));
        let mut other = two.plugins[0].clone();
        other.name = "A".to_owned();
        two.plugins.push(other);
        let error = with_plugins(&two, None).unwrap_err().to_string();
        assert!(error.contains("only in upper and lower case"), "{error}");
        let unnamed = plugin("''", "type: SHELL, action: PreInit, data: x");
        for (text, part) in [
            (unnamed.clone() + &unnamed, "two have no name"),
            (plugin("p", "type: ETCD, action: PostInstall"), "backups of etcd are not supported yet"),
            (plugin("p", "type: SHELL, action: PreInit, on: mastre"), "`mastre` is neither a role"),
            (plugin("p", "type: LABEL, action: PreGuest, data: a=b"), "is no line of an address"),
            (plugin("p", "type: LABEL, action: PreGuest, data: 10.0.0.1 ab"), "`ab` is no label"),
            (plugin("p", "type: TAINT, action: PreGuest, data: 10.0.0.1 ab"), "taint"),
        ] {
            let error = with_plugins(&file(&text), None).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let bad = file(&plugin("h", "type: HOSTNAME, action: PreInit, data: 10.0.0.1 _x"));
        assert!(host_names(&bad).unwrap_err().to_string().contains("host name `_x`"));
    }
}
