//! Where a path leads, found by descriptors.
//!
//! This plugin runs as root, on paths whose folders may be anybody's. A path that is resolved twice may lead to two
//! files, the second of them chosen by whoever may write a folder on the way. So it is walked once, component by
//! component, and from then on there is a descriptor of the folder and a name in it, which no symbolic link can turn
//! into another place.
//!
//! A symbolic link is followed where nobody gains by it:
//! - it lies in a folder where nobody else could have put it: others may not write there, or the folder is sticky;
//! - it and that folder are root's (or of the user that this process runs as), or else both belong to the owner of the
//!   file that it leads to. Whether that file is there, and why it cannot be had, is no business of another owner.

use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// As many as Linux follows.
const MOST_LINKS: usize = 40;
/// As long as Linux lets a path be.
const LONGEST_PATH: usize = 4096;

/// Why something cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    System(Errno),
    Rule(String),
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Errno::from_io_error(&error).map_or_else(|| Self::Rule(error.to_string()), Self::System)
    }
}

impl fmt::Display for Refusal {
    /// In the words of Go's system calls: `no such file or directory`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(words) => f.write_str(words),
            Self::System(error) => match words(*error) {
                Some(words) => f.write_str(words),
                None => write!(f, "{}", std::io::Error::from(*error)),
            },
        }
    }
}

/// Go's words for what opening and reading a file comes to. C libraries have their own: glibc's begin with a capital
/// letter, and musl calls LOOP a symbolic link loop.
fn words(error: Errno) -> Option<&'static str> {
    Some(match error {
        Errno::ACCESS => "permission denied",
        Errno::AGAIN => "resource temporarily unavailable",
        Errno::BADF => "bad file descriptor",
        Errno::BUSY => "device or resource busy",
        Errno::DQUOT => "disk quota exceeded",
        Errno::EXIST => "file exists",
        Errno::FBIG => "file too large",
        Errno::INTR => "interrupted system call",
        Errno::INVAL => "invalid argument",
        Errno::IO => "input/output error",
        Errno::ISDIR => "is a directory",
        Errno::LOOP => "too many levels of symbolic links",
        Errno::MFILE => "too many open files",
        Errno::NAMETOOLONG => "file name too long",
        Errno::NFILE => "too many open files in system",
        Errno::NODEV => "no such device",
        Errno::NOENT => "no such file or directory",
        Errno::NOMEM => "cannot allocate memory",
        Errno::NOSPC => "no space left on device",
        Errno::NOSYS => "function not implemented",
        Errno::NOTDIR => "not a directory",
        Errno::NXIO => "no such device or address",
        Errno::OPNOTSUPP => "operation not supported",
        Errno::OVERFLOW => "value too large for defined data type",
        Errno::PERM => "operation not permitted",
        Errno::ROFS => "read-only file system",
        Errno::STALE => "stale file handle",
        Errno::TIMEDOUT => "connection timed out",
        Errno::TXTBSY => "text file busy",
        Errno::XDEV => "invalid cross-device link",
        _ => return None,
    })
}

/// A folder, by its descriptor.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    pub stat: Stat,
}

impl Folder {
    fn of(fd: OwnedFd) -> Result<Self, Errno> {
        Ok(Self { stat: fstat(&fd)?, fd })
    }

    /// Whether only root, or the user that this process runs as, may put something there.
    pub fn is_ours_alone(&self) -> bool {
        is_trusted(self.stat.st_uid) && !others_may_write(&self.stat)
    }

    /// What is called so there; no link is followed.
    pub fn look(&self, name: &[u8]) -> Result<Stat, Errno> {
        statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// A regular file. What is none is not even opened, which alone can make a device act; a fifo must not hold us.
    pub fn open(&self, name: &[u8], how: OFlags) -> Result<(File, Stat), Refusal> {
        let regular = |stat: Stat| match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(stat),
            FileType::Directory => Err(Refusal::System(Errno::ISDIR)),
            FileType::Symlink => Err(Refusal::System(Errno::LOOP)),
            _ => Err(Refusal::Rule("is not a regular file".to_owned())),
        };
        regular(self.look(name)?)?;
        let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(&self.fd, name, how, Mode::empty())?;
        let stat = regular(fstat(&file)?)?;
        Ok((file.into(), stat))
    }

