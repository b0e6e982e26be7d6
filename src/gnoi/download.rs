//! A file that a device sends in pieces, on its way into a file of this machine: bounded, whole or not at all.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};
use tonic::Code;

use crate::error::{Error, Kind, Result};
use crate::wire::gnoi::types::HashType;
use crate::wire::gnoi::types::hash_type::HashMethod;

/// What is read of a file at a time to hash it, in bytes.
const PIECE: usize = 1 << 16;

/// Where a file goes, and what of it is taken.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The file, which is replaced once all has come.
    pub path: PathBuf,
    /// The most bytes that are taken; more is RESOURCE_EXHAUSTED.
    pub limit: Option<u64>,
    /// Whether what does not fit the hash that the device gives is DATA_LOSS, and not kept.
    pub check: bool,
}

/// What a device says of the contents, or what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    /// Such as `SHA256`.
    pub method: &'static str,
    /// The hash itself.
    pub bytes: Vec<u8>,
}

/// A file that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Where it is now.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// What the device says of it, where it says that.
    pub hash: Option<Hash>,
    /// Whether it is that; None where the device gives no hash, or one of a kind that is not known.
    pub verified: Option<bool>,
}

/// A file on its way. What is not finished leaves nothing behind.
pub struct Download {
    destination: Destination,
    part: PathBuf,
    file: fs::File,
    size: u64,
}

impl Download {
    /// Begins anew, whatever came before.
    pub fn begin(destination: &Destination) -> Result<Self> {
        let mut name = destination.path.file_name().unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(Error::invalid(format!("{} names no file", destination.path.display())));
        }
        name.push(".part");
        let part = destination.path.with_file_name(name);
        let file = fs::File::create(&part).map_err(|error| cannot(&part, error))?;
        Ok(Self { destination: destination.clone(), part, file, size: 0 })
    }

    /// Takes the next piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.size += piece.len() as u64;
        if self.destination.limit.is_some_and(|limit| self.size > limit) {
            let what = format!("it has more than {} bytes", self.destination.limit.unwrap_or_default());
            return Err(Error::new(Kind::Status(Code::ResourceExhausted), format!("{what}, and no more is taken"))
                .hint("allow more bytes"));
        }
        self.file.write_all(piece).map_err(|error| cannot(&self.part, error))
    }

    /// All has come: it is compared with what the device says of it, and put in its place.
    pub fn finish(mut self, said: Option<&HashType>, size: Option<u64>) -> Result<Downloaded> {
        self.file.flush().map_err(|error| cannot(&self.part, error))?;
        let hash = said.and_then(Hash::said);
        let mut wrong = size.filter(|size| *size != self.size).map(|size| format!("it says {size} bytes"));
        let mut verified = wrong.as_ref().map(|_| false);
        if let Some(said) = hash.as_ref().filter(|_| verified.is_none()) {
            let counted = hash_of(&self.part, said.method).map_err(|error| cannot(&self.part, error))?;
            verified = counted.as_ref().map(|counted| *counted == said.bytes);
            if verified == Some(false) {
                let counted = hex::encode(counted.unwrap_or_default());
                let (method, said) = (said.method, hex::encode(&said.bytes));
                wrong = Some(format!("its {method} is {counted}, and the device says {said}"));
            }
        }
        if let (Some(wrong), true) = (wrong, self.destination.check) {
            let what = format!("what came is not what the device says of it ({} bytes: {wrong})", self.size);
            return Err(Error::new(Kind::Status(Code::DataLoss), what).hint("fetch it again, or take it as it is"));
        }
        let path = self.destination.path.clone();
        fs::rename(&self.part, &path).map_err(|error| cannot(&path, error))?;
        Ok(Downloaded { path, size: self.size, hash, verified })
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part); // it is not there where it was put in its place
    }
}

impl Hash {
    /// None where the device says nothing.
    pub fn said(hash: &HashType) -> Option<Self> {
        let method = match hash.method() {
            HashMethod::Unspecified if hash.hash.is_empty() => return None,
            HashMethod::Unspecified => "UNSPECIFIED",
            HashMethod::Sha256 => "SHA256",
            HashMethod::Sha512 => "SHA512",
            HashMethod::Md5 => "MD5",
        };
        (!hash.hash.is_empty()).then(|| Self { method, bytes: hash.hash.clone() })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.method, hex::encode(&self.bytes))
    }
}

/// None where the method is not known.
fn hash_of(file: &Path, method: &str) -> io::Result<Option<Vec<u8>>> {
    match method {
        "SHA256" => digest::<Sha256>(file).map(Some),
        "SHA512" => digest::<Sha512>(file).map(Some),
        "MD5" => digest::<Md5>(file).map(Some),
        _ => Ok(None),
    }
}

fn digest<D: Digest>(file: &Path) -> io::Result<Vec<u8>> {
    let (mut file, mut digest, mut piece) = (fs::File::open(file)?, D::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digest.finalize().to_vec()),
            count => digest.update(&piece[..count]),
        }
    }
}

fn cannot(path: &Path, error: io::Error) -> Error {
    let message = format!("{}: {error}", path.display());
    let error = Error::invalid(message).caused_by(Arc::new(error));
    error.hint("choose a file in a folder that can be written, and where there is room")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(folder: &Path, check: bool) -> Destination {
        Destination { path: folder.join("core"), limit: Some(10), check }
    }

    fn left(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn it_is_there_when_all_has_come_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        for (method, hash) in [
            (HashMethod::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (HashMethod::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            let said = HashType { method: method as i32, hash: hex::decode(hash).expect("hex") };
            let mut download = Download::begin(&destination(folder.path(), true)).expect("it begins");
            download.write(b"ab").expect("room");
            assert!(left(folder.path()).contains(&"core.part".to_owned()));
            download.write(b"c").expect("room");
            let came = download.finish(Some(&said), Some(3)).expect("it is what was said");
            assert_eq!((came.size, came.verified), (3, Some(true)));
            assert_eq!(left(folder.path()), ["core"]);
        }
    }

    #[test]
    fn what_is_not_as_said_is_refused_or_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = HashType { method: HashMethod::Sha512 as i32, hash: vec![1; 64] };
        let mut download = Download::begin(&destination(folder.path(), true)).expect("it begins");
        download.write(b"abc").expect("room");
        let error = download.finish(Some(&said), None).expect_err("another hash");
        assert!(error.message.contains("SHA512 is ddaf35"), "{error}");
        assert!(left(folder.path()).is_empty());
        let download = Download::begin(&destination(folder.path(), true)).expect("it begins");
        assert!(download.finish(None, Some(7)).expect_err("another size").message.contains("it says 7 bytes"));
        let download = Download::begin(&destination(folder.path(), false)).expect("it begins");
        assert_eq!(download.finish(Some(&said), None).expect("taken as it is").verified, Some(false));
        let download = Download::begin(&destination(folder.path(), true)).expect("it begins");
        assert_eq!(download.finish(None, None).expect("nothing is said").verified, None);
    }

    #[test]
    fn no_more_is_taken_than_allowed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut download = Download::begin(&destination(folder.path(), true)).expect("it begins");
        download.write(&[0; 10]).expect("room");
        let error = download.write(&[0]).expect_err("too much");
        assert_eq!(error.code(), Some(Code::ResourceExhausted));
        drop(download);
        assert!(left(folder.path()).is_empty());
        let nowhere = Destination { path: folder.path().join("none").join("core"), limit: None, check: true };
        assert!(Download::begin(&nowhere).err().expect("no folder").message.contains("core.part"));
    }
}
