//! The images and artifacts that are pushed.

use content_store::{Algorithm, Digest};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const ARTIFACT: &str = "application/vnd.example.conf.v1";
const ARTIFACT_2: &str = "application/vnd.example.conf.v2";

/// Content that is pushed together: blobs, then manifests in this order, then tags.
#[derive(Clone)]
pub struct Set {
    pub name: &'static str,
    pub blobs: Vec<(Digest, Vec<u8>)>,
    pub manifests: Vec<(Digest, Vec<u8>)>,
    pub tags: Vec<(String, Digest)>,
    /// By subject: digest, artifact type and annotations of who refers to it.
    pub referrers: Vec<(Digest, Digest, String, Value)>,
    /// Whether tags are set by parameters of a push by digest.
    pub tag_parameters: bool,
    algorithm: Algorithm,
}

/// What a manifest is made of.
#[derive(Clone)]
struct Image {
    config: (&'static str, Option<&'static [u8]>),
    layers: usize,
    layer_type: &'static str,
    fields: Value,
}

impl Default for Image {
    fn default() -> Self {
        Self { config: (CONFIG, None), layers: 2, layer_type: LAYER, fields: json!({}) }
    }
}

/// Bytes that no other call gives.
pub fn unique(length: usize) -> Vec<u8> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut state = u64::from(NEXT.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

impl Set {
    fn new(name: &'static str) -> Self {
        let algorithm = Algorithm::Sha256;
        Self {
            name,
            blobs: vec![],
            manifests: vec![],
            tags: vec![],
            referrers: vec![],
            tag_parameters: false,
            algorithm,
        }
    }

    fn blob(&mut self, bytes: Vec<u8>, media_type: &str) -> Value {
        let digest = self.algorithm.digest(&bytes);
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
        self.blobs.push((digest, bytes));
        descriptor
    }

    fn manifest(&mut self, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = self.algorithm.digest(&bytes);
        let descriptor = json!({ "mediaType": document["mediaType"], "digest": digest, "size": bytes.len() });
        self.manifests.push((digest, bytes));
        descriptor
    }

    fn image(&mut self, image: &Image) -> Value {
        let layers: Vec<Value> = (0..image.layers).map(|_| self.blob(unique(300), image.layer_type)).collect();
        let config = image.config.1.map_or_else(
            || {
                let rootfs = json!({ "type": "layers", "diff_ids": layers.iter().map(|layer| &layer["digest"]).collect::<Vec<_>>() });
                json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs }).to_string().into_bytes()
            },
            <[u8]>::to_vec,
        );
        let config = self.blob(config, image.config.0);
        let mut document = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        document.as_object_mut().unwrap().extend(image.fields.as_object().unwrap().clone());
        let descriptor = self.manifest(&document);
        self.refers(&descriptor, &document, image.config.0);
        descriptor
    }

    fn index(&mut self, children: &[Value], fields: Value) -> Value {
        let mut document = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
        document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let descriptor = self.manifest(&document);
        self.refers(&descriptor, &document, "");
        descriptor
    }

    /// Two platforms in an index.
    fn platforms(&mut self, image: &Image, fields: Value) -> Value {
        let children: Vec<Value> = ["amd64", "arm64"]
            .into_iter()
            .map(|architecture| {
                let mut child = self.image(image);
                child["platform"] = json!({ "os": "linux", "architecture": architecture });
                child
            })
            .collect();
        self.index(&children, fields)
    }

    fn refers(&mut self, descriptor: &Value, document: &Value, otherwise: &str) {
        if let Some(subject) = document["subject"]["digest"].as_str() {
            let kind = document["artifactType"].as_str().unwrap_or(otherwise).to_owned();
            let digest = digest(descriptor);
            self.referrers.push((subject.parse().unwrap(), digest, kind, document["annotations"].clone()));
        }
    }

    fn tag(mut self, tag: &str) -> Self {
        let digest = self.manifests.last().unwrap().0;
        self.tags.push((tag.to_owned(), digest));
        self
    }
}

fn digest(descriptor: &Value) -> Digest {
    descriptor["digest"].as_str().unwrap().parse().unwrap()
}

fn artifact(fields: &Value) -> Image {
    let mut all = json!({ "artifactType": ARTIFACT });
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Image { config: (EMPTY, Some(b"{}")), layers: 1, layer_type: ARTIFACT, fields: all }
}

fn annotations() -> Value {
    json!({ "org.example.conformance": "hello", "org.example.unique": format!("{:?}", unique(4)) })
}

/// Every set of the programme.
pub fn sets() -> Vec<Set> {
    let mut sets = images();
    sets.extend(indexes());
    sets.extend(artifacts());
    sets.extend(odd());
    sets
}

