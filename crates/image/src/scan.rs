//! One pass over an archive's tar: what is in it, where, with which digest, in bounded memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Component, Path};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tar::EntryType;

use super::compression::{Compression, MAGIC, takes_too_much};
use super::strangers;
use holdfast_net::error::{Error, Result};

const BLOCK: u64 = 512;
const MAX_ENTRIES: usize = 100_000;
/// Entries up to this size that look like JSON are kept. Configurations of several MiB are known; manifests are smaller.
const MAX_JSON: u64 = 32 << 20;
const MAX_JSON_TOTAL: usize = 128 << 20;
/// Beyond this many bytes, data that shrinks more than `MAX_RATIO` to one is taken for a decompression bomb.
const RATIO_APPLIES_FROM: u64 = 256 << 20;
const MAX_RATIO: u64 = 400;
/// Of a folder that `skopeo copy` wrote to `dir:`.
pub const OF_A_DIR: &str = "make an archive of that folder: `skopeo copy dir:FOLDER docker-archive:FILE:NAME:TAG`";
const SAVE_IT: &str = "give the .tar file that `docker save -o` wrote";

/// A file in the archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Of its header, in the unpacked tar.
    pub header_at: u64,
    /// Of its content, padding not included.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub digest: String,
    /// What it unpacks to, where it is compressed.
    pub unpacked: Option<Inside>,
}

/// What a compressed entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// SHA-256 of it, in hexadecimal.
    Digest(String),
    /// It does not unpack.
    Damaged(Compression),
    /// Unpacking it takes more memory than is given.
    TooLarge(Compression),
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
    /// Of the whole file.
    pub compression: Compression,
    /// Whether no zeros end the tar. Some writers leave them out; where a tar was cut between two of its entries they
    /// are missing too, so that all that the archive names must be looked for.
    pub lacks_end: bool,
}

/// Opens `path` and says how it is compressed, and its size in bytes.
pub fn open(path: &Path) -> Result<(File, Compression, u64)> {
    let say = |what: String| Error::image(format!("{}: {what}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| {
        say(error.to_string()).caused_by(Arc::new(error)).hint("give the path of a `docker save` archive")
    })?;
    if metadata.is_dir() {
        let is_image = ["index.json", "manifest.json"].iter().any(|name| path.join(name).is_file());
        let hint = if path.join("version").is_file() && is_image {
            OF_A_DIR.to_owned()
        } else if is_image {
            format!("pack what is in it: `tar -C {} -cf FILE .`", path.display())
        } else {
            SAVE_IT.to_owned()
        };
        return Err(say("is a folder, not an archive".into()).hint(hint));
    }
    if metadata.len() == 0 {
        return Err(say("is empty".into()).hint("write it again: `docker save -o FILE IMAGE`"));
    }
    let mut file = File::open(path).map_err(|error| say(error.to_string()).caused_by(Arc::new(error)))?;
    let mut magic = Vec::with_capacity(MAGIC);
    file.by_ref()
        .take(MAGIC as u64)
        .read_to_end(&mut magic)
        .map_err(|error| say(error.to_string()).caused_by(Arc::new(error)))?;
    file.rewind().map_err(|error| say(error.to_string()).caused_by(Arc::new(error)))?;
    Ok((file, Compression::of(&magic), metadata.len()))
}

/// Reads all of `path` once.
pub fn scan(path: &Path) -> Result<Scan> {
    let (file, compression, packed) = open(path)?;
    let limit = (compression != Compression::None).then_some(packed);
    let mut tar = Counted { inner: compression.reader(file), count: 0, packed: limit };
    let first = first_block(&mut tar).map_err(|error| begins_badly(path, compression, &error))?;
    let mut archive = tar::Archive::new(io::Cursor::new(first).chain(tar));
    let found = Scan { compression, ..Scan::default() };
    let mut pass = Pass { path, found, json: 0, links: Vec::new(), strange: None, end_of_last: 0 };
    for entry in archive.entries().map_err(|error| explain(path, compression, &error, 0))? {
        let mut entry = entry.map_err(|error| match pass.end_of_last {
            0 => begins_badly(path, compression, &error),
            at => explain(path, compression, &error, at),
        })?;
        pass.take(&mut entry)?;
    }
    let (_, mut rest) = archive.into_inner().into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|error| explain(path, compression, &error, pass.end_of_last))?;
    pass.end(rest.count)
}

