//! The failpoint file: locked, read, evaluated, and stored again, so that counts are exact whoever else does the same.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use serde_json::value::RawValue;

use super::answer::CniError;
use super::environment::Command;
use super::object::{Object, quoted};
use super::runtime_watch::RuntimeWatch;
use holdfast_failpoint::{Action, Dialect, Draw, Terms};

/// How long another holder of the lock is waited for; each holds it for milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);
/// More than any failpoint needs.
const MAX_SIZE: u64 = 16 << 20;

/// A place where a fault can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    Add,
    Del,
    Check,
    AddAfter,
    DelAfter,
    CheckAfter,
    Gc,
    Status,
}

impl Point {
    /// As they are written into a file, containerd's first.
    pub const ALL: [Self; 8] =
        [Self::Add, Self::Del, Self::Check, Self::AddAfter, Self::DelAfter, Self::CheckAfter, Self::Gc, Self::Status];

    /// Its key in the file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Add => "cmdAdd",
            Self::Del => "cmdDel",
            Self::Check => "cmdCheck",
            Self::AddAfter => "cmdAddAfter",
            Self::DelAfter => "cmdDelAfter",
            Self::CheckAfter => "cmdCheckAfter",
            Self::Gc => "cmdGc",
            Self::Status => "cmdStatus",
        }
    }

    /// What it does, in a line.
    pub fn help(self) -> &'static str {
        match self {
            Self::Add => "before bridge adds an interface",
            Self::Del => "before bridge deletes an interface",
            Self::Check => "before bridge checks an interface",
            Self::AddAfter => "after bridge added an interface, before that is answered",
            Self::DelAfter => "after bridge deleted an interface, before that is answered",
            Self::CheckAfter => "after bridge checked an interface, before that is answered",
            Self::Gc => "before bridge collects what no attachment needs",
            Self::Status => "before bridge says whether it is ready",
        }
    }

    pub fn before(command: Command) -> Option<Self> {
        match command {
            Command::Add => Some(Self::Add),
            Command::Del => Some(Self::Del),
            Command::Check => Some(Self::Check),
            Command::Gc => Some(Self::Gc),
            Command::Status => Some(Self::Status),
            Command::Version => None,
        }
    }

    pub fn after(command: Command) -> Option<Self> {
        match command {
            Command::Add => Some(Self::AddAfter),
            Command::Del => Some(Self::DelAfter),
            Command::Check => Some(Self::CheckAfter),
            Command::Gc | Command::Status | Command::Version => None,
        }
    }

    pub fn is_after(self) -> bool {
        matches!(self, Self::AddAfter | Self::DelAfter | Self::CheckAfter)
    }
}

/// Where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailpointFile {
    pub path: String,
}

/// What a hit asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    pub actions: Vec<Action>,
    pub draw: Draw,
}

impl FailpointFile {
    /// The path must be absolute.
    pub fn at(path: &str) -> Result<Self, CniError> {
        if path.starts_with('/') {
            Ok(Self { path: path.to_owned() })
        } else {
            Err(CniError::internal(format!("failpoint confPath({path}) is required to be absolute")))
        }
    }

    /// One hit of `point`: what fires. The counts are stored before this returns.
    pub fn evaluate(&self, point: Point, watch: &RuntimeWatch) -> Result<Option<Fired>, CniError> {
        let mut file = self.lock(watch)?;
        let mut text = Vec::new();
        let read = file.read_to_end(&mut text);
        read.map_err(|error| CniError::internal(format!("failed to read confPath {}: {}", self.path, plain(&error))))?;
        let mut conf = Conf::read(&text)?;
        let fired = conf.hit(point)?;
        if conf.changed {
            self.store(&file, conf.write().as_bytes()).map_err(|error| {
                CniError::internal(format!("failed to store failpoint conf {}: {}", self.path, plain(&error)))
            })?;
        }
        Ok(fired)
    }

