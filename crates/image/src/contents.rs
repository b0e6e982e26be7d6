//! What the files of an archive say together: which images there are, and whether all of each is there.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::image::{Image, Layer, Manifested};
use super::manifest::{Config, Descriptor, Index, Manifest, Saved, SavedList};
use super::reference::Reference;
use super::scan::{BYTE_ORDER_MARK, Inside, NO_END, Scan, plain, truncated};
use holdfast_net::error::{Error, Result};

/// Nested indexes deeper than this are somebody's joke.
const MAX_DEPTH: usize = 8;
/// How often files of an archive may be named to be read, and what that may come to in bytes: one file may be named
/// again and again.
const MAX_READ: usize = 4000;
const MAX_READ_BYTES: usize = 256 << 20;
/// How many images an archive may hold, and how many names they may have.
const MAX_IMAGES: usize = 1000;
const MAX_NAMES: usize = 10_000;

/// A read archive's files.
pub struct Contents<'a> {
    path: &'a Path,
    scan: &'a Scan,
    /// How often a file was read, and how many bytes those were.
    read: Cell<(usize, usize)>,
    names: Cell<usize>,
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

impl Found {
    /// Where its configuration and its layers lie.
    fn files(&self) -> (String, Vec<String>) {
        let config = self.manifest.config.as_ref().map(|config| blob(&config.digest));
        (config.unwrap_or_default(), self.manifest.layers.iter().map(|layer| blob(&layer.digest)).collect())
    }
}

impl<'a> Contents<'a> {
    pub fn new(path: &'a Path, scan: &'a Scan) -> Self {
        Self { path, scan, read: Cell::default(), names: Cell::default() }
    }

    pub fn bad(&self, what: &str) -> Error {
        Error::image(format!("{}: {what}", self.path.display()))
    }

    fn missing(&self, name: &str) -> Error {
        if self.scan.lacks_end {
            return truncated(self.path, &format!("{NO_END}, and so is {name}"));
        }
        self.bad(&format!("{name} is named and not there")).hint("save it again, whole")
    }

    fn too_many(&self, what: &str) -> Error {
        self.bad(&format!("names {what}: no more of it is read")).hint("save fewer images into one archive")
    }

    fn json<T: Default + DeserializeOwned>(&self, name: &str) -> Result<T> {
        if !self.scan.entries.contains_key(name) {
            return Err(self.missing(name));
        }
        let bytes = self.scan.json.get(name).ok_or_else(|| {
            self.bad(&format!("{name} is no JSON, or too large for any")).hint("save it again, whole")
        })?;
        let (files, size) = self.read.get();
        let (files, size) = (files + 1, size + bytes.len());
        self.read.set((files, size));
        if files > MAX_READ || size > MAX_READ_BYTES {
            return Err(self.too_many(&format!("more than {MAX_READ} files, or {} MiB", MAX_READ_BYTES >> 20)));
        }
        if bytes.starts_with(BYTE_ORDER_MARK) {
            let what = format!("{name} begins with a byte order mark, which no runtime takes");
            return Err(self.bad(&what).hint("write it without one, or save the image again"));
        }
        serde_json::from_slice::<Option<T>>(bytes).map(Option::unwrap_or_default).map_err(|error| {
            self.bad(&format!("{name} does not read: {error}")).hint("save it again, whole").caused_by(Arc::new(error))
        })
    }