/// What a tar, compressed or not, has in it: files by path, without `./`.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let found = scan(path)?;
    if found.lacks_end {
        return Err(truncated(path, NO_END)); // nothing in it says whether all of it is there
    }
    Ok(found.entries.into_keys().collect())
}

/// The first header. GNU tar leaves the size of a label blank, which other readers take for 0.
fn first_block(tar: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut block = Vec::new();
    tar.take(BLOCK).read_to_end(&mut block)?;
    let mut header = tar::Header::new_old();
    if block.len() == header.as_bytes().len() {
        header.as_mut_bytes().copy_from_slice(&block);
    }
    if header.entry_type().as_byte() == b'V' && header.as_old().size.iter().all(|digit| *digit == 0) {
        header.set_size(0);
        header.set_cksum();
        block = header.as_bytes().to_vec();
    }
    Ok(block)
}

/// What was found so far.
struct Pass<'a> {
    path: &'a Path,
    found: Scan,
    /// Bytes in `found.json`.
    json: usize,
    links: Vec<(String, String)>,
    /// The first entry that no image archive has. Other archives do, which are then refused for what they are.
    strange: Option<Error>,
    /// Where the last entry's content ends.
    end_of_last: u64,
}

impl Pass<'_> {
    fn bad(&self, what: &str) -> Error {
        Error::image(format!("{}: {what}", self.path.display()))
    }

    fn take(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<()> {
        if self.found.entries.len() + self.links.len() >= MAX_ENTRIES {
            return Err(self.bad(&format!("more than {MAX_ENTRIES} entries: this is no image archive")));
        }
        let (kind, shown) = (entry.header().entry_type(), String::from_utf8_lossy(&entry.path_bytes()).into_owned());
        let (header_at, size) = (entry.raw_header_position(), entry.size());
        let stored = if kind.is_gnu_sparse() { entry.header().entry_size().unwrap_or(size) } else { size };
        self.end_of_last = entry.raw_file_position() + stored.next_multiple_of(BLOCK);
        let is_folder = kind == EntryType::Regular && shown.ends_with('/'); // as the oldest tars write one
        if is_no_file(kind) || is_folder {
            return Ok(());
        }
        if is_sparse_by_pax(entry) {
            let what = format!("{shown:?} is stored as a sparse file");
            return Err(self.bad(&what).hint("write the archive with `tar` without --sparse"));
        }
        let Some(name) = safe_name(&shown, "") else {
            self.strange(&format!("entry {shown:?} leaves the archive's folder"), "do not load this archive anywhere");
            return Ok(());
        };
        match kind.as_byte() {
            b'M' => {
                let what = format!("begins with the rest of {name:?}: it is one of several volumes of a tar");
                return Err(self.bad(&what).hint("write the archive with `tar` without --multi-volume"));
            }
            b'S' => self.file(entry, name, header_at, size)?,
            _ => match kind {
                EntryType::Regular | EntryType::Continuous => self.file(entry, name, header_at, size)?,
                EntryType::Symlink | EntryType::Link => self.link(entry, kind, name),
                other => self.strange(&format!("{name:?} is a {other:?}, which no image archive has"), SAVE_IT),
            },
        }
        Ok(())
    }

    fn strange(&mut self, what: &str, hint: &str) {
        let error = self.bad(what).hint(hint);
        self.strange.get_or_insert(error);
    }

    fn file(&mut self, entry: &mut impl Read, name: String, header_at: u64, size: u64) -> Result<()> {
        let keep = size <= MAX_JSON && self.json < MAX_JSON_TOTAL;
        let content = Content::read(entry, size, keep)
            .map_err(|error| explain(self.path, self.found.compression, &error, header_at))?;
        if content.size != size {
            return Err(truncated(self.path, &format!("{name} has {} of its {size} bytes", content.size)));
        }
        if let Some(json) = content.json {
            self.json += json.len();
            self.found.json.insert(name.clone(), json);
        }
        let entry = Entry { header_at, size, digest: content.digest, unpacked: content.unpacked };
        self.found.entries.insert(name, entry);
        Ok(())
    }

    fn link(&mut self, entry: &tar::Entry<'_, impl Read>, kind: EntryType, name: String) {
        let target = entry.link_name_bytes().unwrap_or_default();
        let target = String::from_utf8_lossy(&target);
        let base = match kind {
            EntryType::Symlink if target.starts_with('/') => {
                let what = format!("link {name:?} leads to {target:?}, outside of the archive");
                return self
                    .strange(&what, "write the archive with `tar --dereference`, which stores what links lead to");
            }
            EntryType::Symlink => name.rsplit_once('/').map_or("", |(folder, _)| folder),
            _ => "",
        };
        let Some(target) = safe_name(&target, base) else {
            let what = format!("link {name:?} leads out of the archive's folder");
            return self.strange(&what, "do not load this archive anywhere");
        };
        self.links.push((name, target));
    }

    fn end(mut self, unpacked: u64) -> Result<Scan> {
        let is_image = ["manifest.json", "index.json"].iter().any(|name| self.found.entries.contains_key(*name));
        match self.strange.take() {
            Some(error) if is_image || self.found.entries.is_empty() => return Err(error),
            None if self.found.entries.is_empty() => {
                return Err(no_tar(self.path, "is no tar archive, or an empty one"));
            }
            _ => {}
        }
        if unpacked < self.end_of_last {
            return Err(truncated(self.path, "it ends inside its last entry"));
        }
        self.found.lacks_end = unpacked < self.end_of_last + BLOCK;
        self.found.unpacked = unpacked;
        while !self.links.is_empty() {
            let before = self.links.len();
            let found = &mut self.found;
            self.links.retain(|(name, target)| {
                let Some(entry) = found.entries.get(target).cloned() else { return true };
                let content = found.json.get(target).cloned();
                found.json.extend(content.map(|content| (name.clone(), content)));
                found.entries.insert(name.clone(), entry);
                false
            });
            if self.links.len() == before {
                break; // what is left leads nowhere, or to a folder
            }
        }
        Ok(self.found)
    }
}