    /// Opens and locks what the path leads to. Whoever stores renames another file over it, so a lock on a file that
    /// the path no longer leads to is worth nothing.
    fn lock(&self, watch: &RuntimeWatch) -> Result<File, CniError> {
        let cannot =
            |what: &str| CniError::internal(format!("failed to open confPath {0}: open {0}: {what}", self.path));
        loop {
            let opened = OpenOptions::new()
                .read(true)
                .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default()) // a fifo must not hold us
                .open(&self.path);
            let file = opened.map_err(|error| cannot(&plain(&error)))?;
            let metadata = file.metadata().map_err(|error| cannot(&plain(&error)))?;
            if metadata.is_dir() {
                return Err(cannot("is a directory"));
            }
            if !metadata.is_file() {
                return Err(cannot("is not a regular file"));
            }
            if metadata.len() > MAX_SIZE {
                return Err(cannot(&format!("has {} bytes, at most {MAX_SIZE} are read", metadata.len())));
            }
            let locked = wait_for_lock(&file, watch).map_err(|error| cannot(&plain(&error)))?;
            if !locked {
                let why = format!("failpoint confPath {} is locked by another process", self.path);
                return Err(CniError::new(CniError::TRY_AGAIN, why));
            }
            let same =
                fs::metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == (metadata.dev(), metadata.ino()));
            if same {
                return Ok(file);
            }
        }
    }

    /// Whole or not at all, through the same name, mode, owner and symlink; on the disk when it returns.
    fn store(&self, old: &File, text: &[u8]) -> io::Result<()> {
        let target = fs::canonicalize(&self.path)?;
        let folder = target.parent().unwrap_or(Path::new("/"));
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let metadata = old.metadata()?;
        let draft = folder.join(format!(".{name}.{}", super::NAME));
        let stored = write_draft(&draft, &metadata, text).and_then(|()| fs::rename(&draft, &target));
        if stored.is_err() {
            let _ = fs::remove_file(&draft); // never made, perhaps
        }
        stored?;
        // From the rename on, another process may hold the lock and write a draft of its own.
        File::open(folder)?.sync_all()
    }
}

/// Who is killed while writing leaves a draft behind for the next to write over.
fn write_draft(draft: &Path, like: &fs::Metadata, text: &[u8]) -> io::Result<()> {
    let mut new = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default())
        .open(draft)?;
    new.write_all(text)?;
    std::os::unix::fs::fchown(&new, Some(like.uid()), Some(like.gid()))?;
    new.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
    new.sync_all()
}

fn wait_for_lock(file: &File, watch: &RuntimeWatch) -> io::Result<bool> {
    let mut failed = None;
    let taken =
        watch.wait_until(LOCK_PATIENCE, || match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => false,
            Err(error) => failed.insert(error).raw_os_error() != 0,
        });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(taken.unwrap_or(false)),
    }
}

/// An error in the words of Go's system calls: `no such file or directory`.
fn plain(error: &io::Error) -> String {
    let words = error.to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    let mut characters = words.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// What the file says.
struct Conf {
    points: [String; Point::ALL.len()],
    seed: u64,
    /// How often each point was passed, stored where chance decides: draws go by it.
    passes: BTreeMap<String, u64>,
    unknown: Vec<(String, Box<RawValue>)>,
    changed: bool,
}

const SEED: &str = "seed";
const PASSES: &str = "passes";

impl Conf {
    fn read(text: &[u8]) -> Result<Self, CniError> {
        let wrong = |why: String| {
            let shown = String::from_utf8_lossy(text);
            CniError::internal(format!("failed to unmarshal failpoint conf {}: {why}", shortened(&shown)))
        };
        let object = Object::read(text).map_err(wrong)?;
        let passes: Option<BTreeMap<String, u64>> = object.value(PASSES);
        let counts_passes = passes.is_some();
        let mut conf = Self {
            points: Default::default(),
            seed: object.value(SEED).unwrap_or_default(),
            passes: passes.unwrap_or_default(),
            unknown: Vec::new(),
            changed: false,
        };
        for (name, value) in object.members {
            let point = Point::ALL.iter().position(|point| same_key(point.key(), &name));
            match point {
                Some(_) if value.get() == "null" => {}
                Some(point) => {
                    conf.points[point] = serde_json::from_str(value.get())
                        .map_err(|_| wrong(format!("{name} is no string: {}", shortened(value.get()))))?;
                }
                None if name == PASSES && counts_passes => {} // ours
                None => conf.unknown.push((name, value)),
            }
        }
        Ok(conf)
    }

    fn hit(&mut self, point: Point) -> Result<Option<Fired>, CniError> {
        let at = Point::ALL.iter().position(|known| *known == point).unwrap_or_default();
        let written = self.points[at].clone();
        if written.is_empty() {
            return Ok(None);
        }
        let parsed = Terms::parse(&written, Dialect::Extended);
        let mut terms = parsed.map_err(|error| {
            CniError::internal(format!("failed to parse failpoint {}: {error}", shortened(&written)))
        })?;
        let pass = self.pass(point, terms.draws());
        let draw = Draw::new(self.seed, point.key(), pass);
        let before = terms.clone();
        let fired = terms.fire(draw).map(|actions| Fired { actions, draw });
        if terms != before {
            self.points[at] = terms.to_string();
            self.changed = true;
        }
        Ok(fired)
    }

    /// The number of this pass; kept only where chance goes by it.
    fn pass(&mut self, point: Point, draws: bool) -> u64 {
        if !draws {
            return 1;
        }
        self.changed = true;
        let passes = self.passes.entry(point.key().to_owned()).or_default();
        *passes = passes.saturating_add(1);
        *passes
    }

    /// As containerd writes it; what containerd does not know comes after.
    fn write(&self) -> String {
        let known = Point::ALL.iter().zip(&self.points).filter(|(_, terms)| !terms.is_empty());
        let known = known.map(|(point, terms)| format!("{}:{}", quoted(point.key()), quoted(terms)));
        let passes: Vec<_> = self.passes.iter().map(|(name, count)| format!("{}:{count}", quoted(name))).collect();
        let passes = (!passes.is_empty()).then(|| format!("{}:{{{}}}", quoted(PASSES), passes.join(",")));
        let unknown = self.unknown.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.get()));
        format!("{{{}}}", known.chain(unknown).chain(passes).collect::<Vec<_>>().join(","))
    }
}

