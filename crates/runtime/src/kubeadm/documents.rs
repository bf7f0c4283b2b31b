//! What kubeadm has to be told that neither image nor Clusterfile can know.

use clusterfile::Host;
use serde_json::{Value, json};

use super::config::{self, Documents, Overrides};
use super::planner::Planner;
use super::{files, pki};
use crate::Error;
use crate::host::{API_PORT, API_SERVER};

impl Planner<'_> {
    pub(super) fn documents_for(&self, host: &Host) -> Result<Documents, Error> {
        Documents::merged(&self.overrides(host)?, &self.setup.request)
    }

    /// What only we know about a host and the cluster.
    fn overrides(&self, host: &Host) -> Result<Overrides, Error> {
        let cluster = self.setup.cluster();
        // kubeadm adds each master's own address: so one that comes or goes changes no other certificate.
        let virtual_address = self.setup.control_plane.service().ip();
        let mut sans = vec!["127.0.0.1".to_owned(), API_SERVER.to_owned(), virtual_address.to_string()];
        sans.extend(cluster.cert_sans.iter().cloned());
        let images = &self.setup.request.payload.image.carried_images;
        let defaults = config::from_carried_images(images, &self.version);
        let node_ip = json!({"kubeletExtraArgs": {"node-ip": host.address.to_string()}});
        let mut init = json!({"nodeRegistration": node_ip});
        if cluster.nodes().next().is_none() {
            // Nobody else could run the pods.
            init["nodeRegistration"]["taints"] = json!([]);
        }
        let join = if host.is_master() { init.clone() } else { json!({"nodeRegistration": node_ip}) };
        Ok(Overrides {
            defaults: Documents {
                init,
                cluster: defaults,
                join,
                proxy: json!({"ipvs": {"excludeCIDRs": [self.virtual_block()]}}),
                ..Documents::default()
            },
            wanted: Documents { cluster: json!({"apiServer": {"certSANs": sans}}), ..Documents::default() },
            fixed: self.fixed(host)?,
        })
    }

    /// What kube-proxy must leave alone, when it balances by IPVS itself.
    fn virtual_block(&self) -> String {
        let address = self.setup.control_plane.service().ip();
        format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
    }

    fn fixed(&self, host: &Host) -> Result<Documents, Error> {
        let endpoint = format!("{API_SERVER}:{API_PORT}");
        let socket = if self.version.at_least(1, 24) {
            format!("unix://{}", self.setup.engine.socket())
        } else {
            self.setup.engine.socket().to_owned()
        };
        let registration: Value = json!({"name": self.setup.node_name(host.address)?, "criSocket": socket});
        let token = pki::bootstrap_token(self.setup.request.payload.secrets)?.expose();
        let endpoint_here = json!({"advertiseAddress": host.address.to_string(), "bindPort": API_PORT});
        let mut join = json!({
            // By a file and not by the token: the whole authority is known, and a host need not wait until the
            // controller manager has signed the cluster's description with the token.
            "discovery": {
                "file": {"kubeConfigPath": files::discovery(&self.setup.cluster().name)},
                "tlsBootstrapToken": token,
            },
            "nodeRegistration": registration,
        });
        if host.is_master() {
            join["controlPlane"] = json!({"localAPIEndpoint": endpoint_here});
        }
        Ok(Documents {
            init: json!({
                "bootstrapTokens": [{
                    "token": token,
                    "ttl": "24h0m0s",
                    "usages": ["signing", "authentication"],
                    "groups": ["system:bootstrappers:kubeadm:default-node-token"],
                }],
                "localAPIEndpoint": endpoint_here,
                "nodeRegistration": registration,
            }),
            cluster: json!({
                "kubernetesVersion": self.version.to_string(),
                "controlPlaneEndpoint": endpoint,
                "networking": {
                    "podSubnet": self.networks.pods.blocks.to_string(),
                    "serviceSubnet": self.networks.services.blocks.to_string(),
                },
            }),
            join,
            ..Documents::default()
        })
    }
}
