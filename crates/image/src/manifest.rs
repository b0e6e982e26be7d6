//! The JSON inside image archives, as far as it is read here.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// An item of `manifest.json`, which `docker load` reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Saved {
    pub config: String,
    pub repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub layers: Vec<String>,
}

/// `index.json` of an OCI layout, and the nested indexes below it.
#[derive(Debug, Deserialize)]
pub struct Index {
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// Points to a blob.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub digest: String,
    #[serde(default)]
    pub annotations: HashMap<String, String>,
    pub platform: Option<Platform>,
}

/// Of a descriptor.
#[derive(Debug, Deserialize)]
pub struct Platform {
    pub os: String,
}

/// An OCI image manifest, or an index in its place.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub config: Option<Descriptor>,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// An image's configuration; its digest is the image's id.
#[derive(Debug, Default, Deserialize)]
pub struct Config {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub variant: String,
    #[serde(default, rename = "config")]
    pub run: Option<Run>,
    #[serde(default)]
    pub rootfs: RootFs,
}

/// How a container of the image runs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Run {
    pub cmd: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
    pub env: Option<Vec<String>>,
}

/// The unpacked layers' digests.
#[derive(Debug, Default, Deserialize)]
pub struct RootFs {
    #[serde(default)]
    pub diff_ids: Vec<String>,
}
