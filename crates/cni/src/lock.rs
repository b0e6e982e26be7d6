//! The lock of a failpoint file, which is a file of its own.
//!
//! Whoever can open a file can lock it: for reading is enough for `flock`, and a reader's lock keeps a writer's away
//! with `fcntl` too. So nothing that a reader may open can be a lock that only a writer can hold. This one lies beside
//! the failpoint file, with mode 0600, as long as somebody holds it: only who may write in that folder can make it.
//! Whoever is killed leaves it behind, unlocked, for the next to take.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat};
use rustix::io::Errno;

use super::place::{Folder, Place, Refusal, is_same, is_trusted};
use super::runtime_watch::RuntimeWatch;

/// How long a user is waited for who holds it. Each holds it for milliseconds, but one who wants to, for ever.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is waited for while it is other invocations that hold it, one after the other, on a slow disk perhaps.
const LONGEST: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(2);
/// So many names of a folder are looked at for drafts of those who were killed.
const LOOKED_AT: usize = 10_000;

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock<'a> {
    place: &'a Place,
    name: Vec<u8>,
    file: File,
}

/// What comes of one try.
enum Try {
    Taken(File),
    /// Somebody who was killed left it behind.
    Inherited(File),
    NotYet,
}

impl<'a> Lock<'a> {
    /// Waits for it; none where another does not let go of it, or the runtime ends.
    pub fn take(place: &'a Place, old: &Stat, watch: &RuntimeWatch) -> Result<Option<Self>, Refusal> {
        let name = Self::name(place);
        let end = Instant::now() + LONGEST;
        let mut patience = Instant::now() + PATIENCE;
        loop {
            match attempt(&place.folder, &name, old)? {
                Try::Taken(file) => return Ok(Some(Self { place, name, file })),
                Try::Inherited(file) => {
                    let lock = Self { place, name, file };
                    lock.remove_drafts();
                    return Ok(Some(lock));
                }
                Try::NotYet => {}
            }
            if place.folder.look(&name).is_ok_and(|lock| is_trusted(lock.st_uid)) {
                patience = Instant::now() + PATIENCE; // with that mode, nobody else can hold it
            }
            if Instant::now() >= patience.min(end) || watch.wait(Some(STEP)).is_err() {
                return Ok(None);
            }
        }
    }

    /// What it is called.
    pub fn name(place: &Place) -> Vec<u8> {
        [b".", &*place.name, b".", super::NAME.as_bytes(), b".lock"].concat()
    }

    /// A name for a new file that takes the place of the old, which nobody can guess.
    pub fn draft_name(&self) -> Vec<u8> {
        let random = format!("{:016x}", RandomState::new().build_hasher().finish());
        [b".", &*self.place.name, b".", random.as_bytes(), b".", super::NAME.as_bytes()].concat()
    }

    /// Nobody but the holder of the lock has a draft.
    fn remove_drafts(&self) {
        let (head, tail) = ([b".", &*self.place.name, b"."].concat(), format!(".{}", super::NAME));
        let middle = |name: &[u8]| {
            let middle = name.strip_prefix(&*head)?.strip_suffix(tail.as_bytes())?;
            (middle.len() == 16 && middle.iter().all(u8::is_ascii_hexdigit)).then_some(())
        };
        for name in self.place.folder.names(LOOKED_AT).unwrap_or_default() {
            if middle(name.to_bytes()).is_some() {
                let _ = self.place.folder.remove(name.to_bytes()); // litter, and no more
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if is_at(&self.place.folder, &self.name, &self.file) {
            let _ = self.place.folder.remove(&self.name); // the next takes it over
        }
    }
}

fn attempt(folder: &Folder, name: &[u8], old: &Stat) -> Result<Try, Refusal> {
    let (file, is_new) = match folder.create(name, OFlags::RDWR, 0o600) {
        Ok(file) => (file, true),
        Err(Errno::EXIST) => match open(folder, name, old)? {
            Some(file) => (file, false),
            None => return Ok(Try::NotYet),
        },
        Err(error) => return Err(error.into()),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(Try::NotYet),
        locked => locked?,
    }
    // Whoever held it has removed it: a lock that nobody finds is worth nothing.
    Ok(match (is_at(folder, name, &file), is_new) {
        (false, _) => Try::NotYet,
        (true, true) => Try::Taken(file),
        (true, false) => Try::Inherited(file),
    })
}

/// The lock that lies there. What was put in its way (a fifo, a link, a file of another or with another name) is
/// removed, unopened.
fn open(folder: &Folder, name: &[u8], old: &Stat) -> Result<Option<File>, Refusal> {
    match folder.look(name) {
        Ok(stat) if is_ours(&stat, folder, old) => {}
        Ok(_) => {
            return match folder.remove(name) {
                Ok(()) | Err(Errno::NOENT) => Ok(None),
                Err(error) => {
                    let name = String::from_utf8_lossy(name);
                    Err(Refusal::Rule(format!("{name} is in the way and cannot be removed: {}", Refusal::from(error))))
                }
            };
        }
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    match folder.open(name, OFlags::RDWR) {
        Ok((file, stat)) => Ok(is_ours(&stat, folder, old).then_some(file)),
        // Another user's, who holds it; or gone again.
        Err(Refusal::System(Errno::ACCESS | Errno::NOENT | Errno::WOULDBLOCK)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Made by somebody who may write the failpoint file anyway, for nobody else, and not elsewhere.
fn is_ours(lock: &Stat, folder: &Folder, old: &Stat) -> bool {
    let may_write = is_trusted(lock.st_uid) || [folder.stat.st_uid, old.st_uid].contains(&lock.st_uid);
    let is_file = FileType::from_raw_mode(lock.st_mode) == FileType::RegularFile;
    let others = Mode::from_raw_mode(lock.st_mode).intersects(Mode::RWXG | Mode::RWXO);
    is_file && may_write && !others && lock.st_nlink == 1
}

fn is_at(folder: &Folder, name: &[u8], file: &File) -> bool {
    matches!((folder.look(name), fstat(file)), (Ok(there), Ok(ours)) if is_same(&there, &ours))
}