/// Folders, and what GNU and PAX tell of the archive itself: a label, the names in a folder, attributes of all.
fn is_no_file(kind: EntryType) -> bool {
    matches!(kind, EntryType::Directory | EntryType::XGlobalHeader) || matches!(kind.as_byte(), b'V' | b'D')
}

fn is_sparse_by_pax(entry: &mut tar::Entry<'_, impl Read>) -> bool {
    let extensions = entry.pax_extensions().ok().flatten();
    extensions
        .is_some_and(|mut pairs| pairs.any(|pair| pair.is_ok_and(|pair| pair.key_bytes().starts_with(b"GNU.sparse."))))
}

/// What one pass over an entry's content tells.
struct Content {
    digest: String,
    unpacked: Option<Inside>,
    json: Option<Vec<u8>>,
    size: u64,
}

impl Content {
    /// Reads all of it; keeps it where it is JSON and `keep` is set.
    fn read(from: &mut impl Read, size: u64, keep: bool) -> io::Result<Self> {
        let mut start = Vec::with_capacity(MAGIC);
        from.by_ref().take(MAGIC as u64).read_to_end(&mut start)?;
        let compression = Compression::of(&start);
        let json = (keep && looks_like_json(&start)).then(Vec::new);
        let mut raw = Hashed {
            inner: io::Cursor::new(start).chain(from),
            hash: Sha256::new(),
            size: 0,
            kept: json,
            failed: false,
        };
        let unpacked = match compression {
            Compression::None => None,
            packed => Some(raw.unpacked(packed, size)?),
        };
        raw.read_all()?;
        Ok(Self { digest: hex::encode(raw.hash.finalize()), unpacked, json: raw.kept, size: raw.size })
    }
}