    /// A blob's name is its digest; content that says otherwise was damaged or forged. What is called otherwise there
    /// says nothing of its content: layers that Bazel's `rules_oci` calls `.tar.gz`, and what a Mac adds.
    pub fn check_blobs(&self) -> Result<()> {
        for (name, entry) in &self.scan.entries {
            if let Some(named) = name.strip_prefix("blobs/sha256/")
                && is_sha256(named)
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
        let [has_saved, has_index] = ["manifest.json", "index.json"].map(|name| self.scan.entries.contains_key(name));
        let is_layout = self.scan.entries.contains_key("oci-layout");
        if self.scan.lacks_end && (is_layout != has_index || !(has_saved || has_index)) {
            return Err(truncated(self.path, NO_END)); // what lists the images may be written last
        }
        if !has_saved && !has_index {
            return Err(self.no_list());
        }
        if has_saved
            && self.scan.json.get("manifest.json").is_some_and(|bytes| bytes.trim_ascii_start().starts_with(b"{"))
        {
            return Err(self
                .bad("is what `skopeo copy` writes to dir:, which is no image archive: its manifest.json lists no images")
                .hint(crate::scan::OF_A_DIR));
        }
        let SavedList(saved) = if has_saved { self.json("manifest.json")? } else { SavedList::default() };
        if saved.len() > MAX_IMAGES {
            return Err(self.too_many(&format!("{} images, more than {MAX_IMAGES}", saved.len())));
        }
        let images = match (saved.as_slice(), has_index) {
            ([], true) => self.oci_images()?,
            (saved, true) => self.of_both(saved, self.manifests_beside()?)?,
            (saved, false) => self.saved_images(saved)?,
        };
        if images.is_empty() {
            let hint = "signatures, charts and other artifacts are no images; save the image itself";
            return Err(self.bad("holds no image").hint(hint));
        }
        Ok(images)
    }

    /// Nothing lists its images.
    fn no_list(&self) -> Error {
        let listed_in = |name: &String| {
            let (folder, file) = name.rsplit_once('/')?;
            matches!(file, "manifest.json" | "index.json").then(|| folder.to_owned())
        };
        let above = self.scan.entries.keys().filter_map(listed_in).min_by_key(String::len);
        if let Some(folder) = above {
            let what = format!("is no image archive by itself: what lists its images lies in its folder {folder:?}");
            return self.bad(&what).hint(format!("pack what is in that folder: `tar -C {folder} -cf NEW .`"));
        }
        if self.scan.entries.contains_key("repositories") {
            return self
                .bad("has repositories, and no manifest.json: a Docker older than 1.10 wrote it")
                .hint("`docker load` it there, and save it anew with a Docker of today");
        }
        self.bad("has neither manifest.json nor index.json, so it is no image archive")
            .hint("`docker save` writes image archives; `docker export` does not")
    }

    /// By `manifest.json`, which Docker's own store goes by.
    fn saved_images(&self, saved: &[Saved]) -> Result<Vec<Image>> {
        let mut images: Vec<Image> = Vec::new();
        for each in saved {
            let layers = each.layers.iter().map(|layer| (layer, "a layer without a path"));
            for (path, what) in [(&each.config, "no Config")].into_iter().chain(layers) {
                if path.is_empty() {
                    let hint = "it must name the files of each image: save the image again";
                    return Err(self.bad(&format!("manifest.json names {what}")).hint(hint));
                }
            }
            let layers: Vec<_> = each.layers.iter().map(|layer| plain(layer)).collect();
            add(&mut images, self.image(&plain(&each.config), &layers, &each.repo_tags)?);
        }
        Ok(images)
    }

    /// Those of `manifest.json` first, with the digests that the layout has of them; then those that the layout alone
    /// has: writers name one platform of several in `manifest.json`, which has no place for more under one name.
    fn of_both(&self, saved: &[Saved], manifests: Vec<Found>) -> Result<Vec<Image>> {
        let mut images = self.saved_images(saved)?;
        let listed = images.len();
        for found in manifests {
            let id = found.manifest.config.as_ref().map(|config| config.digest.as_str());
            if let Some(image) = images[..listed].iter_mut().find(|image| Some(image.id.as_str()) == id) {
                image.manifested.get_or_insert(found.manifested);
                extend(&mut image.manifests, found.digests);
            } else if self.scan.lacks_end || self.absent(&found).is_none() {
                add(&mut images, self.found_image(found)?);
            }
        }
        Ok(images)
    }

    fn oci_images(&self) -> Result<Vec<Image>> {
        let (mut images, mut incomplete) = (Vec::new(), None);
        for found in self.manifests()? {
            if let (Some(absent), true) = (self.absent(&found), found.is_partial && !self.scan.lacks_end) {
                incomplete.get_or_insert_with(|| self.missing(&absent));
                continue;
            }
            add(&mut images, self.found_image(found)?);
        }
        match incomplete {
            Some(error) if images.is_empty() => Err(error),
            _ => Ok(images),
        }
    }

    /// The first file that an image names and the archive lacks.
    fn absent(&self, found: &Found) -> Option<String> {
        let (config, layers) = found.files();
        [config].into_iter().chain(layers).find(|name| !self.scan.entries.contains_key(name))
    }

    fn found_image(&self, found: Found) -> Result<Image> {
        self.check_readable(&found)?;
        let (config, layers) = found.files();
        let mut image = self.image(&config, &layers, &found.names)?;
        image.manifests = found.digests;
        image.manifested = Some(found.manifested);
        Ok(image)
    }

    /// Layers that nobody can read as they are, or that were left out on purpose: nothing is damaged.
    fn check_readable(&self, found: &Found) -> Result<()> {
        for layer in &found.manifest.layers {
            if layer.media_type.ends_with("+encrypted") {
                let what = format!("the layer {} is encrypted", layer.digest);
                return Err(self.bad(&what).hint("decrypt the image first: `skopeo copy --decryption-key KEY …`"));
            }
            let stays_out = ["nondistributable", "foreign"].iter().any(|kind| layer.media_type.contains(kind));
            if stays_out && !self.may_be_there(layer) {
                let what = format!("the layer {} is not in it, for its owner alone may give it on", layer.digest);
                return Err(self.bad(&what).hint("such layers are those of Windows: a device cannot run the image"));
            }
        }
        Ok(())
    }

    /// As `manifests`, where `manifest.json` says enough by itself: it is what `docker load` goes by.
    fn manifests_beside(&self) -> Result<Vec<Found>> {
        match self.manifests() {
            Err(error) if self.scan.lacks_end => Err(error),
            found => Ok(found.unwrap_or_default()),
        }
    }

    /// Those of images, without signatures, attestations and platforms that the archive leaves out.
    fn manifests(&self) -> Result<Vec<Found>> {
        let index: Index = self.json("index.json")?;
        if index.manifests.len() > MAX_IMAGES {
            return Err(self.too_many(&format!("{} images, more than {MAX_IMAGES}", index.manifests.len())));
        }
        let mut found = Vec::new();
        for top in &index.manifests {
            let is_partial = index.manifests.len() > 1 && top.platform.is_some();
            if !is_partial || self.may_be_there(top) {
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
            let hint = "copy the image into an archive of its own: `skopeo copy` reads such indexes";
            return Err(self.bad(&format!("its indexes are nested more than {MAX_DEPTH} deep")).hint(hint));
        }
        if at.is_other() {
            return Ok(());
        }
        self.need_digest(at, || "an index names a manifest".to_owned())?;
        let digests: Vec<_> = [&at.digest].into_iter().chain(around).cloned().collect();
        let name = blob(&at.digest);
        let manifest: Manifest = self.json(&name)?;
        for below in &manifest.manifests {
            if self.may_be_there(below) {
                self.follow(top, below, &digests, true, found)?;
            }
        }
        if manifest.is_image() {
            for part in manifest.config.iter().chain(&manifest.layers) {
                self.need_digest(part, || format!("the manifest {} names a layer or a configuration", at.digest))?;
            }
            let size = self.scan.entries.get(&name).map_or(0, |entry| entry.size);
            let manifested = Manifested { media_type: at.media_type.clone(), digest: at.digest.clone(), size };
            found.push(Found { digests, manifest, names: names(top), manifested, is_partial });
        }
        Ok(())
    }

    /// An archive may hold a part of the platforms that it names; one without an end may have had the others.
    fn may_be_there(&self, part: &Descriptor) -> bool {
        self.scan.entries.contains_key(&blob(&part.digest)) || self.scan.lacks_end
    }

    fn need_digest(&self, of: &Descriptor, who: impl Fn() -> String) -> Result<()> {
        if !of.digest.is_empty() {
            return Ok(());
        }
        Err(self.bad(&format!("{} without a digest", who())).hint("save the image again: the digest leads to it"))
    }

    fn image(&self, config_name: &str, layers: &[String], names: &[String]) -> Result<Image> {
        self.names.set(self.names.get() + names.len());
        if self.names.get() > MAX_NAMES {
            return Err(self.too_many(&format!("more than {MAX_NAMES} names of images")));
        }
        let config_entry = self.scan.entries.get(config_name).ok_or_else(|| self.missing(config_name))?;
        let config: Config = self.json(config_name)?;
        self.check_layers(&config, layers)?;
        let layer = |name: &String| {
            let entry = self.scan.entries.get(name).ok_or_else(|| self.missing(name))?;
            Ok(Layer { digest: format!("sha256:{}", entry.digest), size: entry.size, file: name.clone() })
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
                Some(Inside::TooLarge(compression)) => {
                    let packed = compression.name();
                    let what =
                        format!("the layer {name} is compressed with {packed}, and takes too much memory to unpack");
                    let hint = "it may be whole; compress it anew: `skopeo copy --dest-compress-format gzip`";
                    return Err(self.bad(&what).hint(hint));
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
    extend(&mut known.not_names, image.not_names);
    extend(&mut known.manifests, image.manifests);
}

fn extend(list: &mut Vec<String>, more: Vec<String>) {
    for each in more {
        if !list.contains(&each) {
            list.push(each);
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

/// Whether a file's name is a digest, as OCI writes them.
fn is_sha256(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// `NAME=VALUE` of an environment.
fn variable(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (name.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::scan::Entry;
    use super::*;

    fn images(files: &[(&str, Value)]) -> Result<Vec<Image>> {
        let mut scan = Scan::default();
        for (name, value) in files {
            let (bytes, digest) = (value.to_string().into_bytes(), "00".to_owned());
            let entry = Entry { header_at: 0, size: bytes.len() as u64, digest, unpacked: None };
            scan.entries.insert((*name).to_owned(), entry);
            scan.json.insert((*name).to_owned(), bytes);
        }
        Contents::new(Path::new("x.tar"), &scan).images()
    }

    fn refused(files: &[(&str, Value)]) -> String {
        images(files).expect_err("too much").to_string()
    }

    #[test]
    fn what_an_archive_names_is_bounded() {
        let config = || ("c.json", json!({"os": "linux", "architecture": "amd64"}));
        let row = |names: Value| json!({"Config": "c.json", "RepoTags": names, "Layers": []});
        let saved = |rows: Vec<Value>| [("manifest.json", json!(rows)), config()];
        assert_eq!(images(&saved(vec![row(json!(["a:1"])); 1000])).expect("few").len(), 1);
        assert!(refused(&saved(vec![row(json!(["a:1"])); 20_000])).contains("20000 images, more than 1000"));
        let names: Vec<String> = (0..20_000).map(|number| format!("a:{number}")).collect();
        assert!(refused(&saved(vec![row(json!(names))])).contains("more than 10000 names"));
        let large = ("c.json", json!({"os": "linux", "x": "y".repeat(1 << 20)}));
        assert!(refused(&[("manifest.json", json!(vec![row(json!([])); 999])), large]).contains("256 MiB"));
    }

    #[test]
    fn indexes_that_name_each_other_are_not_followed_for_ever() {
        let index = |below: &str, count: usize| {
            let each = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": below, "size": 1});
            json!({"schemaVersion": 2, "manifests": vec![each; count]})
        };
        let files = [
            ("index.json", index("sha256:1", 1)),
            ("blobs/sha256/1", index("sha256:2", 500)),
            ("blobs/sha256/2", index("sha256:3", 500)),
            ("blobs/sha256/3", index("sha256:4", 500)),
            ("blobs/sha256/4", json!({"schemaVersion": 2, "manifests": []})),
        ];
        assert!(refused(&files).contains("more than 4000 files"));
    }
}
