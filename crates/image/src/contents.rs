//! What the files of an archive say together: which images there are, and whether all of each is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::image::{Image, Layer, Manifested};
use super::manifest::{Config, Descriptor, Index, Manifest, SavedList};
use super::reference::Reference;
use super::scan::{Inside, Scan, plain};
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
    /// How `index.json` would name it by itself.
    manifested: Manifested,
    /// Whether it is one of several platforms, of which an archive may hold a part.
    is_partial: bool,
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

    fn json<T: Default + DeserializeOwned>(&self, name: &str) -> Result<T> {
        if !self.scan.entries.contains_key(name) {
            return Err(self.missing(name));
        }
        let bytes = self.scan.json.get(name).ok_or_else(|| {
            self.bad(&format!("{name} is no JSON, or too large for any")).hint("save it again, whole")
        })?;
        serde_json::from_slice::<Option<T>>(bytes).map(Option::unwrap_or_default).map_err(|error| {
            self.bad(&format!("{name} does not read: {error}")).hint("save it again, whole").caused_by(Arc::new(error))
        })
    }

    /// A blob's name is its digest; content that says otherwise was damaged or forged.
    pub fn check_blobs(&self) -> Result<()> {
        for (name, entry) in &self.scan.entries {
            if let Some(named) = name.strip_prefix("blobs/sha256/")
                && named != entry.digest
            {
                let what = format!("the content of {name} has another digest: it was damaged");
                return Err(self.bad(&what).hint("copy or save it again, whole"));
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
        if images.is_empty() {
            let hint = "signatures, charts and other artifacts are no images; save the image itself";
            return Err(self.bad("holds no image").hint(hint));
        }
        Ok(images)
    }

    /// By `manifest.json`, which `docker load` goes by. Where the archive is an OCI layout too, it has the digests.
    fn saved_images(&self) -> Result<Vec<Image>> {
        let SavedList(saved) = self.json("manifest.json")?;
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
            for found in manifests.iter().filter(same) {
                image.manifested.get_or_insert_with(|| found.manifested.clone());
                image.manifests.extend(found.digests.iter().cloned());
            }
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
            if let (Some(absent), true) = (absent, found.is_partial) {
                incomplete.get_or_insert_with(|| self.missing(absent));
                continue;
            }
            let mut image = self.image(&config, &layers, &found.names)?;
            image.manifests = found.digests;
            image.manifested = Some(found.manifested);
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
            let is_partial = index.manifests.len() > 1 && top.platform.is_some();
            if !is_partial || self.scan.entries.contains_key(&blob(&top.digest)) {
                self.follow(top, top, &[], is_partial, &mut found)?;
            }
        }
        Ok(found)
    }

    /// Names stand at the top descriptor; images may lie below nested indexes.
    fn follow(
        &self,
        top: &Descriptor,
        at: &Descriptor,
        around: &[String],
        is_partial: bool,
        found: &mut Vec<Found>,
    ) -> Result<()> {
        if around.len() > MAX_DEPTH {
            return Err(self.bad("its indexes are nested too deep"));
        }
        if at.is_other() {
            return Ok(());
        }
        let digests: Vec<_> = [&at.digest].into_iter().chain(around).cloned().collect();
        let name = blob(&at.digest);
        let manifest: Manifest = self.json(&name)?;
        for below in &manifest.manifests {
            if self.scan.entries.contains_key(&blob(&below.digest)) {
                self.follow(top, below, &digests, true, found)?;
            }
        }
        if manifest.is_image() {
            let size = self.scan.entries.get(&name).map_or(0, |entry| entry.size);
            let manifested = Manifested { media_type: at.media_type.clone(), digest: at.digest.clone(), size };
            found.push(Found { digests, manifest, names: names(top), manifested, is_partial });
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
        let platform = [config.os, config.architecture, config.variant].join("/");
        let (names, not_names) = sorted(names);
        Ok(Image {
            names,
            not_names,
            id: format!("sha256:{}", config_entry.digest),
            config: config_name.to_owned(),
            manifests: Vec::new(),
            manifested: None,
            platform: platform.trim_end_matches('/').to_owned(),
            layers: layers.iter().map(layer).collect::<Result<_>>()?,
            command: run.entrypoint.into_iter().chain(run.cmd).collect(),
            labels: run.labels,
            environment: run.env.into_iter().map(|pair| variable(&pair)).collect::<BTreeMap<_, _>>(),
        })
    }

    /// The configuration names the digest of each layer as it is unpacked.
    fn check_layers(&self, config: &Config, layers: &[String]) -> Result<()> {
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != layers.len() {
            let what = format!("{} layers are named and {} are there", diff_ids.len(), layers.len());
            return Err(self.bad(&what).hint("save it again, whole"));
        }
        for (name, named) in layers.iter().zip(diff_ids) {
            let entry = self.scan.entries.get(name).ok_or_else(|| self.missing(name))?;
            let digest = match &entry.unpacked {
                None => &entry.digest,
                Some(Inside::Digest(digest)) => digest,
                Some(Inside::Damaged(compression)) => {
                    let what = format!("the layer {name} is damaged: it does not unpack with {}", compression.name());
                    return Err(self.bad(&what).hint("copy or save it again, whole"));
                }
            };
            if named.strip_prefix("sha256:") != Some(digest) {
                return Err(self
                    .bad(&format!("the layer {name} should be {named} and is sha256:{digest}"))
                    .hint("it was damaged, or changed after the image was made: save it again"));
            }
        }
        Ok(())
    }
}

/// One image may be listed for each of its names, and for each way its layers are compressed.
fn add(images: &mut Vec<Image>, image: Image) {
    let Some(known) = images.iter_mut().find(|known| known.id == image.id) else {
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
            Err(_) if others.contains(name) => {}
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
