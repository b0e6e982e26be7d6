//! What an image archive holds, checked: docker-save's older layout, and OCI layouts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::compression::Compression;
use super::contents::Contents;
use super::reference::Reference;
use super::scan::{Entry, scan};
use holdfast_net::error::{Error, Remedy, Result};

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

/// An archive that was read to its end and found sound.
#[derive(Debug, Clone)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Of the tar inside, in bytes.
    pub unpacked: u64,
    /// Of the whole file.
    pub compression: Compression,
    /// How it is laid out.
    pub layout: Layout,
    /// At least one.
    pub images: Vec<Image>,
    /// Where the files that carry names lie, and their content.
    pub(super) naming: Vec<(String, Entry, Vec<u8>)>,
}

impl Image {
    /// All digests that runtimes list it by: of its configuration first, of its manifest, of the indexes around that.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.manifests.iter().map(String::as_str))
    }
}

impl Archive {
    /// Reads and checks all of `path`: structure, digests, and what it holds. Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self> {
        let found = scan(path)?;
        let contents = Contents::new(path, &found);
        contents.check_blobs()?;
        let layout = if found.entries.contains_key("index.json") { Layout::Oci } else { Layout::DockerSave };
        let images = contents.images()?;
        let naming = ["manifest.json", "index.json", "repositories"].into_iter().filter_map(|name| {
            Some((name.to_owned(), found.entries.get(name)?.clone(), found.json.get(name)?.clone()))
        });
        let size = std::fs::metadata(path).map_err(|error| contents.bad(&error.to_string()))?.len();
        Ok(Self {
            path: path.to_owned(),
            size,
            unpacked: found.unpacked,
            compression: found.compression,
            layout,
            images,
            naming: naming.collect(),
        })
    }

    /// The image for a platform such as `linux/arm64`, or the only one; an error that names what there is to choose.
    pub fn image(&self, platform: Option<&str>) -> Result<&Image> {
        let name = |image: &Image| image.names.first().map_or_else(|| image.id.clone(), ToString::to_string);
        let there: Vec<_> = self.images.iter().map(|image| (image.platform.as_str(), name(image))).collect();
        choose(&self.path, &there, platform).map(|chosen| &self.images[chosen])
    }
}

const CHOOSE: &str = "choose one by its platform";

/// Which of an archive's images is meant: the only one, or the only one for a platform. Each is its platform and
/// its name.
pub fn choose(path: &Path, images: &[(&str, String)], platform: Option<&str>) -> Result<usize> {
    let fits = |(its, _): &(&str, String)| platform.is_none_or(|asked| is_for(its, asked));
    let fitting: Vec<_> = images.iter().enumerate().filter(|(_, image)| fits(image)).map(|(at, _)| at).collect();
    if let [only] = fitting.as_slice() {
        return Ok(*only);
    }
    let there = images.iter().map(shown).collect::<Vec<_>>().join(", ");
    let bad = |what: String| Error::image(format!("{}: {what} ({there})", path.display()));
    let platforms: BTreeSet<_> = images.iter().map(|(platform, _)| platform).collect();
    Err(match (fitting.len(), platform) {
        (0, Some(platform)) => bad(format!("holds no image for {platform}")).hint(CHOOSE).remedy(Remedy::Platform),
        (several, _) if platforms.len() == images.len() => {
            bad(format!("holds {several} images")).hint(CHOOSE).remedy(Remedy::Platform)
        }
        (several, _) => bad(format!("holds {several} images")).hint("`docker save` one image by itself"),
    })
}

/// Whether an image for `platform` is one for `asked`: `linux/arm64/v8` is also for `linux/arm64`, and what names no
/// platform is for any.
pub fn is_for(platform: &str, asked: &str) -> bool {
    let (platform, asked) = (normal(platform), normal(asked));
    platform.is_empty() || platform == asked || platform.strip_prefix(&asked).is_some_and(|rest| rest.starts_with('/'))
}

/// As Go names platforms, without the variant that goes without saying.
pub(super) fn normal(platform: &str) -> String {
    let platform = platform.to_ascii_lowercase();
    let (os, rest) =
        platform.split_once('/').unwrap_or(if platform.is_empty() { ("", "") } else { ("linux", &platform) });
    let (architecture, variant) = rest.split_once('/').unwrap_or((rest, ""));
    let architecture = match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let variant = match (architecture, variant) {
        ("arm64", "v8") | ("amd64", "v1") => "",
        (_, variant) => variant,
    };
    [os, architecture, variant].join("/").trim_end_matches('/').to_owned()
}

fn shown((platform, name): &(&str, String)) -> String {
    if platform.is_empty() { name.clone() } else { format!("{name} for {platform}") }
}

#[cfg(test)]
mod tests {
    use super::is_for;

    #[test]
    fn platforms_compare_however_they_are_written() {
        for (platform, asked) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/amd64", "Linux/x86_64"),
            ("linux/amd64", "amd64"),
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/arm64/v8", "linux/aarch64"),
            ("linux/arm/v7", "linux/arm"),
            ("", "linux/arm64"),
        ] {
            assert!(is_for(platform, asked), "{platform} for {asked}");
        }
        for (platform, asked) in [
            ("linux/amd64", "linux/arm64"),
            ("linux/arm64", "linux/arm"),
            ("linux/arm/v6", "linux/arm/v7"),
            ("windows/amd64", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v2"),
        ] {
            assert!(!is_for(platform, asked), "{platform} for {asked}");
        }
    }
}