/// What some editors put before a text, and no reader of JSON takes.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// JSON may begin after spaces and lines. `null` is what Go writes for an empty list.
fn looks_like_json(start: &[u8]) -> bool {
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).trim_ascii_start();
    !start.is_empty()
        && (matches!(text.first(), None | Some(b'{' | b'[')) || b"null".iter().zip(text).all(|(a, b)| a == b))
}

/// Hashes what is read through it, and keeps it where that is wanted.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    size: u64,
    kept: Option<Vec<u8>>,
    failed: bool,
}

impl<R: Read> Hashed<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), size: 0, kept: None, failed: false }
    }

    fn read_all(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 17];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    /// What unpacking gives.
    fn unpacked(&mut self, compression: Compression, packed: u64) -> io::Result<Inside> {
        let unpacked = Counted { inner: compression.reader(&mut *self), count: 0, packed: Some(packed) };
        let mut unpacked = Hashed::new(unpacked);
        match unpacked.read_all() {
            Ok(()) => Ok(Inside::Digest(hex::encode(unpacked.hash.finalize()))),
            Err(error) if self.failed || error.kind() == io::ErrorKind::FileTooLarge => Err(error),
            Err(error) if takes_too_much(&error) => Ok(Inside::TooLarge(compression)),
            Err(_) => Ok(Inside::Damaged(compression)),
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).inspect_err(|_| self.failed = true)?;
        self.hash.update(&buffer[..count]);
        self.size += count as u64;
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(&buffer[..count]);
        }
        Ok(count)
    }
}

/// A path below `base` in plain form, or None where it leaves the archive. `tar -P` writes absolute ones, which every
/// reader takes below the folder that it unpacks to.
fn safe_name(text: &str, base: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// As the entries are called: without `./` and the like.
pub fn plain(name: &str) -> String {
    safe_name(name, "").unwrap_or_else(|| name.to_owned())
}

/// What is said where the zeros at the end of a tar are missing.
pub const NO_END: &str = "its end mark is missing";

pub fn truncated(path: &Path, why: &str) -> Error {
    Error::image(format!("{}: is cut short: {why}", path.display())).hint("copy or save it again, whole")
}

/// What it is instead, where that is known.
fn no_tar(path: &Path, what: &str) -> Error {
    let (what, hint) = strangers::known(path).unwrap_or((what, SAVE_IT));
    Error::image(format!("{}: {what}", path.display())).hint(hint)
}

fn explain(path: &Path, compression: Compression, error: &io::Error, at: u64) -> Error {
    match error.kind() {
        _ if takes_too_much(error) => {
            let packed = compression.name();
            let what = format!("is compressed with {packed}, which here takes too much memory to unpack: {error}");
            let hint = format!("it may be whole; unpack it first: `{} FILE`", compression.by_hand());
            Error::image(format!("{}: {what}", path.display())).hint(hint)
        }
        io::ErrorKind::UnexpectedEof => truncated(path, &format!("it ends inside the entry at byte {at}")),
        io::ErrorKind::FileTooLarge => Error::image(format!("{}: {error}", path.display()))
            .hint("this is a decompression bomb; if it really is an image, unpack it yourself and give the .tar"),
        // The reader's own words would quote the file.
        _ if at == 0 => no_tar(path, "is no tar archive"),
        _ => Error::image(format!("{}: is damaged near byte {at}: {error}", path.display()))
            .hint("copy or save it again, whole"),
    }
}

/// Nothing came out of it.
fn begins_badly(path: &Path, compression: Compression, error: &io::Error) -> Error {
    if compression == Compression::None || takes_too_much(error) {
        return explain(path, compression, error, 0);
    }
    let what = format!("is compressed with {}, and holds no tar archive, or a damaged one", compression.name());
    Error::image(format!("{}: {what}: {error}", path.display())).hint("copy or save it again, whole")
}

/// Counts what was read, and ends a decompression bomb.
struct Counted<R> {
    inner: R,
    count: u64,
    /// So many bytes it is unpacked from; none for what is not packed.
    packed: Option<u64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        if let Some(packed) = self.packed
            && self.count > RATIO_APPLIES_FROM
            && self.count / packed > MAX_RATIO
        {
            let what = format!("unpacks to more than {MAX_RATIO} times its {packed} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        Ok(count)
    }
}
