//! The configuration for kubeadm: what the image, the Clusterfile and we say, united in one set of documents.

use clusterfile::{Clusterfile, KubeadmDocument, KubeadmKind};
use serde_json::{Map, Value, json};

use super::render;
use super::version::{ConfigApi, Version};
use crate::host::{ClusterNetwork, rootfs};
use crate::{Error, ImageContents, Request, yaml};

/// The documents for kubeadm, independent of the format in which one of its versions reads them:
/// arguments are maps (`extraArgs: {a: b}`), time-outs are where v1beta4 has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Documents {
    pub(crate) init: Value,
    pub(crate) cluster: Value,
    pub(crate) join: Value,
    pub(crate) kubelet: Value,
    pub(crate) proxy: Value,
}

/// What we know and nobody else can say.
#[derive(Debug)]
pub(crate) struct Overrides {
    /// What is taken when neither image nor Clusterfile says anything.
    pub(crate) defaults: Documents,
    /// What wins over the image.
    pub(crate) wanted: Documents,
    /// What wins over everything, because the cluster would not work otherwise.
    pub(crate) fixed: Documents,
}

impl Documents {
    /// Unites, each winning over the one before: defaults, image, what the Clusterfile's own fields say, the
    /// Clusterfile's documents, what is fixed. Lists are replaced, only `certSANs` are united.
    pub(crate) fn merged(given: &Overrides, request: &Request<'_>) -> Result<Self, Error> {
        let mut all = given.defaults.clone();
        all.merge(of_image(request.wanted, request.payload.image)?);
        all.merge(given.wanted.clone());
        all.merge(of_clusterfile(&request.wanted.kubeadm)?);
        // How masters join is for each of them alone.
        if let Some(join) = all.join.as_object_mut() {
            join.shift_remove("controlPlane");
        }
        all.merge(given.fixed.clone());
        Ok(all)
    }

    /// The file for `kubeadm init`.
    pub(crate) fn init_file(&self, api: ConfigApi) -> String {
        let parts = [
            (KubeadmKind::InitConfiguration, &self.init),
            (KubeadmKind::ClusterConfiguration, &self.cluster),
            (KubeadmKind::KubeletConfiguration, &self.kubelet),
            (KubeadmKind::KubeProxyConfiguration, &self.proxy),
        ];
        let texts = parts.map(|(kind, value)| yaml::to_text(&render::document(kind, value, self, api)));
        texts.join("---\n")
    }

    /// The file for `kubeadm join`.
    pub(crate) fn join_file(&self, api: ConfigApi) -> String {
        yaml::to_text(&render::document(KubeadmKind::JoinConfiguration, &self.join, self, api))
    }

