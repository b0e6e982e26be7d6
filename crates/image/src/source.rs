//! The bytes of an archive as they are sent: the file as it is, or with other names written into it on the way.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::archive::Archive;
use super::compression::{Compression, Unpacked};
use super::image::Image;
use super::reference::Reference;
use super::scan::{self, plain};
use holdfast_net::error::{Error, Result};

const BLOCK: u64 = 512;

/// Where a transfer's bytes come from; may be read several times.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    /// How many bytes come in all.
    pub size: u64,
    /// The pieces of a rewritten tar; none for the file as it is.
    rewritten: Option<Rewritten>,
}

#[derive(Debug, Clone)]
struct Rewritten {
    compression: Compression,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    /// So many bytes of the archive's tar, after skipping so many.
    Tar {
        skip: u64,
        take: u64,
    },
    Bytes(Vec<u8>),
}

impl Source {
    /// Any file as it is: a plugin's tar, which is no image.
    pub fn file(path: PathBuf) -> Result<Self> {
        let (_, _, size) = scan::open(&path)?;
        Ok(Self { path, size, rewritten: None })
    }

    /// An archive as it is, or without the names of other images than `image`. Devices load plain and gzip-compressed
    /// ones; others are sent unpacked.
    pub fn archive(archive: &Archive, image: &Image) -> Result<Self> {
        if archive.images.len() > 1 {
            return Self::rewritten(archive, image, None);
        }
        let (path, compression) = (archive.path.clone(), archive.compression);
        if matches!(compression, Compression::None | Compression::Gzip) {
            return Ok(Self { path, size: archive.size, rewritten: None });
        }
        let pieces = vec![Piece::Tar { skip: 0, take: archive.unpacked }];
        Ok(Self { path, size: archive.unpacked, rewritten: Some(Rewritten { compression, pieces }) })
    }

    /// An archive's image under another name; layers and id stay. A compressed one is sent unpacked.
    pub fn retagged(archive: &Archive, image: &Image, name: &Reference) -> Result<Self> {
        Self::rewritten(archive, image, Some(name))
    }

    fn rewritten(archive: &Archive, image: &Image, name: Option<&Reference>) -> Result<Self> {
        let mut naming: Vec<_> = archive.naming.iter().collect();
        naming.sort_by_key(|(_, entry, _)| entry.header_at);
        let (mut pieces, mut at, mut skip) = (Vec::new(), 0, 0);
        for (file, entry, content) in naming {
            pieces.push(Piece::Tar { skip, take: entry.header_at - at });
            pieces.push(Piece::Bytes(tar_entry(file, &Naming { archive, image, name }.rewrite(file, content)?)?));
            skip = BLOCK + entry.size.next_multiple_of(BLOCK);
            at = entry.header_at + skip;
        }
        pieces.push(Piece::Tar { skip, take: archive.unpacked - at });
        let size = pieces.iter().map(Piece::len).sum();
        Ok(Self {
            path: archive.path.clone(),
            size,
            rewritten: Some(Rewritten { compression: archive.compression, pieces }),
        })
    }

    /// A reader from the first byte on. Blocks on the disk.
    pub fn reader(&self) -> Result<Box<dyn Read + Send>> {
        let (file, _, _) = scan::open(&self.path)?;
        Ok(match &self.rewritten {
            None => Box::new(file),
            Some(Rewritten { compression, pieces }) => {
                let tar = match compression {
                    Compression::None => Tar::Plain(file),
                    packed => Tar::Packed(packed.reader(file)),
                };
                Box::new(Pieces { tar, left: pieces.clone().into(), current: None })
            }
        })
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Tar { take, .. } => *take,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

fn tar_entry(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).map_err(|error| Error::image(error.to_string()))?;
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    entry.extend_from_slice(content);
    entry.resize(entry.len().next_multiple_of(512), 0);
    Ok(entry)
}

/// What the files that carry names shall say: `image` alone, under `name` where one is given. Signatures and
/// attestations keep what they are called.
struct Naming<'a> {
    archive: &'a Archive,
    image: &'a Image,
    name: Option<&'a Reference>,
}

