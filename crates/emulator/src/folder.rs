//! The folder that a chassis keeps its state in: one chassis at a time.

use std::fs::{File, OpenOptions, create_dir_all};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::Instant;

use super::trouble::advice;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::until;

/// The file that is locked for as long as a chassis has the folder; it names the process.
const LOCK: &str = "lock";
/// Names the process that made a temporary folder, so that one that was killed can be told by who cleans up.
const OWNER: &str = "owner";

/// A folder that nobody else has.
pub struct StateFolder {
    path: PathBuf,
    lock: Option<File>,
    /// Removed with the chassis, where no folder was given.
    temporary: Option<tempfile::TempDir>,
}

impl StateFolder {
    /// Takes `given`, or a temporary folder. An error says who has it.
    pub fn take(given: Option<&Path>) -> Result<Self> {
        let Some(path) = given else {
            let made = tempfile::Builder::new().prefix("holdfast-emulator-").tempdir();
            let owned = made.and_then(|folder| std::fs::write(folder.path().join(OWNER), owner()).map(|()| folder));
            let folder = owned.map_err(|error| {
                let usual = "give --state a folder, or TMPDIR one that there is room in";
                Error::invalid(format!("no temporary folder: {error}")).hint(advice(&error, usual))
            })?;
            return Ok(Self { path: folder.path().to_owned(), lock: None, temporary: Some(folder) });
        };
        let bad = |error: io::Error| bad_state(path, &error);
        create_dir_all(path).map_err(bad)?;
        let file = path.join(LOCK);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file);
        let mut lock = opened.map_err(bad)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(in_use(path, &mut lock)),
            Err(error) => return Err(bad(error.into())),
        }
        let named = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        named.map_err(bad)?;
        Ok(Self { path: path.to_owned(), lock: Some(lock), temporary: None })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets go of it, and removes it where it is temporary.
    pub async fn release(&mut self) {
        self.lock = None;
        if let Some(folder) = self.temporary.take() {
            remove(&folder.keep()).await;
        }
    }
}

/// This process, when it began in ticks since the machine did, and the namespace in which it has its number. As
/// scratch.py of Python writes it: a system without `/proc` says nothing of when, and the namespace is `unknown`.
pub fn owner() -> String {
    owner_by(Path::new("/proc/self"))
}

/// The same, of what `process` says of this process.
fn owner_by(process: &Path) -> String {
    let about = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
    let started = about.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19)).unwrap_or_default();
    let namespace = std::fs::read_link(process.join("ns/pid")).unwrap_or_else(|_| "unknown".into());
    format!("{} {started} {}", std::process::id(), namespace.display())
}

/// A state folder that cannot be used.
pub fn bad_state(path: &Path, error: &io::Error) -> Error {
    let usual = "give --state an empty folder, or one of this tool's";
    Error::invalid(format!("{}: {error}", path.display())).hint(advice(error, usual))
}

fn in_use(path: &Path, lock: &mut File) -> Error {
    let mut process = String::new();
    let owner = match lock.read_to_string(&mut process) {
        Ok(1..) => format!(", in process {process}"),
        _ => String::new(),
    };
    Error::invalid(format!("{} is in use by another emulated device{owner}", path.display()))
        .hint("give each emulated device a --state folder of its own, or stop the other one")
}

/// Removes a folder that calls which were cut off may write into for another moment.
async fn remove(folder: &Path) {
    let (deadline, look) = (Instant::now() + Duration::from_secs(2), Duration::from_millis(10));
    let removed =
        until(deadline, look, || async { std::fs::remove_dir_all(folder).or_else(|error| gone(folder, error)) });
    if let Err(error) = removed.await {
        tracing::warn!("{} cannot be removed: {error}", folder.display());
    }
}

fn gone(folder: &Path, error: io::Error) -> io::Result<()> {
    if folder.exists() { Err(error) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chassis::Chassis;
    use crate::settings::Settings;

    #[tokio::test]
    async fn a_second_chassis_on_a_folder_is_refused_until_the_first_has_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = || Settings { state: Some(folder.path().join("device")), ..Settings::default() };
        let mut first = Chassis::start(settings()).await.expect("a chassis");
        let error = Chassis::start(settings()).await.err().expect("the folder is in use").to_string();
        let owner = format!("in use by another emulated device, in process {}", std::process::id());
        assert!(error.contains(&owner), "{error}");
        assert!(first.control().exists(), "the first keeps its control socket");
        first.stop().await;
        Chassis::start(settings()).await.expect("it is free again");
    }

    #[test]
    fn a_process_is_named_by_its_number_alone_where_there_is_no_proc() {
        let empty = tempfile::tempdir().expect("a folder");
        assert_eq!(owner_by(empty.path()), format!("{}  unknown", std::process::id()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_named_by_when_it_began_and_its_namespace_too() {
        let owner = owner();
        let [number, started, namespace] = owner.split(' ').collect::<Vec<_>>()[..] else { panic!("{owner}") };
        assert_eq!(number, std::process::id().to_string());
        assert!(started.parse::<u64>().is_ok_and(|ticks| ticks > 0), "{owner}");
        assert!(namespace.starts_with("pid:["), "{owner}");
    }
}
