//! What an image archive holds, checked: docker-save's older layout, and OCI layouts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::manifest::{Config, Descriptor, Index, Manifest, Saved};
use super::reference::Reference;
use super::scan::{Entry, Scan, scan};
use holdfast_net::error::{Error, Result};

/// Nested indexes deeper than this are somebody's joke.
const MAX_DEPTH: usize = 4;

/// How the archive is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `manifest.json` and a folder for each layer.
    DockerSave,
    /// `index.json` and `blobs/`, with or without `manifest.json`.
    Oci,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:…` of the layer's file.
    pub digest: String,
    /// In bytes, as it lies in the archive.
    pub size: u64,
}

/// One image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// All it carries; may be none.
    pub names: Vec<Reference>,
    /// `sha256:…` of its configuration.
    pub id: String,
    /// Such as `linux/amd64`.
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

/// An archive that was read to its end and found sound.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Of the tar inside, in bytes.
    pub unpacked: u64,
    /// Whether the file is gzip-compressed.
    pub gzip: bool,
    /// How it is laid out.
    pub layout: Layout,
    /// At least one.
    pub images: Vec<Image>,
    /// Where the files that carry names lie, and their content.
    pub(super) naming: Vec<(String, Entry, Vec<u8>)>,
}

impl Archive {
    /// Reads and checks all of `path`: structure, digests, and what it holds. Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self> {
        let found = scan(path)?;
        let contents = Contents { path, scan: &found };
        contents.check_blobs()?;
        let layout = if found.entries.contains_key("oci-layout") { Layout::Oci } else { Layout::DockerSave };
        let images = match found.json.contains_key("manifest.json") {
            true => contents.saved_images()?,
            false if found.json.contains_key("index.json") => contents.oci_images()?,
            false => {
                return Err(contents
                    .bad("has neither manifest.json nor index.json, so it is no image archive")
                    .hint("`docker save` writes image archives; `docker export` does not"));
            }
        };
        if images.is_empty() {
            return Err(contents.bad("holds no image"));
        }
        let naming = ["manifest.json", "index.json", "repositories"].into_iter().filter_map(|name| {
            Some((name.to_owned(), found.entries.get(name)?.clone(), found.json.get(name)?.clone()))
        });
        let size = std::fs::metadata(path).map_err(|error| contents.bad(&error.to_string()))?.len();
        Ok(Self {
            path: path.to_owned(),
            size,
            unpacked: found.unpacked,
            gzip: found.gzip,
            layout,
            images,
            naming: naming.collect(),
        })
    }

    /// The only image, or an error that says to choose.
    pub fn image(&self) -> Result<&Image> {
        match self.images.as_slice() {
            [only] => Ok(only),
            several => Err(Error::image(format!("{}: holds {} images", self.path.display(), several.len()))
                .hint("`docker save` one image by itself")),
        }
    }
}

struct Contents<'a> {
    path: &'a Path,
    scan: &'a Scan,
}

impl Contents<'_> {
    fn bad(&self, what: &str) -> Error {
        Error::image(format!("{}: {what}", self.path.display()))
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let bytes = self.scan.json.get(name).ok_or_else(|| self.bad(&format!("{name} is missing or no JSON")))?;
        serde_json::from_slice(bytes).map_err(|error| self.bad(&format!("{name} does not read: {error}")))
    }

    /// A blob's name is its digest; content that says otherwise was damaged or forged.
    fn check_blobs(&self) -> Result<()> {
        for (name, entry) in &self.scan.entries {
            if let Some(named) = name.strip_prefix("blobs/sha256/")
                && named != entry.digest
            {
                return Err(self.bad(&format!("the content of {name} has another digest: it was damaged")));
            }
        }
        Ok(())
    }

    fn saved_images(&self) -> Result<Vec<Image>> {
        let saved: Vec<Saved> = self.json("manifest.json")?;
        saved.iter().map(|saved| self.image(&saved.config, &saved.layers, saved.repo_tags.as_deref())).collect()
    }

    fn oci_images(&self) -> Result<Vec<Image>> {
        let index: Index = self.json("index.json")?;
        let mut images = Vec::new();
        for descriptor in &index.manifests {
            self.follow(descriptor, descriptor, 0, &mut images)?;
        }
        Ok(images)
    }

    /// Names stand at the top descriptor; images may lie below nested indexes.
    fn follow(&self, top: &Descriptor, at: &Descriptor, depth: usize, images: &mut Vec<Image>) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(self.bad("its indexes are nested too deep"));
        }
        let manifest: Manifest = self.json(&blob(&at.digest))?;
        for below in &manifest.manifests {
            let attestation = below.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
            let present = self.scan.entries.contains_key(&blob(&below.digest));
            if present && !attestation {
                self.follow(top, below, depth + 1, images)?;
            }
        }
        if let Some(config) = &manifest.config {
            let layers: Vec<String> = manifest.layers.iter().map(|layer| blob(&layer.digest)).collect();
            let name = top
                .annotations
                .get("io.containerd.image.name")
                .or_else(|| top.annotations.get("org.opencontainers.image.ref.name").filter(|name| name.contains(':')));
            images.push(self.image(&blob(&config.digest), &layers, name.cloned().as_slice().into())?);
        }
        Ok(())
    }

    fn image(&self, config_name: &str, layers: &[String], names: Option<&[String]>) -> Result<Image> {
        let missing = |name: &str| self.bad(&format!("{name} is named and not there")).hint("save it again, whole");
        let config_entry = self.scan.entries.get(config_name).ok_or_else(|| missing(config_name))?;
        let config: Config = self.json(config_name)?;
        let layers = layers
            .iter()
            .map(|name| {
                let entry = self.scan.entries.get(name).ok_or_else(|| missing(name))?;
                Ok(Layer { digest: format!("sha256:{}", entry.digest), size: entry.size })
            })
            .collect::<Result<Vec<_>>>()?;
        self.check_layers(&config, &layers)?;
        let run = config.run.unwrap_or_default();
        let variant = if config.variant.is_empty() { String::new() } else { format!("/{}", config.variant) };
        Ok(Image {
            names: names.unwrap_or_default().iter().map(|name| name.parse()).collect::<Result<_>>()?,
            id: format!("sha256:{}", config_entry.digest),
            platform: format!("{}/{}{variant}", config.os, config.architecture),
            layers,
            command: run.entrypoint.into_iter().flatten().chain(run.cmd.into_iter().flatten()).collect(),
            labels: run.labels.unwrap_or_default(),
            environment: run.env.into_iter().flatten().map(|pair| variable(&pair)).collect(),
        })
    }

    /// Where layers lie uncompressed, the configuration names their digests.
    fn check_layers(&self, config: &Config, layers: &[Layer]) -> Result<()> {
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            return Err(self.bad(&format!("{} layers are named and {} are there", diff_ids.len(), layers.len())));
        }
        let is_blob = |digest: &str| self.scan.entries.contains_key(&blob(digest));
        match layers.iter().zip(diff_ids).find(|(layer, named)| layer.digest != **named && !is_blob(&layer.digest)) {
            Some((layer, named)) => Err(self.bad(&format!("a layer should be {named} and is {}", layer.digest))),
            None => Ok(()),
        }
    }
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// `NAME=VALUE` of an environment.
fn variable(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (name.to_owned(), value.to_owned())
}
