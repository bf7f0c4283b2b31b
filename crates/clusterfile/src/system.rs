//! Variables of the cluster that are settings: the second generation of the original has no other fields for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{CidrList, Cluster, ErrorKind, parse::rules};

/// The variables that set something of the whole cluster.
const SETTINGS: [&str; 7] =
    ["PodCIDR", "SvcCIDR", "CertSANs", "IPvsVIPv4", "IPvsVIPv6", "UseIPasNodeName", "IPv6DualStack"];

/// Whether a variable of the cluster (`spec.env`) is one of its settings, and scripts therefore see what takes effect.
#[must_use]
pub fn is_cluster_setting(name: &str) -> bool {
    SETTINGS.contains(&name)
}

impl Cluster {
    /// Lets the variables that are settings take effect; with `over` they win over fields that say something else.
    ///
    /// # Errors
    /// Values that are none, and [`ErrorKind::Contradiction`] without `over`.
    pub fn settle_env(&mut self, over: bool) -> Result<(), ErrorKind> {
        for (name, field) in [("PodCIDR", "spec.network.podCIDR"), ("SvcCIDR", "spec.network.svcCIDR")] {
            let Some(text) = self.env.get(name).filter(|text| !text.is_empty()) else { continue };
            let given: CidrList = text.replace(';', ",").parse()?;
            let pods = name == "PodCIDR";
            let asked = if pods { self.network.asked_pod_cidr() } else { self.network.asked_service_cidr() };
            if let Some(asked) = asked.filter(|asked| !over && **asked != given) {
                let (variable, other) = (format!("{name}={given}"), format!("{field} {asked}"));
                return Err(ErrorKind::Contradiction { variable, other });
            }
            *(if pods { &mut self.network.pod_cidr } else { &mut self.network.service_cidr }) = given;
        }
        let names = self.env.values("CertSANs").into_iter().flat_map(|text| text.split(',')).map(str::trim);
        for name in names.filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>() {
            rules::CERTIFICATE_NAME.check(&name)?;
            if !self.cert_sans.contains(&name) {
                self.cert_sans.push(name);
            }
        }
        self.check_addresses()?;
        self.flag("UseIPasNodeName")?;
        self.check_dual_stack()
    }

    /// The address in front of all API servers, when the cluster chooses it (`IPvsVIPv4`, `IPvsVIPv6`).
    #[must_use]
    pub fn virtual_address(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.env.get(if is_ipv4 { "IPvsVIPv4" } else { "IPvsVIPv6" })?.parse().ok()
    }

    /// Whether nodes are registered under their addresses (`UseIPasNodeName`).
    #[must_use]
    pub fn uses_addresses_as_names(&self) -> bool {
        self.flag("UseIPasNodeName").is_ok_and(|value| value == Some(true))
    }

    fn flag(&self, name: &'static str) -> Result<Option<bool>, ErrorKind> {
        match self.env.get(name) {
            None | Some("") => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(value) => Err(ErrorKind::Invalid {
                what: "value of this variable",
                value: format!("{name}={value}"),
                rule: "true or false",
            }),
        }
    }

    fn check_addresses(&self) -> Result<(), ErrorKind> {
        let wrong = |name: &str, value: &str, rule| ErrorKind::Invalid {
            what: "value of this variable",
            value: format!("{name}={value}"),
            rule,
        };
        if let Some(text) = self.env.get("IPvsVIPv4").filter(|text| text.parse::<Ipv4Addr>().is_err()) {
            return Err(wrong("IPvsVIPv4", text, "an IPv4 address"));
        }
        if let Some(text) = self.env.get("IPvsVIPv6").filter(|text| text.parse::<Ipv6Addr>().is_err()) {
            return Err(wrong("IPvsVIPv6", text, "an IPv6 address"));
        }
        let taken = [true, false].into_iter().filter_map(|family| self.virtual_address(family));
        match taken.into_iter().find(|address| self.host(*address).is_some()) {
            Some(address) => Err(wrong("IPvsVIP", &address.to_string(), "an address that no host has")),
            None => Ok(()),
        }
    }

    fn check_dual_stack(&self) -> Result<(), ErrorKind> {
        let has_two = self.network.pod_cidr.is_dual_stack() && self.network.service_cidr.is_dual_stack();
        match self.flag("IPv6DualStack")? {
            Some(asked) if asked != has_two => Err(ErrorKind::Contradiction {
                variable: format!("IPv6DualStack={asked}"),
                other: format!(
                    "PodCIDR {} and SvcCIDR {} (two blocks each, IPv4 and IPv6, are what makes a cluster dual-stack)",
                    self.network.pod_cidr, self.network.service_cidr
                ),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(env: &[(&str, &str)]) -> Cluster {
        let mut cluster = Cluster::new("c", "i");
        env.iter().for_each(|(name, value)| cluster.env.push(*name, *value));
        cluster
    }

    #[test]
    fn variables_become_settings() {
        let mut cluster = with(&[
            ("PodCIDR", "10.1.0.0/16,fd00:1::/48"),
            ("SvcCIDR", "10.2.0.0/16;fd00:2::/112"),
            ("CertSANs", "a.b;10.0.0.9,c.d"),
            ("IPv6DualStack", "true"),
            ("IPvsVIPv4", "10.9.9.9"),
            ("UseIPasNodeName", "true"),
        ]);
        cluster.settle_env(false).unwrap();
        cluster.settle_env(false).unwrap();
        assert_eq!(cluster.network.pod_cidr.to_string(), "10.1.0.0/16,fd00:1::/48");
        assert_eq!(cluster.cert_sans, ["a.b", "10.0.0.9", "c.d"]);
        assert_eq!(cluster.virtual_address(true), Some([10, 9, 9, 9].into()));
        assert!(cluster.uses_addresses_as_names() && cluster.virtual_address(false).is_none());
    }

    #[test]
    fn what_contradicts_or_means_nothing_is_refused() {
        let mut cluster = with(&[("PodCIDR", "10.1.0.0/16")]);
        cluster.network.pod_cidr = "10.3.0.0/16".parse().unwrap();
        assert!(matches!(cluster.settle_env(false), Err(ErrorKind::Contradiction { .. })));
        cluster.settle_env(true).unwrap();
        for bad in [
            ("IPv6DualStack", "true"),
            ("UseIPasNodeName", "yes"),
            ("IPvsVIPv4", "::1"),
            ("CertSANs", "a b"),
            ("SvcCIDR", "x"),
        ] {
            assert!(with(&[bad]).settle_env(true).is_err(), "{bad:?}");
        }
    }
}
