//! What the files of an archive say together: which images there are, and whether all of each is there.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::archive::{Image, Layer};
use super::manifest::{Config, Descriptor, Index, Manifest, Saved};
use super::reference::Reference;
use super::scan::{Scan, plain};
use holdfast_net::error::{Error, Result};

/// Nested indexes deeper than this are somebody's joke.
const MAX_DEPTH: usize = 4;

/// A read archive's files.
pub struct Contents<'a> {
    path: &'a Path,
    scan: &'a Scan,
}

/// An image's manifest in an OCI layout.
struct Found {
    /// Of the manifest, then of the indexes around it, from the inside out.
    digests: Vec<String>,
    manifest: Manifest,
    /// As the top descriptors name it.
    names: Vec<String>,
    /// Whether it lies in an index, of which an archive may hold a part.
    in_index: bool,
}

impl<'a> Contents<'a> {
    pub fn new(path: &'a Path, scan: &'a Scan) -> Self {
        Self { path, scan }
    }

    pub fn bad(&self, what: &str) -> Error {
        Error::image(format!("{}: {what}", self.path.display()))
    }

    fn missing(&self, name: &str) -> Error {
        self.bad(&format!("{name} is named and not there")).hint("save it again, whole")
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        if !self.scan.entries.contains_key(name) {
            return Err(self.missing(name));
        }
        let bytes =
            self.scan.json.get(name).ok_or_else(|| self.bad(&format!("{name} is no JSON, or too large for any")))?;
        serde_json::from_slice(bytes).map_err(|error| self.bad(&format!("{name} does not read: {error}")))
    }

    /// A blob's name is its digest; content that says otherwise was damaged or forged.
    pub fn check_blobs(&self) -> Result<()> {
        for (name, entry) in &self.scan.entries {
            if let Some(named) = name.strip_prefix("blobs/sha256/")
                && named != entry.digest
            {
                return Err(self.bad(&format!("the content of {name} has another digest: it was damaged")));
            }
        }
        Ok(())
    }

    /// At least one image.
    pub fn images(&self) -> Result<Vec<Image>> {
        let images = if self.scan.entries.contains_key("manifest.json") {
            self.saved_images()?
        } else if self.scan.entries.contains_key("index.json") {
            self.oci_images()?
        } else {
            return Err(self
                .bad("has neither manifest.json nor index.json, so it is no image archive")
                .hint("`docker save` writes image archives; `docker export` does not"));
        };
        if images.is_empty() { Err(self.bad("holds no image")) } else { Ok(images) }
    }

    /// By `manifest.json`, which `docker load` goes by. Where the archive is an OCI layout too, it has the digests.
    fn saved_images(&self) -> Result<Vec<Image>> {
        let saved: Vec<Saved> = self.json("manifest.json")?;
        let manifests = if self.scan.entries.contains_key("index.json") {
            self.manifests().unwrap_or_default()
        } else {
            Vec::new()
        };
        let mut images: Vec<Image> = Vec::new();
        for each in saved {
            let layers: Vec<_> = each.layers.iter().map(|layer| plain(layer)).collect();
            let mut image = self.image(&plain(&each.config), &layers, &each.repo_tags)?;
            let same = |found: &&Found| found.manifest.config.as_ref().is_some_and(|it| it.digest == image.id);
            image.manifests = manifests.iter().filter(same).flat_map(|found| found.digests.clone()).collect();
            add(&mut images, image);
        }
        Ok(images)
    }

    fn oci_images(&self) -> Result<Vec<Image>> {
        let (mut images, mut incomplete) = (Vec::new(), None);
        for found in self.manifests()? {
            let layers: Vec<String> = found.manifest.layers.iter().map(|layer| blob(&layer.digest)).collect();
            let config = blob(&found.manifest.config.map(|config| config.digest).unwrap_or_default());
            let absent = [&config].into_iter().chain(&layers).find(|name| !self.scan.entries.contains_key(*name));
            if let (Some(absent), true) = (absent, found.in_index) {
                incomplete.get_or_insert_with(|| self.missing(absent));
                continue;
            }
            let mut image = self.image(&config, &layers, &found.names)?;
            image.manifests = found.digests;
            add(&mut images, image);
        }
        match incomplete {
            Some(error) if images.is_empty() => Err(error),
            _ => Ok(images),
        }
    }

    /// Those of images, without signatures, attestations and platforms that the archive leaves out.
    fn manifests(&self) -> Result<Vec<Found>> {
        let index: Index = self.json("index.json")?;
        let mut found = Vec::new();
        for top in &index.manifests {
            self.follow(top, top, &[], &mut found)?;
        }
        Ok(found)
    }

