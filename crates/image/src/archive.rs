//! What an image archive holds, checked: docker-save's older layout, and OCI layouts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compression::Compression;
use super::contents::Contents;
use super::image::Image;
use super::platform::is_for;
use super::scan::{Entry, NO_END, scan};
use holdfast_net::error::{Error, Remedy, Result};

/// How the archive is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `manifest.json` and a folder for each layer.
    DockerSave,
    /// `index.json` and `blobs/`, with or without `manifest.json`.
    Oci,
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
    /// What is odd about the file and does no harm, in words.
    pub notes: Vec<String>,
    /// Where the files that carry names lie, and their content.
    pub(super) naming: Vec<(String, Entry, Vec<u8>)>,
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
        let size =
            std::fs::metadata(path).map_err(|error| contents.bad(&error.to_string()).caused_by(Arc::new(error)))?.len();
        Ok(Self {
            path: path.to_owned(),
            size,
            unpacked: found.unpacked,
            compression: found.compression,
            layout,
            images,
            notes: if found.lacks_end {
                vec![format!("{NO_END}; all that it names is there and whole")]
            } else {
                Vec::new()
            },
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

fn shown((platform, name): &(&str, String)) -> String {
    if platform.is_empty() { name.clone() } else { format!("{name} for {platform}") }
}