/// As Go matches a key: in any case, the Kelvin sign and the long s included.
fn same_key(key: &str, written: &str) -> bool {
    let folded = |c: char| match c {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(folded).eq(written.chars().map(folded))
}

/// An error must not be as long as what it complains about.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 2_000;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, FailpointFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf.json");
        fs::write(&path, text).expect("written");
        let path = path.to_str().expect("UTF-8").to_owned();
        (folder, FailpointFile { path })
    }

    fn after_hits(text: &str, hits: usize) -> String {
        let (_folder, file) = file(text);
        let watch = RuntimeWatch::begin();
        for _ in 0..hits {
            file.evaluate(Point::Add, &watch).expect("evaluated");
        }
        fs::read_to_string(&file.path).expect("read")
    }

    #[test]
    fn it_is_written_as_containerd_writes_it() {
        let before = r#" { "cmdDel": "1*error(a<b)", "CMDADD": "02*panic(x&y)->1*off", "cmdCheck": "" } "#;
        let after = r#"{"cmdAdd":"1*panic(x\u0026y)-\u003e1*off","cmdDel":"1*error(a\u003cb)"}"#;
        assert_eq!(after_hits(before, 1), after);
    }

    #[test]
    fn what_it_does_not_know_is_kept_as_it_is_spelled() {
        let before = r#"{"mine": {"b": 1.50, "a": [ ]}, "cmdAdd": "1*off", "other": "<"}"#;
        assert_eq!(after_hits(before, 1), r#"{"cmdAdd":"0*off","mine":{"b": 1.50, "a": [ ]},"other":"<"}"#);
        let theirs = r#"{"cmdAdd":"1*off","passes":"theirs"}"#;
        assert_eq!(after_hits(theirs, 1), theirs.replace("1*", "0*"));
    }

    #[test]
    fn nothing_is_written_when_nothing_changes() {
        for text in
            [" {\"cmdAdd\": \"0*off\"}", " {\"cmdDel\": \"1*off\"}", " {\"cmdAdd\": \"error(x)\"}", " null", "{}"]
        {
            assert_eq!(after_hits(text, 2), text);
        }
    }

    #[test]
    fn the_last_duplicate_wins_and_null_is_nothing() {
        let text = r#"{"cmdAdd":"1*error(a)","cmdadd":"2*off","cmdAdd":null}"#;
        assert_eq!(after_hits(text, 1), r#"{"cmdAdd":"1*off"}"#);
    }

    #[test]
    fn chance_is_drawn_by_the_number_of_the_pass_which_is_stored() {
        let text = r#"{"seed":5,"cmdAdd":"50%error(x)"}"#;
        assert_eq!(after_hits(text, 3), r#"{"cmdAdd":"50%error(x)","seed":5,"passes":{"cmdAdd":3}}"#);
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_is() {
        for text in ["", "{", "{} x", "[]", r#"{"cmdAdd":1}"#, r#"{"cmdAdd":"1*of"}"#] {
            let (_folder, file) = file(text);
            let error = file.evaluate(Point::Add, &RuntimeWatch::begin()).expect_err(text);
            assert_eq!(error.code, CniError::INTERNAL);
            assert_eq!(fs::read_to_string(&file.path).expect("read"), text);
        }
    }

    #[test]
    fn mode_and_symlink_are_kept() {
        let (folder, file) = file(r#"{"cmdAdd":"1*off"}"#);
        fs::set_permissions(&file.path, Permissions::from_mode(0o640)).expect("mode");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("conf.json", &link).expect("a link");
        let through = FailpointFile { path: link.to_str().expect("UTF-8").to_owned() };
        through.evaluate(Point::Add, &RuntimeWatch::begin()).expect("evaluated");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        let metadata = fs::metadata(&file.path).expect("there");
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        assert_eq!(fs::read_to_string(&file.path).expect("read"), r#"{"cmdAdd":"0*off"}"#);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }
}
