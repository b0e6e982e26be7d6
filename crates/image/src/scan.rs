//! One pass over an archive's tar: what is in it, where, with which digest, in bounded memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tar::EntryType;

use holdfast_net::error::{Error, Result};

const BLOCK: u64 = 512;
const MAX_ENTRIES: usize = 100_000;
/// Entries up to this size that look like JSON are kept; image manifests and configurations are far smaller.
const MAX_JSON: u64 = 4 << 20;
const MAX_JSON_TOTAL: usize = 32 << 20;
/// Beyond this many bytes, data that shrinks more than `MAX_RATIO` to one is taken for a gzip bomb.
const RATIO_APPLIES_FROM: u64 = 256 << 20;
const MAX_RATIO: u64 = 400;

/// A file in the archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Of its header, in the unpacked tar.
    pub header_at: u64,
    /// Of its content, padding not included.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub digest: String,
}

/// Everything one pass found.
#[derive(Debug, Default)]
pub struct Scan {
    /// By path without `./`; links stand for what they point to.
    pub entries: HashMap<String, Entry>,
    /// Contents of the small JSON files.
    pub json: HashMap<String, Vec<u8>>,
    /// Of the tar, unpacked.
    pub unpacked: u64,
    /// Whether the file is gzip-compressed.
    pub gzip: bool,
}

/// Opens `path` and says whether it is gzip-compressed.
pub fn open(path: &Path) -> Result<(File, bool, u64)> {
    let say = |what: String| Error::image(format!("{}: {what}", path.display()));
    let metadata = std::fs::metadata(path)
        .map_err(|error| say(error.to_string()).hint("give the path of a `docker save` archive"))?;
    if metadata.is_dir() {
        return Err(say("is a folder, not an archive".into()).hint("give the .tar file that `docker save -o` wrote"));
    }
    if metadata.len() == 0 {
        return Err(say("is empty".into()).hint("write it again: `docker save -o FILE IMAGE`"));
    }
    let mut file = File::open(path).map_err(|error| say(error.to_string()))?;
    let mut magic = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut magic).map_err(|error| say(error.to_string()))?;
    file.rewind().map_err(|error| say(error.to_string()))?;
    if magic == [0x28, 0xb5, 0x2f, 0xfd] {
        return Err(say("is compressed with zstd, which devices do not load".into()).hint("`zstd -d` it first"));
    }
    Ok((file, magic.starts_with(&[0x1f, 0x8b]), metadata.len()))
}

/// The tar inside `file`.
pub fn reader(file: File, gzip: bool) -> Box<dyn Read + Send> {
    if gzip { Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file))) } else { Box::new(file) }
}

/// Reads all of `path` once.
pub fn scan(path: &Path) -> Result<Scan> {
    let (file, gzip, packed) = open(path)?;
    let say = |what: &str| Error::image(format!("{}: {what}", path.display()));
    let mut archive = tar::Archive::new(Counted { inner: reader(file, gzip), count: 0, packed, gzip });
    let mut found = Scan { gzip, ..Scan::default() };
    let mut links = Vec::new();
    let mut end_of_last = 0;
    for entry in archive.entries().map_err(|error| explain(path, &error, 0))? {
        let mut entry = entry.map_err(|error| explain(path, &error, end_of_last))?;
        if found.entries.len() + links.len() >= MAX_ENTRIES {
            return Err(say(&format!("more than {MAX_ENTRIES} entries: this is no image archive")));
        }
        let name = safe_name(&entry.path_bytes(), "").ok_or_else(|| {
            let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            say(&format!("entry {shown:?} leaves the archive's folder")).hint("do not load this archive anywhere")
        })?;
        end_of_last = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
        match entry.header().entry_type() {
            EntryType::Directory => {}
            EntryType::Regular | EntryType::Continuous => {
                let (header_at, size) = (entry.raw_header_position(), entry.size());
                let keep = size <= MAX_JSON && found.json.values().map(Vec::len).sum::<usize>() < MAX_JSON_TOTAL;
                let (digest, content, read) =
                    digest(&mut entry, keep).map_err(|error| explain(path, &error, header_at))?;
                if read != size {
                    return Err(truncated(path, &format!("{name} has {read} of its {size} bytes")));
                }
                if let Some(content) = content {
                    found.json.insert(name.clone(), content);
                }
                found.entries.insert(name, Entry { header_at, size, digest });
            }
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let base = match entry.header().entry_type() {
                    EntryType::Symlink => name.rsplit_once('/').map_or("", |(folder, _)| folder),
                    _ => "",
                };
                let target = safe_name(&target, base).ok_or_else(|| {
                    say(&format!("link {name:?} leads out of the archive's folder"))
                        .hint("do not load this archive anywhere")
                })?;
                links.push((name, target));
            }
            other => return Err(say(&format!("{name:?} is a {other:?}, which no image archive has"))),
        }
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|error| explain(path, &error, end_of_last))?;
    if found.entries.is_empty() {
        return Err(say("is no tar archive, or an empty one").hint("give the .tar file that `docker save -o` wrote"));
    }
    if rest.count < end_of_last + BLOCK {
        return Err(truncated(path, "its end mark is missing"));
    }
    found.unpacked = rest.count;
    for (name, target) in links {
        if let Some(entry) = found.entries.get(&target).cloned() {
            found.entries.insert(name, entry);
        }
    }
    Ok(found)
}

/// The digest of what is read, its content where it is JSON and `keep` is set, and its length.
fn digest(from: &mut impl Read, keep: bool) -> io::Result<(String, Option<Vec<u8>>, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 17];
    let mut kept: Option<Vec<u8>> = None;
    let mut total = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok((hex::encode(hash.finalize()), kept, total));
        }
        if total == 0 && keep && matches!(buffer[0], b'{' | b'[') {
            kept = Some(Vec::new());
        }
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&buffer[..count]);
        }
        hash.update(&buffer[..count]);
        total += count as u64;
    }
}

/// A path below `base` in plain form, or None where it leaves the archive.
fn safe_name(bytes: &[u8], base: &str) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

fn truncated(path: &Path, why: &str) -> Error {
    Error::image(format!("{}: is cut short: {why}", path.display())).hint("copy or save it again, whole")
}

fn explain(path: &Path, error: &io::Error, at: u64) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => truncated(path, &format!("it ends inside the entry at byte {at}")),
        io::ErrorKind::FileTooLarge => Error::image(format!("{}: {error}", path.display()))
            .hint("this is a gzip bomb; if it really is an image, unpack it yourself and give the .tar"),
        // The reader's own words would quote the file.
        _ if at == 0 => Error::image(format!("{}: is no tar archive", path.display()))
            .hint("give the .tar file that `docker save -o` wrote"),
        _ => Error::image(format!("{}: is damaged near byte {at}: {error}", path.display()))
            .hint("copy or save it again, whole"),
    }
}

/// Counts what was read, and ends a gzip bomb.
struct Counted<R> {
    inner: R,
    count: u64,
    packed: u64,
    gzip: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        if self.gzip && self.count > RATIO_APPLIES_FROM && self.count / self.packed > MAX_RATIO {
            let what = format!("unpacks to more than {MAX_RATIO} times its {} bytes", self.packed);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(count)
    }
}