fn images() -> Vec<Set> {
    let mut plain = Set::new("image");
    plain.image(&Image::default());
    let mut gzip = Set::new("image compressed");
    gzip.image(&Image { layer_type: "application/vnd.oci.image.layer.v1.tar+gzip", ..Image::default() });
    let mut large = Set::new("large manifest");
    let annotations: serde_json::Map<String, Value> =
        (0..390).map(|number| (format!("large-{number}"), "A".repeat(10_000).into())).collect();
    large.image(&Image { fields: json!({ "annotations": annotations }), ..Image::default() });
    let mut empty = Set::new("no layers");
    empty.image(&Image { layers: 0, ..Image::default() });
    let mut docker = Set::new("docker schema 2");
    let (config, layer) = (
        docker.blob(unique(200), "application/vnd.docker.container.image.v1+json"),
        docker.blob(unique(200), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    );
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let child = docker.manifest(&json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer] }));
    let kind = "application/vnd.docker.distribution.manifest.list.v2+json";
    docker.manifest(&json!({ "schemaVersion": 2, "mediaType": kind, "manifests": [child] }));
    vec![plain.tag("image"), gzip.tag("gzip"), large.tag("large"), empty.tag("no-layers"), docker.tag("docker")]
}

fn indexes() -> Vec<Set> {
    let mut index = Set::new("index");
    index.platforms(&Image::default(), json!({}));
    let mut nested = Set::new("nested index");
    let children = [0, 1].map(|_| nested.platforms(&Image::default(), json!({})));
    nested.index(&children, json!({}));
    let mut empty = Set::new("empty index");
    empty.index(&[], json!({}));
    let mut sparse = Set::new("sparse index");
    let here = sparse.image(&Image::default());
    let elsewhere = json!({ "mediaType": MANIFEST, "digest": Digest::of(&unique(9)), "size": 1024 });
    sparse.index(&[here, elsewhere], json!({}));
    let mut fields = Set::new("custom fields");
    fields.platforms(
        &Image { fields: json!({ "x-unknown": { "a": [1] } }), ..Image::default() },
        json!({ "x-other": "b" }),
    );
    vec![index.tag("index"), nested.tag("nested"), empty.tag("empty"), sparse.tag("sparse"), fields.tag("custom")]
}

fn artifacts() -> Vec<Set> {
    let mut one = Set::new("artifact");
    one.image(&artifact(&json!({})));
    let mut many = Set::new("artifact index");
    many.platforms(&artifact(&json!({})), json!({ "artifactType": ARTIFACT }));
    let mut bare = Set::new("artifact without layers");
    let config = bare.blob(b"{}".to_vec(), EMPTY);
    bare.manifest(&json!({ "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": ARTIFACT, "config": config, "layers": [config] }));
    let mut subject = Set::new("artifacts with a subject");
    let about = subject.image(&Image::default());
    subject.image(&Image { fields: json!({ "subject": about }), ..Image::default() });
    for kind in [ARTIFACT, ARTIFACT_2] {
        subject.image(&artifact(&json!({ "artifactType": kind, "annotations": annotations(), "subject": about })));
    }
    let subject = subject.tag("tagged-artifact");
    let mut index = Set::new("index with a subject");
    let about = index.platforms(&Image::default(), json!({}));
    index.platforms(
        &artifact(&json!({})),
        json!({ "artifactType": ARTIFACT, "annotations": annotations(), "subject": about }),
    );
    let mut missing = Set::new("missing subject");
    let about = json!({ "mediaType": MANIFEST, "digest": Digest::of(&unique(9)), "size": 123 });
    missing.image(&artifact(&json!({ "annotations": annotations(), "subject": about })));
    vec![one.tag("artifact"), many.tag("artifacts"), bare.tag("bare"), subject, index.tag("about"), missing.tag("lost")]
}

fn odd() -> Vec<Set> {
    let mut data = Set::new("data field");
    let mut config = data.blob(b"{\"data\":1}".to_vec(), EMPTY);
    config["data"] = "eyJkYXRhIjoxfQ==".into();
    data.manifest(&json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [] }));
    let mut foreign = Set::new("non-distributable layers");
    let (config, layer) = (foreign.blob(unique(99), CONFIG), foreign.blob(unique(99), LAYER));
    let elsewhere = |kind: &str| {
        let digest = Digest::of(&unique(9));
        json!({ "mediaType": kind, "digest": digest, "size": 12345, "urls": [format!("https://store.example/{digest}")] })
    };
    let layers = [
        elsewhere("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        elsewhere("application/vnd.oci.image.layer.nondistributable.v1.tar"),
        layer,
    ];
    foreign.manifest(&json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers }));
    let mut long = Set { algorithm: Algorithm::Sha512, ..Set::new("sha512") };
    long.platforms(&Image::default(), json!({}));
    let parameters = |name, algorithm| {
        let mut set = Set { algorithm, tag_parameters: true, ..Set::new(name) };
        set.platforms(&Image::default(), json!({}));
        let tags = set.manifests.iter().enumerate();
        set.tags =
            tags.map(|(number, (digest, _))| (format!("{}-{number}", name.replace(' ', "-")), *digest)).collect();
        set.tag(if algorithm == Algorithm::Sha256 { "parameter" } else { "parameter-512" })
    };
    let tags = [parameters("tag parameters", Algorithm::Sha256), parameters("tag parameters 512", Algorithm::Sha512)];
    let mut bad = Set::new("bad digest");
    bad.image(&Image::default());
    bad.manifests[0].1.extend(b"  ");
    let [tags, tags_512] = tags;
    vec![data.tag("data"), foreign.tag("foreign"), long, tags, tags_512, bad]
}
