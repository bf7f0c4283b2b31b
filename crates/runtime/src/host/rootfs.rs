//! Files of the rootfs that are not as the image has them: filled-in templates, and what Config documents change.
//!
//! They are made here and written on each host once the image is unpacked, so whatever is wrong with one shows before a
//! host is touched. Upstream fills in templates below the same directories, with the same variables.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clusterfile::{Cluster, Clusterfile, Config, Host, Role, Strategy};
use serde_json::{Value, json};

use super::environment::{ClusterNetwork, of_host};
use super::{ContainerEngine, paths};
use crate::{Error, File, ImageContents, Secrets, Variable, yaml};

/// Below these, files that end in `.tmpl` are filled in.
const DIRECTORIES: [&str; 4] = ["etc/", "charts/", "manifests/", "application/"];
const TEMPLATE: &str = ".tmpl";
/// The most templates of an image, and their bytes together.
const MAX_FILES: usize = 2000;
const MAX_BYTES: usize = 32 << 20;
/// The most that is written on all hosts together.
const MAX_WRITTEN: usize = 256 << 20;

/// The files of an image's rootfs that planning reads for the sake of templates and of Config documents.
#[must_use]
pub fn files_to_read(files: &[String], wanted: &Clusterfile) -> Vec<String> {
    let merged = wanted.configs.iter().map(Config::inner_path);
    let templates = files.iter().filter(|file| is_template(file)).cloned();
    templates.chain(merged).take(MAX_FILES + 1).collect()
}

fn is_template(path: &str) -> bool {
    path.ends_with(TEMPLATE) && DIRECTORIES.iter().any(|directory| path.starts_with(directory))
}

/// What a file of the rootfs is filled in and merged from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) wanted: &'a Clusterfile,
    pub(crate) image: &'a ImageContents,
    pub(crate) engine: ContainerEngine,
    pub(crate) network: &'a ClusterNetwork,
}

impl Source<'_> {
    /// The files to write on each host of the cluster.
    pub(crate) fn files<'h>(
        &self,
        hosts: impl Iterator<Item = (&'h Host, &'h ImageContents)>,
    ) -> Result<BTreeMap<std::net::IpAddr, Vec<File>>, Error> {
        let (mut all, mut written) = (BTreeMap::new(), 0);
        let rootfs = paths::rootfs(&self.wanted.cluster.name);
        for (host, image) in hosts {
            let files = Source { image, ..*self }.files_of(host, &rootfs)?;
            written += files.iter().map(|file| file.content.len()).sum::<usize>();
            if written > MAX_WRITTEN {
                return Err(failed("all files", format!("templates fill more than {MAX_WRITTEN} bytes for all hosts")));
            }
            all.insert(host.address, files);
        }
        Ok(all)
    }

    /// The files to write on a host that has the image at `rootfs`.
    pub(super) fn files_of(&self, host: &Host, rootfs: &str) -> Result<Vec<File>, Error> {
        let texts = configured(self.wanted, self.image)?;
        // Variables of the user, and what a Config holds, may be secrets.
        let mut files: BTreeMap<String, File> = BTreeMap::new();
        for path in self.wanted.configs.iter().map(Config::inner_path) {
            let file = texts.get(&path).map(|text| File::secret(format!("{rootfs}/{path}"), text.clone()));
            files.extend(file.map(|file| (path, file)));
        }
        for (path, text) in texts.iter().filter(|(path, _)| is_template(path)) {
            let filled = self.fill_in(path, text, host)?;
            let path = path.strip_suffix(TEMPLATE).unwrap_or(path);
            files.insert(path.to_owned(), File::secret(format!("{rootfs}/{path}"), filled));
        }
        Ok(files.into_values().collect())
    }

    /// A template with the variables of a host.
    fn fill_in(&self, path: &str, text: &[u8], host: &Host) -> Result<String, Error> {
        let text = std::str::from_utf8(text).map_err(|_| failed(path, "it is no text in UTF-8"))?;
        let data = self.variables(path, host);
        go_template::render(path, text, &data).map_err(|error| {
            failed(&format!("{path}:{}", error.line), format!("{}: {}", error.expression, error.reason))
        })
    }

    /// The variables that a template sees: a variable of several values is a list.
    fn variables(&self, path: &str, host: &Host) -> Value {
        let system = of_host(&self.wanted.cluster, host, self.engine, self.network, &self.image.env);
        let application = path.strip_prefix("application/apps/").and_then(|rest| rest.split('/').next());
        let of_application = application.and_then(|name| self.image.application_env.get(name));
        let configured = self.wanted.applications.iter().flat_map(|document| &document.configs);
        let configured = configured.filter(|config| Some(config.name.as_str()) == application);
        let mut all: BTreeMap<String, Value> = BTreeMap::new();
        all.extend(
            self.image.env.iter().chain(of_application.into_iter().flatten()).map(|(k, v)| (k.clone(), json!(v))),
        );
        for env in std::iter::once(&host.env).chain(configured.map(|config| &config.env)) {
            for (key, _) in env.iter() {
                let values = env.values(key);
                all.insert(key.to_owned(), if let [one] = values[..] { json!(one) } else { json!(values) });
            }
        }
        let fixed = system.iter().filter(|(name, _)| super::is_own_variable(name) || !all.contains_key(*name));
        let fixed: Vec<_> = fixed.map(|(name, value)| (name.clone(), json!(Variable::expose(value)))).collect();
        all.extend(fixed);
        all.into_iter().collect::<serde_json::Map<_, _>>().into()
    }
}

