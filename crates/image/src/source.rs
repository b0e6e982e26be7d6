//! The bytes of an archive as they are sent: the file as it is, or with other names written into it on the way.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::archive::{Archive, Image};
use super::compression::{Compression, Unpacked};
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

    /// An archive as it is. Devices load plain and gzip-compressed ones; others are sent unpacked.
    pub fn archive(archive: &Archive) -> Self {
        let (path, compression) = (archive.path.clone(), archive.compression);
        if matches!(compression, Compression::None | Compression::Gzip) {
            return Self { path, size: archive.size, rewritten: None };
        }
        let pieces = vec![Piece::Tar { skip: 0, take: archive.unpacked }];
        Self { path, size: archive.unpacked, rewritten: Some(Rewritten { compression, pieces }) }
    }

    /// An archive's image under another name; layers and id stay. A compressed one is sent unpacked.
    pub fn retagged(archive: &Archive, image: &Image, name: &Reference) -> Result<Self> {
        let mut naming: Vec<_> = archive.naming.iter().collect();
        naming.sort_by_key(|(_, entry, _)| entry.header_at);
        let (mut pieces, mut at, mut skip) = (Vec::new(), 0, 0);
        for (file, entry, content) in naming {
            pieces.push(Piece::Tar { skip, take: entry.header_at - at });
            pieces.push(Piece::Bytes(tar_entry(file, &renamed(file, content, image, name)?)?));
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

/// The content of a file that carries names, with `name` in place of those of `image`, which alone is loaded then.
/// Signatures and attestations keep what they are called.
fn renamed(file: &str, content: &[u8], image: &Image, name: &Reference) -> Result<Vec<u8>> {
    let bad = |error: serde_json::Error| Error::image(format!("{file} does not read: {error}"));
    let mut document: Value = serde_json::from_slice(content).map_err(bad)?;
    match file {
        "manifest.json" => {
            let items = document.as_array_mut().map(std::mem::take).unwrap_or_default();
            let its = |item: &Value| item["Config"].as_str().is_some_and(|config| plain(config) == image.config);
            let mut item = items.into_iter().find(its).unwrap_or_default();
            item["RepoTags"] = json!([name.to_string()]);
            document = json!([item]);
        }
        "index.json" => {
            for item in document["manifests"].as_array_mut().into_iter().flatten() {
                let digest = item["digest"].as_str().unwrap_or_default();
                if image.manifests.iter().any(|known| known == digest) {
                    item["annotations"]["io.containerd.image.name"] = json!(name.to_string());
                    item["annotations"]["org.opencontainers.image.ref.name"] = json!(name.tag);
                }
            }
        }
        _ => {
            let layer =
                document.as_object().and_then(|names| names.values().next()?.as_object()?.values().next().cloned());
            document = json!({ name.name.clone(): { name.tag.clone(): layer } });
        }
    }
    serde_json::to_vec(&document).map_err(bad)
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