    /// A file that was not there.
    pub fn create(&self, name: &[u8], how: OFlags, mode: u32) -> Result<File, Errno> {
        let how = how | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.fd, name, how, Mode::from_raw_mode(mode)).map(File::from)
    }

    /// Whatever it is, but a folder.
    pub fn remove(&self, name: &[u8]) -> Result<(), Errno> {
        unlinkat(&self.fd, name, AtFlags::empty())
    }

    pub fn rename(&self, old: &[u8], new: &[u8]) -> Result<(), Errno> {
        rustix::fs::renameat(&self.fd, old, &self.fd, new)
    }

    /// Onto the disk, with the names in it.
    pub fn sync(&self) -> Result<(), Errno> {
        rustix::fs::fsync(self.readable()?)
    }

    /// Names there, `most` at most.
    pub fn names(&self, most: usize) -> Result<Vec<CString>, Errno> {
        let entries = rustix::fs::Dir::new(self.readable()?)?;
        entries.take(most).map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect()
    }

    /// Another descriptor of it. Its own one is good for names in it only, so that a right to read is not needed.
    fn readable(&self) -> Result<OwnedFd, Errno> {
        openat(&self.fd, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }
}

/// A name in a folder.
#[derive(Debug)]
pub struct Place {
    pub folder: Folder,
    pub name: Vec<u8>,
    asker: Option<Asker>,
}

impl Place {
    /// Where `path`, which is absolute, leads; something need not be there.
    pub fn find(path: &str, bounds: &[Bound]) -> Result<Self, Refusal> {
        Walk::begin()?.finish(bounds, |walk| walk.name_that_links_end_at(path.as_bytes()))
    }

    /// The place that `path` names itself, be that a link or nothing yet.
    pub fn find_itself(path: &str) -> Result<Self, Refusal> {
        Walk::begin()?.finish(&[], |walk| {
            let (folders, name) = split(path.as_bytes())?;
            walk.through(folders)?;
            Ok(name.to_vec())
        })
    }

    /// The regular file there.
    pub fn open(&self, how: OFlags) -> Result<(File, Stat), Refusal> {
        let opened = self.folder.open(&self.name, how);
        match &self.asker {
            Some(asker) if !opened.as_ref().is_ok_and(|(_, stat)| stat.st_uid == asker.uid) => Err(asker.refused()),
            _ => opened,
        }
    }

    /// A file that was not there.
    pub fn create(&self, how: OFlags, mode: u32) -> Result<File, Refusal> {
        match &self.asker {
            Some(asker) if self.folder.stat.st_uid != asker.uid => Err(asker.refused()),
            _ => Ok(self.folder.create(&self.name, how, mode)?),
        }
    }
}

/// A folder under which a path must lead.
#[derive(Debug)]
pub struct Bound {
    /// Where it is from and what it is, for an error.
    pub name: String,
    stat: Stat,
}

impl Bound {
    pub fn at(path: &str, origin: &str) -> Result<Self, Refusal> {
        let through = |walk: &mut Walk| walk.through(path.as_bytes()).map(|()| Vec::new());
        let folder = Walk::begin()?.finish(&[], through)?.folder;
        Ok(Self { name: format!("{path}, which {origin} allows"), stat: folder.stat })
    }
}

/// Who put links on the way that are not root's.
#[derive(Debug, Clone)]
struct Asker {
    uid: u32,
    link: String,
}

impl Asker {
    fn refused(&self) -> Refusal {
        let Self { uid, link } = self;
        Refusal::Rule(format!(
            "the symbolic link {link} of user {uid} is not followed: it does not lead to a file of that user's"
        ))
    }
}

/// On the way.
struct Walk {
    /// From the root folder to where it stands. `..` goes back on it, so that a folder that is moved meanwhile leads
    /// nowhere else.
    folders: Vec<Folder>,
    asker: Option<Asker>,
    links: usize,
}

impl Walk {
    fn begin() -> Result<Self, Refusal> {
        let root = openat(CWD, c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { folders: vec![Folder::of(root)?], asker: None, links: 0 })
    }

