//! The JSON inside image archives, as far as it is read here. Go writes null for what is empty, anywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// `manifest.json`, which `docker load` reads.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct SavedList(#[serde(deserialize_with = "list")] pub Vec<Saved>);

/// An item of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Saved {
    #[serde(default, alias = "config", deserialize_with = "null_is_empty")]
    pub config: String,
    #[serde(default, alias = "repoTags", alias = "repotags", deserialize_with = "list")]
    pub repo_tags: Vec<String>,
    #[serde(default, alias = "layers", deserialize_with = "list")]
    pub layers: Vec<String>,
}

/// `index.json` of an OCI layout.
#[derive(Debug, Default, Deserialize)]
pub struct Index {
    #[serde(default, deserialize_with = "list")]
    pub manifests: Vec<Descriptor>,
}

/// Points to a blob.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub media_type: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub digest: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub artifact_type: String,
    #[serde(default, deserialize_with = "map")]
    pub annotations: BTreeMap<String, String>,
    pub platform: Option<Platform>,
}

/// Of a descriptor.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Platform {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub os: String,
}

/// An OCI image manifest, or an index in its place.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub artifact_type: String,
    pub config: Option<Descriptor>,
    #[serde(default, deserialize_with = "list")]
    pub layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "list")]
    pub manifests: Vec<Descriptor>,
}

impl Descriptor {
    /// Whether it says of itself that it is no image: a signature, an attestation, a list of contents.
    pub fn is_other(&self) -> bool {
        let unknown = self.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        let holds = self.media_type.is_empty() || MANIFESTS.contains(&self.media_type.as_str());
        !is(&self.artifact_type, CONFIGURATIONS) || unknown || !holds || self.annotations.contains_key(REFERENCE_TYPE)
    }
}

impl Manifest {
    /// Whether it is that of an image: by the types that it names, for those of signatures have the same shape.
    pub fn is_image(&self) -> bool {
        is(&self.artifact_type, CONFIGURATIONS)
            && self.config.as_ref().is_some_and(|config| {
                let guessed = GUESSED.contains(&config.media_type.as_str()) && !self.layers.is_empty();
                guessed || is(&config.media_type, CONFIGURATIONS)
            })
            && self.layers.iter().all(|layer| is(&layer.media_type, LAYERS))
    }
}

/// Whether a type is one of those that are known, or none is given.
fn is(kind: &str, known: &[&str]) -> bool {
    kind.is_empty() || known.iter().any(|known| kind.contains(known))
}

/// What `docker buildx` marks an attestation with.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const CONFIGURATIONS: &[&str] = &["vnd.oci.image.config.", "vnd.docker.container.image."];
/// What registries said of configurations that they knew no type of (distribution#1621); engines take it for an image's.
const GUESSED: [&str; 3] = ["application/octet-stream", "application/json", "text/html"];
const LAYERS: &[&str] = &["vnd.oci.image.layer.", "vnd.docker.image.rootfs."];

/// An image's configuration; its digest is the image's id.
#[derive(Debug, Default, Deserialize)]
pub struct Config {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub architecture: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub os: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub variant: String,
    #[serde(default, rename = "config", deserialize_with = "null_is_empty")]
    pub run: Run,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub rootfs: RootFs,
}

/// How a container of the image runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Run {
    #[serde(default, deserialize_with = "words")]
    pub cmd: Vec<String>,
    #[serde(default, deserialize_with = "words")]
    pub entrypoint: Vec<String>,
    #[serde(default, deserialize_with = "map")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "list")]
    pub env: Vec<String>,
}

/// The unpacked layers' digests.
#[derive(Debug, Default, Deserialize)]
pub struct RootFs {
    #[serde(default, deserialize_with = "list")]
    pub diff_ids: Vec<String>,
}

fn null_is_empty<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A list, and what is in it, may be null.
fn list<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let items: Vec<Option<T>> = null_is_empty(from)?;
    Ok(items.into_iter().map(Option::unwrap_or_default).collect())
}

/// A list of words, or one word by itself, as Docker reads them.
fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Several(Vec<Option<String>>),
    }
    Ok(match Option::deserialize(from)? {
        None => Vec::new(),
        Some(Words::One(word)) => vec![word],
        Some(Words::Several(words)) => words.into_iter().map(Option::unwrap_or_default).collect(),
    })
}

/// A map, and what is in it, may be null.
fn map<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let items: BTreeMap<String, Option<String>> = null_is_empty(from)?;
    Ok(items.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect())
}