impl Naming<'_> {
    fn rewrite(&self, file: &str, content: &[u8]) -> Result<Vec<u8>> {
        let bad = |error: serde_json::Error| Error::image(format!("{file} does not read: {error}"));
        let mut document: Value = serde_json::from_slice(content).map_err(bad)?;
        match file {
            "manifest.json" => document = self.saved(list(document)),
            "index.json" => document["manifests"] = self.listed(list(document["manifests"].take())),
            _ => document = self.repositories(document),
        }
        serde_json::to_vec(&document).map_err(bad)
    }

    fn saved(&self, items: Vec<Value>) -> Value {
        let its = |item: &Value| item["Config"].as_str().is_some_and(|config| plain(config) == self.image.config);
        let mut items: Vec<_> = items.into_iter().filter(its).collect();
        if items.is_empty() {
            items.push(self.item()); // `index.json` alone had it, which Docker's own store does not read
        }
        if let Some(name) = self.name {
            items.truncate(1);
            for item in &mut items {
                item["RepoTags"] = json!([name.to_string()]);
            }
        }
        items.into()
    }

    fn item(&self) -> Value {
        let layers: Vec<_> = self.image.layers.iter().map(|layer| layer.file.as_str()).collect();
        let names: Vec<_> = self.image.names.iter().map(ToString::to_string).collect();
        json!({ "Config": self.image.config, "RepoTags": names, "Layers": layers })
    }

    fn listed(&self, items: Vec<Value>) -> Value {
        let is = |image: &Image, item: &Value| image.manifests.iter().any(|known| item["digest"] == **known);
        let mut kept: Vec<Value> = Vec::new();
        for mut item in items {
            if is(self.image, &item) {
                self.describe(&mut item);
                if self.name.is_some() && kept.iter().any(|known| known["digest"] == item["digest"]) {
                    continue; // one for each name that it had
                }
            } else if self.archive.images.iter().any(|other| is(other, &item)) {
                continue;
            }
            kept.push(item);
        }
        kept.into()
    }

    /// An index that holds other images too gives way to the manifest.
    fn describe(&self, item: &mut Value) {
        if let (Some(manifest), true) = (&self.image.manifested, self.archive.images.len() > 1) {
            item["digest"] = json!(manifest.digest);
            item["size"] = json!(manifest.size);
            item["mediaType"] = json!(manifest.media_type);
        }
        let Some(name) = self.name else { return };
        let whole = name.to_string();
        let stated = item["annotations"][REFERENCE].as_str().is_some_and(|old| old.contains(['/', ':']));
        item["annotations"][REFERENCE] = json!(if stated { &whole } else { &name.tag });
        item["annotations"]["io.containerd.image.name"] = json!(whole);
    }

    /// By name and tag, the image's topmost layer.
    fn repositories(&self, document: Value) -> Value {
        let Some(name) = self.name else { return document };
        let own = self.image.names.iter().map(|own| &document[&own.name][&own.tag]).find(|layer| !layer.is_null());
        let first = || document.as_object()?.values().next()?.as_object()?.values().next();
        let layer = own.or_else(first);
        json!({ name.name.clone(): { name.tag.clone(): layer } })
    }
}

/// A tag alone, or a whole name.
const REFERENCE: &str = "org.opencontainers.image.ref.name";

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

enum Tar {
    Plain(File),
    Packed(Unpacked<File>),
}

impl Tar {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        match self {
            Self::Plain(file) => {
                let forward = i64::try_from(count).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
                file.seek(SeekFrom::Current(forward)).map(|_| ())
            }
            Self::Packed(reader) => io::copy(&mut reader.take(count), &mut io::sink()).map(|_| ()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Packed(reader) => reader.read(buffer),
        }
    }
}

/// Reads the pieces one after the other.
struct Pieces {
    tar: Tar,
    left: std::collections::VecDeque<Piece>,
    current: Option<Current>,
}

enum Current {
    Tar(u64),
    Bytes(Cursor<Vec<u8>>),
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.current {
                Some(Current::Tar(left)) if *left > 0 => {
                    let limit = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                    let count = self.tar.read(&mut buffer[..limit])?;
                    if count == 0 && limit > 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    *left -= count as u64;
                    return Ok(count);
                }
                Some(Current::Bytes(bytes)) if bytes.position() < bytes.get_ref().len() as u64 => {
                    return bytes.read(buffer);
                }
                _ => match self.left.pop_front() {
                    None => return Ok(0),
                    Some(Piece::Bytes(bytes)) => self.current = Some(Current::Bytes(Cursor::new(bytes))),
                    Some(Piece::Tar { skip, take }) => {
                        self.tar.skip(skip)?;
                        self.current = Some(Current::Tar(take));
                    }
                },
            }
        }
    }
}