    /// What the scripts of images are told of networks and names.
    pub(crate) fn network(&self) -> ClusterNetwork {
        let networking = |key: &str| self.cluster.get("networking")?.get(key)?.as_str();
        let sans = self.cluster.pointer("/apiServer/certSANs").and_then(Value::as_array);
        ClusterNetwork {
            pods: networking("podSubnet").unwrap_or_default().to_owned(),
            services: networking("serviceSubnet").unwrap_or_default().to_owned(),
            certificate_names: sans.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    fn merge(&mut self, over: Self) {
        merge(&mut self.init, over.init);
        merge(&mut self.cluster, over.cluster);
        merge(&mut self.join, over.join);
        merge(&mut self.kubelet, over.kubelet);
        merge(&mut self.proxy, over.proxy);
    }

    fn part(&mut self, kind: KubeadmKind) -> &mut Value {
        match kind {
            KubeadmKind::InitConfiguration => &mut self.init,
            KubeadmKind::ClusterConfiguration => &mut self.cluster,
            KubeadmKind::JoinConfiguration => &mut self.join,
            KubeadmKind::KubeletConfiguration => &mut self.kubelet,
            KubeadmKind::KubeProxyConfiguration => &mut self.proxy,
        }
    }
}

/// What the image and the Clusterfile's documents say together, without anything of ours.
pub(super) fn asked(wanted: &Clusterfile, image: &ImageContents) -> Result<Documents, Error> {
    let mut documents = of_image(wanted, image)?;
    documents.merge(of_clusterfile(&wanted.kubeadm)?);
    Ok(documents)
}

/// The version of Kubernetes that an image carries: its label, else its `Metadata`, else its `etc/kubeadm.yml`.
///
/// # Errors
///
/// [`Error::Payload`] when none of them says it, [`Error::Version`] when it is no version.
pub(crate) fn version(image: &ImageContents, asked: &Documents) -> Result<Version, Error> {
    let label = image.labels.get("cluster.alpha.sealer.io/cluster-runtime-version").cloned();
    let metadata = || {
        let metadata: Value = serde_json::from_slice(image.documents.get("Metadata")?).ok()?;
        let version = ["kubeVersion", "version"].iter().find_map(|key| metadata.get(*key)?.as_str());
        version.filter(|version| !version.is_empty()).map(str::to_owned)
    };
    let document = || asked.cluster.get("kubernetesVersion")?.as_str().map(str::to_owned);
    let text = label.or_else(metadata).or_else(document).ok_or_else(|| Error::Payload {
        image: image.name.clone(),
        missing: "version of Kubernetes (label cluster.alpha.sealer.io/cluster-runtime-version, or kubeVersion in \
                  Metadata)"
            .to_owned(),
    })?;
    text.parse()
}

pub(super) fn of_image(wanted: &Clusterfile, image: &ImageContents) -> Result<Documents, Error> {
    const FILE: &str = "etc/kubeadm.yml";
    let mut documents = Documents::default();
    let Some(text) = rootfs::document(wanted, image, FILE)? else { return Ok(documents) };
    let name = format!("{FILE} of {}", image.name);
    for value in yaml::documents(&name, &text)? {
        let wrong = |reason: String| Error::Document { document: name.clone(), reason };
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
        let Some(kind) = KubeadmKind::ALL.into_iter().find(|known| known.as_str() == kind) else {
            return Err(wrong(format!("a document has the kind `{kind}`")));
        };
        merge(documents.part(kind), render::neutral(value).map_err(wrong)?);
    }
    Ok(documents)
}

pub(super) fn of_clusterfile(list: &[KubeadmDocument]) -> Result<Documents, Error> {
    let mut documents = Documents::default();
    for document in list {
        let wrong =
            |reason| Error::Document { document: format!("{} of the Clusterfile", document.kind.as_str()), reason };
        merge(documents.part(document.kind), render::neutral(document.value.clone()).map_err(wrong)?);
    }
    Ok(documents)
}

/// Lays `over` over `base`: maps are united, `certSANs` too, everything else is replaced; null changes nothing.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(Value::Array(names)) if key == "certSANs" => unite(names, value),
                    Some(there) => merge(there, value),
                    None => {
                        let mut fresh = Value::Null;
                        merge(&mut fresh, value);
                        base.insert(key, fresh);
                    }
                }
            }
        }
        (base @ Value::Null, Value::Object(over)) => {
            *base = Value::Object(Map::new());
            merge(base, Value::Object(over));
        }
        (base, over) => *base = over,
    }
}

fn unite(names: &mut Vec<Value>, more: Value) {
    let Value::Array(more) = more else {
        return;
    };
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// Where an image comes from and its tag: `("k8s.gcr.io", "etcd", "3.4.13-0")`.
pub(crate) fn image_parts(name: &str) -> Option<(&str, &str, &str)> {
    let name = name.split('@').next()?;
    let (repository, rest) = name.rsplit_once('/')?;
    let (image, tag) = rest.rsplit_once(':')?;
    Some((repository, image, tag))
}

/// What the names of the carried images tell about where kubeadm must look for its own.
pub(crate) fn from_carried_images(images: &[String], version: &Version) -> Value {
    let named = |wanted: &str| {
        let parts = images.iter().filter_map(|name| image_parts(name));
        parts.filter(|(_, image, _)| *image == wanted).collect::<Vec<_>>()
    };
    let mut cluster = Map::new();
    let version = version.to_string();
    let api_server = named("kube-apiserver").into_iter().find(|(_, _, tag)| *tag == version);
    let Some((repository, _, _)) = api_server else {
        return Value::Object(cluster);
    };
    cluster.insert("imageRepository".into(), json!(repository));
    let beside =
        |image: &str| named(image).into_iter().filter(|(from, _, _)| from.starts_with(repository)).collect::<Vec<_>>();
    if let [(_, _, tag)] = beside("etcd")[..] {
        cluster.insert("etcd".into(), json!({"local": {"imageTag": tag}}));
    }
    if let [(from, _, tag)] = beside("coredns")[..] {
        cluster.insert("dns".into(), json!({"imageRepository": from, "imageTag": tag}));
    }
    Value::Object(cluster)
}
