//! One image of an archive, as its files describe it.

use std::collections::BTreeMap;

use super::reference::Reference;

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:…` of the layer's file.
    pub digest: String,
    /// In bytes, as it lies in the archive.
    pub size: u64,
    /// Where it lies in the archive.
    pub(super) file: String,
}

/// What an index says of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifested {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

/// One image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// All it carries; may be none.
    pub names: Vec<Reference>,
    /// What stands among its names and is no `name:tag`: `app@sha256:…`, `<none>:<none>`, a tag without a name.
    pub not_names: Vec<String>,
    /// `sha256:…` of its configuration.
    pub id: String,
    /// Where that lies in the archive.
    pub(super) config: String,
    /// `sha256:…` of its manifest and of the indexes that it lies in, where the archive has them.
    pub manifests: Vec<String>,
    /// How `index.json` names it, or would if it stood there by itself.
    pub(super) manifested: Option<Manifested>,
    /// Such as `linux/amd64`; empty where its configuration names none.
    pub platform: String,
    /// From the bottom up.
    pub layers: Vec<Layer>,
    /// What a container of it runs: entry point and command.
    pub command: Vec<String>,
    /// Of its configuration.
    pub labels: BTreeMap<String, String>,
    /// What its containers see as their environment.
    pub environment: BTreeMap<String, String>,
}

impl Image {
    /// All digests that runtimes list it by: of its configuration first, of its manifest, of the indexes around that.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.manifests.iter().map(String::as_str))
    }
}