/// The image's `etc/kubeadm.yml` or another document that planning reads, as the hosts will have it.
pub(crate) fn document(wanted: &Clusterfile, image: &ImageContents, path: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut texts = configured(wanted, image)?;
    let template = format!("{path}{TEMPLATE}");
    let Some(text) = texts.remove(&template) else { return Ok(texts.remove(path)) };
    let engine = ContainerEngine::of_image(image).unwrap_or(ContainerEngine::Containerd);
    let network = asked_network(&wanted.cluster);
    let anybody = Host::new([0, 0, 0, 0].into(), Role::Master);
    let host = wanted.cluster.masters().next().unwrap_or(&anybody);
    let source = Source { wanted, image, engine, network: &network };
    Ok(Some(source.fill_in(&template, &text, host)?.into_bytes()))
}

/// Makes every file once, so that what is wrong shows before a host is touched.
pub(crate) fn check(wanted: &Clusterfile, image: &ImageContents) -> Result<(), Error> {
    let engine = ContainerEngine::of_image(image).unwrap_or(ContainerEngine::Containerd);
    let network = asked_network(&wanted.cluster);
    let source = Source { wanted, image, engine, network: &network };
    let anybody = Host::new([0, 0, 0, 0].into(), Role::Master);
    let hosts = wanted.cluster.hosts.iter();
    let hosts: Vec<&Host> = if hosts.len() == 0 { vec![&anybody] } else { hosts.collect() };
    source.files(hosts.into_iter().map(|host| (host, image))).map(drop)
}

fn asked_network(cluster: &Cluster) -> ClusterNetwork {
    ClusterNetwork {
        pods: cluster.network.pod_cidr.to_string(),
        services: cluster.network.service_cidr.to_string(),
        certificate_names: cluster.cert_sans.clone(),
    }
}

/// What was read of the image, with all Config documents applied.
fn configured(wanted: &Clusterfile, image: &ImageContents) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut texts = image.documents.clone();
    if texts.len() > MAX_FILES || texts.values().map(Vec::len).sum::<usize>() > MAX_BYTES {
        let reason = format!("the image has more than {MAX_FILES} templates, or more than {MAX_BYTES} bytes of them");
        return Err(failed(&image.name, reason));
    }
    for config in &wanted.configs {
        let path = config.inner_path();
        let below = format!("{path}/");
        if image.files.iter().any(|file| file.starts_with(&below)) {
            return Err(failed(&path, format!("{} names a directory of the image", named(config))));
        }
        let template = format!("{path}{TEMPLATE}");
        if texts.contains_key(&template) && config.strategy == Strategy::Merge {
            let reason = format!("{template} makes it; {} must name that to merge into it", named(config));
            return Err(failed(&path, reason));
        }
        texts.remove(&template);
        let text = apply(config, &path, texts.get(&path).map(Vec::as_slice))?;
        texts.insert(path, text);
    }
    Ok(texts)
}

fn failed(path: &str, reason: impl Into<String>) -> Error {
    Error::RootfsFile { path: path.to_owned(), reason: reason.into() }
}

fn named(config: &Config) -> String {
    if config.name.is_empty() { "a Config without a name".to_owned() } else { format!("Config {}", config.name) }
}