    /// Names stand at the top descriptor; images may lie below nested indexes.
    fn follow(&self, top: &Descriptor, at: &Descriptor, around: &[String], found: &mut Vec<Found>) -> Result<()> {
        if around.len() > MAX_DEPTH {
            return Err(self.bad("its indexes are nested too deep"));
        }
        if at.is_other() {
            return Ok(());
        }
        let digests: Vec<_> = [&at.digest].into_iter().chain(around).cloned().collect();
        let manifest: Manifest = self.json(&blob(&at.digest))?;
        for below in &manifest.manifests {
            if self.scan.entries.contains_key(&blob(&below.digest)) {
                self.follow(top, below, &digests, found)?;
            }
        }
        if manifest.is_image() {
            found.push(Found { digests, manifest, names: names(top), in_index: !around.is_empty() });
        }
        Ok(())
    }

    fn image(&self, config_name: &str, layers: &[String], names: &[String]) -> Result<Image> {
        let config_entry = self.scan.entries.get(config_name).ok_or_else(|| self.missing(config_name))?;
        let config: Config = self.json(config_name)?;
        self.check_layers(&config, layers)?;
        let layer = |name: &String| {
            let entry = self.scan.entries.get(name).ok_or_else(|| self.missing(name))?;
            Ok(Layer { digest: format!("sha256:{}", entry.digest), size: entry.size })
        };
        let run = config.run;
        let variant = if config.variant.is_empty() { String::new() } else { format!("/{}", config.variant) };
        let (names, not_names) = sorted(names);
        Ok(Image {
            names,
            not_names,
            id: format!("sha256:{}", config_entry.digest),
            config: config_name.to_owned(),
            manifests: Vec::new(),
            platform: format!("{}/{}{variant}", config.os, config.architecture),
            layers: layers.iter().map(layer).collect::<Result<_>>()?,
            command: run.entrypoint.into_iter().chain(run.cmd).collect(),
            labels: run.labels.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
            environment: run.env.into_iter().map(|pair| variable(&pair)).collect::<BTreeMap<_, _>>(),
        })
    }

    /// The configuration names the digest of each layer as it is unpacked.
    fn check_layers(&self, config: &Config, layers: &[String]) -> Result<()> {
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            return Err(self.bad(&format!("{} layers are named and {} are there", diff_ids.len(), layers.len())));
        }
        for (name, named) in layers.iter().zip(diff_ids) {
            let entry = self.scan.entries.get(name).ok_or_else(|| self.missing(name))?;
            let is = |digest: &String| named.strip_prefix("sha256:") == Some(digest);
            if !is(&entry.digest) && !entry.unpacked.as_ref().is_some_and(is) {
                let digest = entry.unpacked.as_ref().unwrap_or(&entry.digest);
                return Err(self
                    .bad(&format!("the layer {name} should be {named} and is sha256:{digest}"))
                    .hint("it was damaged, or changed after the image was made: save it again"));
            }
        }
        Ok(())
    }
}

/// One image may be listed for each of its names.
fn add(images: &mut Vec<Image>, image: Image) {
    let Some(known) = images.iter_mut().find(|known| known.id == image.id && known.layers == image.layers) else {
        images.push(image);
        return;
    };
    for name in image.names {
        if !known.names.contains(&name) {
            known.names.push(name);
        }
    }
    for (list, more) in [(&mut known.not_names, image.not_names), (&mut known.manifests, image.manifests)] {
        for each in more {
            if !list.contains(&each) {
                list.push(each);
            }
        }
    }
}

/// The name of an image in an OCI layout, by containerd and by the layout's specification. The latter may be a tag
/// alone, which says nothing where the whole name stands beside it.
fn names(of: &Descriptor) -> Vec<String> {
    let annotation = |key| of.annotations.get(key).filter(|name| !name.is_empty()).cloned();
    let whole = annotation("io.containerd.image.name");
    let stated = annotation("org.opencontainers.image.ref.name");
    let stated = match &whole {
        Some(whole) => stated.filter(|name| !whole.ends_with(&format!(":{name}"))),
        // No name of an image begins like that, so that it is shown and is no target.
        None => stated.map(|name| if name.contains([':', '/']) { name } else { format!(":{name}") }),
    };
    whole.into_iter().chain(stated).collect()
}

/// What can be a target, and what is shown alone.
fn sorted(names: &[String]) -> (Vec<Reference>, Vec<String>) {
    let (mut targets, mut others) = (Vec::new(), Vec::new());
    for name in names {
        match name.parse::<Reference>() {
            Ok(target) if !targets.contains(&target) => targets.push(target),
            Ok(_) => {}
            Err(_) => others.push(name.clone()),
        }
    }
    (targets, others)
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// `NAME=VALUE` of an environment.
fn variable(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (name.to_owned(), value.to_owned())
}