    /// Goes `way`, which ends in a name. An error says no more than who put links on the way may know, and nothing
    /// of what lies out of bounds.
    fn finish(
        mut self,
        bounds: &[Bound],
        way: impl FnOnce(&mut Self) -> Result<Vec<u8>, Refusal>,
    ) -> Result<Place, Refusal> {
        let found = way(&mut self);
        let outside = |bound: &&Bound| !self.folders.iter().any(|folder| is_same(&folder.stat, &bound.stat));
        if let Some(bound) = bounds.iter().find(outside) {
            return Err(Refusal::Rule(format!("is not under {}", bound.name)));
        }
        let name = match (found, &self.asker) {
            (Err(_), Some(asker)) => return Err(asker.refused()),
            (found, _) => found?,
        };
        let folder = self.folders.pop().ok_or(Errno::NOENT)?;
        Ok(Place { folder, name, asker: self.asker })
    }

    fn name_that_links_end_at(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut path = path.to_vec();
        loop {
            let (folders, name) = split(&path)?;
            self.through(folders)?;
            match self.follow(name)? {
                Some(target) => path = target,
                None => return Ok(name.to_vec()),
            }
        }
    }

    /// Through folders, and links to folders.
    fn through(&mut self, path: &[u8]) -> Result<(), Refusal> {
        if path.len() > LONGEST_PATH {
            return Err(Errno::NAMETOOLONG.into());
        }
        let mut ahead = Vec::new();
        self.put_ahead(path, &mut ahead);
        while let Some(name) = ahead.pop() {
            match &*name {
                b"." => {}
                b".." if self.folders.len() == 1 => {}
                b".." => drop(self.folders.pop()),
                name => match self.enter(name) {
                    Ok(()) => {}
                    // One that is no folder, which a link to one is not either.
                    Err(Errno::NOTDIR | Errno::LOOP) => {
                        let target = self.follow(name)?.ok_or(Errno::NOTDIR)?;
                        self.put_ahead(&target, &mut ahead);
                    }
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Ok(())
    }

    fn put_ahead(&mut self, path: &[u8], ahead: &mut Vec<Vec<u8>>) {
        if path.starts_with(b"/") {
            self.folders.truncate(1);
        }
        ahead.extend(path.split(|byte| *byte == b'/').rev().filter(|name| !name.is_empty()).map(<[u8]>::to_vec));
    }

    fn enter(&mut self, name: &[u8]) -> Result<(), Errno> {
        // O_DIRECTORY, because without it a folder that is mounted on demand would not be.
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(&self.here()?.fd, name, how, Mode::empty())?;
        self.folders.push(Folder::of(folder)?);
        Ok(())
    }

    /// Where the link `name` points, if it is one and may be followed.
    fn follow(&mut self, name: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let here = self.here()?;
        let opened = openat(&here.fd, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let link = match opened {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened?,
        };
        let stat = fstat(&link)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(None);
        }
        let shown = String::from_utf8_lossy(name).into_owned();
        if others_may_write(&here.stat) && !is_sticky(&here.stat) {
            let why = format!("the symbolic link {shown} is not followed: not only its owner may write its folder");
            return Err(Refusal::Rule(why));
        }
        for uid in [here.stat.st_uid, stat.st_uid].into_iter().filter(|uid| !is_trusted(*uid)) {
            let asker = self.asker.get_or_insert_with(|| Asker { uid, link: shown.clone() });
            if asker.uid != uid {
                return Err(asker.refused());
            }
        }
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = readlinkat(&link, c"", Vec::new())?; // of this very link, whatever bears its name by now
        Ok(Some(target.into_bytes()))
    }

    fn here(&self) -> Result<&Folder, Errno> {
        self.folders.last().ok_or(Errno::NOENT)
    }
}

/// The folders of a path and the name at its end.
fn split(path: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (folders, name) = path.split_at(at);
    match name {
        b"" | b"." | b".." => Err(Errno::ISDIR.into()),
        name => Ok((folders, name)),
    }
}

/// Whether both are the same file.
pub fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Root, or the user that this process runs as.
pub fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// Whether the group or everybody may. An access control list that lets somebody else write shows in the group's bits.
pub fn others_may_write(stat: &Stat) -> bool {
    stat.st_mode & 0o022 != 0
}

/// Where only the owners of an entry and of the folder may rename or remove it.
fn is_sticky(stat: &Stat) -> bool {
    stat.st_mode & 0o1000 != 0
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    /// `real/file` in a folder of ours.
    fn ground() -> tempfile::TempDir {
        let ground = tempfile::tempdir().expect("a folder");
        fs::create_dir(ground.path().join("real")).expect("made");
        fs::write(ground.path().join("real/file"), "words").expect("written");
        ground
    }

    fn find(path: &Path, bounds: &[Bound]) -> Result<Vec<u8>, String> {
        let place = Place::find(path.to_str().expect("UTF-8"), bounds).map_err(|refusal| refusal.to_string())?;
        place.open(OFlags::RDONLY).map(|_| place.name).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn links_of_ours_are_followed_as_the_kernel_does() {
        let ground = ground();
        let at = |name: &str| ground.path().join(name);
        symlink("real/file", at("file")).expect("a link");
        symlink(at("real"), at("folder")).expect("a link");
        symlink("folder/../folder/../real/./", at("again")).expect("a link");
        symlink("loop", at("loop")).expect("a link");
        symlink("nothing", at("dangling")).expect("a link");
        for path in ["file", "folder/file", "again/file", "real/../real//file", "again/../file"] {
            assert_eq!(find(&at(path), &[]), Ok(b"file".to_vec()), "{path}");
        }
        for (path, words) in [
            ("loop", "too many levels of symbolic links"),
            ("dangling", "no such file or directory"),
            ("none/file", "no such file or directory"),
            ("real/file/x", "not a directory"),
            ("real", "is a directory"),
            ("real/file/..", "is a directory"),
        ] {
            assert_eq!(find(&at(path), &[]), Err(words.to_owned()), "{path}");
        }
        assert_eq!(find(Path::new("/dev/null"), &[]), Err("is not a regular file".to_owned()));
        assert_eq!(find(Path::new("/"), &[]), Err("is a directory".to_owned()));
        assert_eq!(find(Path::new(&"/x".repeat(5_000)), &[]), Err("file name too long".to_owned()));
        assert_eq!(find(Path::new("/tmp/\0"), &[]), Err("invalid argument".to_owned()));
    }

    #[test]
    fn a_link_in_a_folder_of_everybodys_is_not_followed_unless_that_is_sticky() {
        let ground = ground();
        let link = ground.path().join("link");
        symlink("real/file", &link).expect("a link");
        for (mode, followed) in [(0o770, false), (0o707, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(ground.path(), fs::Permissions::from_mode(mode)).expect("mode");
            assert_eq!(find(&link, &[]).is_ok(), followed, "{mode:o}");
        }
    }

    #[test]
    fn out_of_bounds_nothing_is_told_apart() {
        let ground = ground();
        let at = |name: &str| ground.path().join(name);
        fs::create_dir(at("real-not")).expect("made");
        fs::write(at("real-not/file"), "words").expect("written");
        symlink("../real-not/file", at("real/out")).expect("a link");
        symlink("real/file", at("in")).expect("a link");
        let bounds = [Bound::at(at("real").to_str().expect("UTF-8"), "it").expect("a folder")];
        for path in ["real/file", "in", "real-not/../real/file"] {
            assert!(find(&at(path), &bounds).is_ok(), "{path}");
        }
        assert_eq!(find(&at("real/nothing"), &bounds), Err("no such file or directory".to_owned()));
        let words = format!("is not under {}, which it allows", at("real").display());
        for path in ["real-not/file", "real-not/nothing", "nothing/x", "real/out", "real/../real-not/file", "real"] {
            assert_eq!(find(&at(path), &bounds), Err(words.clone()), "{path}");
        }
    }

    /// glibc's are the same but for their first letter.
    #[cfg(target_env = "gnu")]
    #[test]
    fn what_a_system_call_comes_to_is_said_in_go_s_words() {
        let known = (1..134).map(Errno::from_raw_os_error).filter_map(|error| Some((error, words(error)?)));
        for (error, words) in known {
            let told = std::io::Error::from(error).to_string().to_lowercase();
            assert_eq!(told, format!("{words} (os error {})", error.raw_os_error()));
        }
    }
}