/// The file that a Config makes of one that is there.
fn apply(config: &Config, path: &str, there: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    let said = |error: Error| failed(path, format!("{}: {error}", named(config)));
    let steps: Vec<&str> = config.process.iter().flat_map(|process| process.split('|')).map(str::trim).collect();
    let data = processed(config, path, &steps).map_err(said)?;
    if steps.contains(&"toSecret") {
        let mut secret = match there {
            Some(text) => yaml::documents(path, text).map_err(said)?.into_iter().next().unwrap_or_default(),
            None => Value::Null,
        };
        let name = path.rsplit('/').next().and_then(|file| file.split('.').next()).unwrap_or_default();
        let entries = yaml::documents(path, data.as_bytes()).map_err(said)?.into_iter().next().unwrap_or_default();
        let entries = match entries {
            Value::Object(entries) if steps.contains(&"toBase64") => json!({"data": entries}),
            Value::Object(entries) => json!({"stringData": texts(&entries)}),
            _ => return Err(failed(path, format!("{}: toSecret needs a mapping of keys and values", named(config)))),
        };
        let mut whole = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque"});
        merge(&mut whole, secret.take());
        merge(&mut whole, entries);
        return Ok(yaml::to_text(&whole).into_bytes());
    }
    if config.strategy == Strategy::Overwrite {
        return Ok(data.into_bytes());
    }
    let Some(there) = there else {
        return Err(failed(path, format!("the image has no such file, which {} merges into", named(config))));
    };
    Ok(merge_documents(path, there, &named(config), &data).map_err(said)?.into_bytes())
}

/// Lays YAML documents over those of a file, one by one, as `strategy: merge` means it; `named` names those in errors.
///
/// # Errors
///
/// [`Error::Document`] for what is no YAML, and for more than 1 MiB of it.
pub fn merge_documents(path: &str, there: &[u8], named: &str, over: &str) -> Result<String, Error> {
    let mut documents = yaml::documents(path, there)?;
    for (index, over) in yaml::documents(named, format!("{over}\n").as_bytes())?.into_iter().enumerate() {
        match documents.get_mut(index) {
            Some(document) => merge(document, over),
            None => documents.push(over),
        }
    }
    Ok(documents.iter().map(yaml::to_text).collect::<Vec<_>>().join("---\n"))
}

/// The data after the steps of `process`; after `value`, steps work on each value of a mapping, else on the whole text.
fn processed(config: &Config, path: &str, steps: &[&str]) -> Result<String, Error> {
    let mut data = config.data.clone();
    let of_values = steps.contains(&"value");
    for step in steps {
        let change = |value: &Value| match *step {
            "toJson" => json!(value.to_string()),
            _ => json!(BASE64_STANDARD.encode(plain(value))),
        };
        match *step {
            "toJson" | "toBase64" if of_values => {
                let Some(Value::Object(mut entries)) = yaml::documents(path, data.as_bytes())?.into_iter().next()
                else {
                    return Err(failed(path, format!("{step} after value needs a mapping of keys and values")));
                };
                entries.values_mut().for_each(|value| *value = change(value));
                data = yaml::to_text(&Value::Object(entries));
            }
            "toJson" => {
                data = yaml::documents(path, data.as_bytes())?.into_iter().next().unwrap_or_default().to_string()
            }
            "toBase64" => data = BASE64_STANDARD.encode(&data),
            _ => {}
        }
    }
    Ok(data)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(entries: &serde_json::Map<String, Value>) -> Value {
    entries.iter().map(|(key, value)| (key.clone(), json!(plain(value)))).collect::<serde_json::Map<_, _>>().into()
}

/// Lays `over` over `base`: mappings are united, everything else is replaced; keys that are new are added.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// Tells apart what is written on a host, without telling anything of it to who cannot read it.
pub(crate) fn digest(files: &[File], secrets: &Secrets) -> String {
    let texts = files.iter().flat_map(|file| [file.path.as_bytes(), b"\0", &file.content, b"\0"]);
    hex::encode(&secrets.keyed_digest(&["rootfs", &super::digest(texts)])[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "apiVersion: sealer.io/v2\nkind: Cluster\nmetadata: {name: c}\nspec:\n  image: i\n  env: [Who=me, L=a;b]\n  hosts:\n  - {ips: [10.0.0.1], roles: [master]}\n  - {ips: [10.0.0.2], roles: [node], env: [Who=you]}\n";

    fn image(documents: &[(&str, &str)]) -> ImageContents {
        let mut image = ImageContents::named("i:1");
        image.labels.insert("cluster.alpha.sealer.io/container-runtime-type".into(), "containerd".into());
        image.documents = documents.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        image.files = image.documents.keys().cloned().collect();
        image.env.insert("Own".into(), "image".into());
        image
    }

    fn made(more: &str, image: &ImageContents) -> Result<Vec<String>, String> {
        let wanted = clusterfile::parse(&format!("{CLUSTER}{more}")).unwrap();
        let network = asked_network(&wanted.cluster);
        let source = Source { wanted: &wanted, image, engine: ContainerEngine::Containerd, network: &network };
        let files =
            source.files(wanted.cluster.hosts.iter().map(|host| (host, image))).map_err(|error| error.to_string())?;
        let shown = |file: &File| {
            let path = file.path.strip_prefix("/var/lib/sealer/data/c/rootfs/").unwrap();
            format!("{path} {}", String::from_utf8_lossy(&file.content).trim_end())
        };
        Ok(files.values().flatten().map(shown).collect())
    }

    #[test]
    fn templates_have_the_variables_of_each_host() {
        let image =
            image(&[("etc/a.yml.tmpl", "{{ .Who }} {{ .HostIP }} {{ .Own }} {{ join \",\" .L }} {{ .SvcCIDR }}")]);
        let host = |who, ip| format!("etc/a.yml {who} {ip} image a,b 10.96.0.0/22");
        assert_eq!(made("", &image), Ok(vec![host("me", "10.0.0.1"), host("you", "10.0.0.2")]));
    }

    #[test]
    fn a_template_that_fails_is_named_with_line_and_expression() {
        let broken = image(&[("manifests/a.yaml.tmpl", "ok\n{{ .Nobody }}\n")]);
        let error = made("", &broken).unwrap_err();
        assert!(error.contains("manifests/a.yaml.tmpl:2") && error.contains("{{ .Nobody }}"), "{error}");
        let wanted = clusterfile::parse(CLUSTER).unwrap();
        assert!(check(&wanted, &broken).is_err() && check(&wanted, &image(&[("scripts/a.tmpl", "{{ .X }}")])).is_ok());
    }

    fn config(fields: &str, image: &ImageContents) -> Result<String, String> {
        let text = format!("---\nkind: Config\napiVersion: sealer.io/v1\nmetadata: {{name: my}}\nspec: {fields}\n");
        made(&text, image).map(|files| files[0].clone())
    }

    #[test]
    fn configs_overwrite_merge_and_process() {
        let image = image(&[
            ("etc/v.yaml", "a: yes\nb: {c: 1, d: 'yes'}\n---\nx: 1\n"),
            ("etc/d/f", ""),
            ("etc/z.tmpl", "{{ .Who }}"),
        ]);
        for (fields, expected) in [
            ("{path: etc/new, data: hello}", "etc/new hello"),
            ("{path: etc/z, data: hello}", "etc/z hello"),
            ("{path: ./etc/v.yaml, data: over}", "etc/v.yaml over"),
            (
                "{path: etc/v.yaml, strategy: merge, data: 'b: {c: 2, e: 3}'}",
                "etc/v.yaml a: true\nb:\n  c: 2\n  d: \"yes\"\n  e: 3\n---\nx: 1",
            ),
            ("{path: etc/j, process: toJson, data: 'a: [1, b]'}", "etc/j {\"a\":[1,\"b\"]}"),
            ("{path: etc/j, process: value|toJson, data: 'a: {b: 1}'}", "etc/j a: \"{\\\"b\\\":1}\""),
            (
                "{path: etc/s.yaml, process: value|toBase64|toSecret, data: 'p: x'}",
                "etc/s.yaml apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ntype: Opaque\ndata:\n  p: eA==",
            ),
        ] {
            assert_eq!(config(fields, &image).as_deref(), Ok(expected), "{fields}");
        }
        for (fields, expected) in [
            (
                "{path: etc/no, strategy: merge, data: 'a: 1'}",
                "the image has no such file, which Config my merges into",
            ),
            ("{path: etc/z, strategy: merge, data: 'a: 1'}", "etc/z.tmpl makes it; Config my must name that"),
            ("{path: etc/d, data: x}", "Config my names a directory of the image"),
            ("{path: etc/v.yaml, strategy: merge, data: 'a: ['}", "Config my: "),
        ] {
            let error = config(fields, &image).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn kubeadm_s_own_file_may_be_a_template() {
        let image = image(&[("etc/kubeadm.yml.tmpl", "subnet: {{ .PodCIDR }}"), ("etc/kubeadm.yml", "old: 1")]);
        let wanted = clusterfile::parse(CLUSTER).unwrap();
        assert_eq!(document(&wanted, &image, "etc/kubeadm.yml").unwrap().unwrap(), b"subnet: 100.64.0.0/10");
    }
}
