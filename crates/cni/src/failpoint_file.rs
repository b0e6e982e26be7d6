//! The failpoint file: locked, read, evaluated, and stored again, so that counts are exact whoever else does the same.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

use rustix::fs::{Gid, Mode, OFlags, Stat, Uid, XattrFlags, fchmod, fchown, fgetxattr, fsetxattr, fsync};
use rustix::io::Errno;
use serde_json::value::RawValue;

use super::answer::CniError;
use super::environment::Command;
use super::lock::Lock;
use super::object::{Object, quoted};
use super::place::{Bound, Folder, Place, Refusal, is_same, others_may_write};
use super::runtime_watch::RuntimeWatch;
use holdfast_failpoint::{Action, Dialect, Draw, Terms};

/// How long somebody is waited for who keeps the file from being opened.
const LEASE_PATIENCE: Duration = Duration::from_secs(2);
/// How often a file is read again that somebody has replaced without the lock.
const MOST_TRIES: usize = 20;
/// More than any failpoint needs.
const MAX_SIZE: u64 = 16 << 20;
/// The attribute that holds a file's access control list.
const ACCESS_LIST: &CStr = c"system.posix_acl_access";

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
#[derive(Debug)]
pub struct FailpointFile {
    pub path: String,
    /// Under each of these, where the administrator says so.
    bounds: Vec<Bound>,
}

/// The file as it was found, after a hit.
struct Seen {
    fired: Option<Fired>,
    conf: Conf,
    file: File,
    stat: Stat,
}

/// What a hit asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    pub actions: Vec<Action>,
    pub draw: Draw,
}

impl FailpointFile {
    /// The path must be absolute, and so must those of the folders under which it must lead. Each of these comes with
    /// the name of the setting that it is from.
    pub fn at(path: &str, roots: &[(&str, &str)]) -> Result<Self, CniError> {
        if !path.starts_with('/') {
            return Err(CniError::internal(format!("failpoint confPath({path}) is required to be absolute")));
        }
        let bounds = roots.iter().map(|(root, origin)| {
            let wrong = |why: String| CniError::new(CniError::CONFIG, format!("{origin}({root}) {why}"));
            if !root.starts_with('/') {
                return Err(wrong("is required to be absolute".to_owned()));
            }
            Bound::at(root, origin).map_err(|refusal| wrong(format!("is no folder to be had: {refusal}")))
        });
        Ok(Self { path: path.to_owned(), bounds: bounds.collect::<Result<_, _>>()? })
    }

    /// One hit of `point`: what fires. The counts are stored before this returns.
    pub fn evaluate(&self, point: Point, watch: &RuntimeWatch) -> Result<Option<Fired>, CniError> {
        let place = Place::find(&self.path, &self.bounds).map_err(|refusal| self.cannot_open(&refusal))?;
        let seen = self.hit(&place, point, watch)?;
        if !seen.conf.changed {
            return Ok(seen.fired); // what is stored is whole, so that nobody needs a lock to read it
        }
        let cannot_store =
            |refusal| CniError::internal(format!("failed to store failpoint conf {}: {refusal}", self.path));
        let lock = Lock::take(&place, &seen.stat, watch).map_err(cannot_store)?.ok_or_else(|| self.locked(&place))?;
        for _ in 0..MOST_TRIES {
            let seen = self.hit(&place, point, watch)?;
            if !seen.conf.changed || store(&place, &lock, &seen).map_err(cannot_store)? {
                return Ok(seen.fired);
            }
        }
        let why =
            format!("failpoint confPath {} is replaced all the time by a process that does not lock it", self.path);
        Err(CniError::new(CniError::TRY_AGAIN, why))
    }

    /// What the file says by now, and what of it fires.
    fn hit(&self, place: &Place, point: Point, watch: &RuntimeWatch) -> Result<Seen, CniError> {
        let mut opened = Err(Refusal::System(Errno::WOULDBLOCK));
        // Who has a lease on the file keeps others from opening it for a while.
        let _ = watch.wait_until(LEASE_PATIENCE, || {
            opened = place.open(OFlags::RDONLY);
            !matches!(opened, Err(Refusal::System(Errno::WOULDBLOCK)))
        });
        let (mut file, stat) = opened.map_err(|refusal| match refusal {
            Refusal::System(Errno::WOULDBLOCK) => {
                let why = format!("failpoint confPath {} is kept by a process that has a lease on it", self.path);
                CniError::new(CniError::TRY_AGAIN, why)
            }
            refusal => self.cannot_open(&refusal),
        })?;
        let mut text = Vec::new();
        // What has no size and still can be read is no file of anybody's, but the kernel talking.
        let limit = if stat.st_size == 0 { 0 } else { MAX_SIZE + 1 };
        let read = (&mut file).take(limit).read_to_end(&mut text).map_err(Refusal::from);
        read.map_err(|why| CniError::internal(format!("failed to read confPath {}: {why}", self.path)))?;
        if text.len() as u64 > MAX_SIZE {
            let why = Refusal::Rule(format!("has more than the {MAX_SIZE} bytes that are read"));
            return Err(self.cannot_open(&why));
        }
        let wrong = |why| CniError::internal(format!("failed to unmarshal failpoint conf {}: {why}", self.path));
        let mut conf = Conf::read(&text).map_err(wrong)?;
        Ok(Seen { fired: conf.hit(point)?, conf, file, stat })
    }

    fn cannot_open(&self, why: &Refusal) -> CniError {
        CniError::internal(format!("failed to open confPath {0}: open {0}: {why}", self.path))
    }

    fn locked(&self, place: &Place) -> CniError {
        let lock = Lock::name(place);
        let lock = String::from_utf8_lossy(&lock);
        let why = "another process holds it and does not let go; end that, or remove the file";
        CniError::new(CniError::TRY_AGAIN, format!("failpoint confPath {} is locked by {lock}: {why}", self.path))
    }
}

/// Whole or not at all, on the disk when it returns; false where what was seen is there no longer.
fn store(place: &Place, lock: &Lock, seen: &Seen) -> Result<bool, Refusal> {
    let Place { folder, name, .. } = place;
    let draft = lock.draft_name();
    let mut new = folder.create(&draft, OFlags::WRONLY, 0o600)?;
    let stored = new.write_all(seen.conf.write().as_bytes()).map_err(Refusal::from).and_then(|()| {
        keep_owner_and_mode(&new, folder, seen)?;
        fsync(&new)?;
        let is_still_there = folder.look(name).is_ok_and(|now| is_same(&now, &seen.stat));
        if is_still_there {
            folder.rename(&draft, name)?;
        }
        Ok(is_still_there)
    });
    if stored != Ok(true) {
        let _ = folder.remove(&draft); // gone already, perhaps
    }
    if stored? {
        folder.sync()?;
        return Ok(true);
    }
    Ok(false)
}

/// The new file is the old one's owner's, who wrote what is in it, and may be read and written by the same.
///
/// Nothing that a user wrote becomes root's: a file of root's that others may write, in a folder where others may put
/// one, is refused. Nothing that was root's becomes a user's either, who may have only linked it there. And no file is
/// executed with its owner's rights afterwards, whatever the old one was.
fn keep_owner_and_mode(new: &File, folder: &Folder, seen: &Seen) -> Result<(), Refusal> {
    let old = &seen.stat;
    if old.st_uid == 0 && others_may_write(old) && !folder.is_ours_alone() {
        let why = "it is root's but others may write it, in a folder where others may write: take that right from them \
                   (chmod go-w), or give it to its user (chown)";
        return Err(Refusal::Rule(why.to_owned()));
    }
    fchown(new, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
    fchmod(new, Mode::from_raw_mode(old.st_mode & 0o777))?;
    // With an access control list, the group's bits are what anybody on it may have. Without it they are the group's.
    let mut list = vec![0; 64 << 10];
    if let Ok(length) = fgetxattr(&seen.file, ACCESS_LIST, &mut list[..]) {
        fsetxattr(new, ACCESS_LIST, &list[..length], XattrFlags::empty())?;
    }
    Ok(())
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
    /// An error holds nothing of the text, which may be any file of root's that somebody named.
    fn read(text: &[u8]) -> Result<Self, String> {
        let object = Object::read(text)?;
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
                    conf.points[point] =
                        serde_json::from_str(value.get()).map_err(|_| format!("{name} is no string"))?;
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
            let error = shown(&error.to_string());
            CniError::internal(format!("failed to parse failpoint {}: {error}", shown(&written)))
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

/// An error must not be as long as what it complains about, and must not steer the terminal that shows it.
fn shown(text: &str) -> String {
    const SHOWN: usize = 500;
    let cut = text.char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| at);
    let mut shown = String::new();
    for character in text[..cut].chars() {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    if cut < text.len() { format!("{shown}… ({} bytes)", text.len()) } else { shown }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, FailpointFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("conf.json");
        fs::write(&path, text).expect("written");
        let path = path.to_str().expect("UTF-8").to_owned();
        (folder, FailpointFile::at(&path, &[]).expect("absolute"))
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
    fn an_error_holds_nothing_of_what_is_no_failpoint_file() {
        for text in ["SECRET", "\"SECRET\"", "{\"SECRET\"}", r#"{"cmdAdd":["SECRET"]}"#, "{\"a\":1}SECRET"] {
            let (_folder, file) = file(text);
            let error = file.evaluate(Point::Add, &RuntimeWatch::begin()).expect_err(text);
            assert!(error.message.contains("failed to unmarshal failpoint conf /"), "{}", error.message);
            assert!(!error.message.contains("SECRET"), "{}", error.message);
        }
    }

    #[test]
    fn terms_are_shown_in_part_and_harmlessly() {
        assert_eq!(shown("1*\u{1b}[2J\n"), "1*\\u{1b}[2J\\n");
        let long = shown(&"é".repeat(1_000_000));
        assert!(long.ends_with("… (2000000 bytes)") && long.chars().count() < 600);
    }

    #[test]
    fn nothing_stays_beside_the_file_and_what_was_left_there_goes() {
        let (folder, file) = file(r#"{"cmdAdd":"3*off"}"#);
        let drafts = [".conf.json.0123456789abcdef.cni-bridge-fp", ".conf.json.0123456789abcdex.cni-bridge-fp"];
        for draft in drafts {
            fs::write(folder.path().join(draft), "").expect("written");
        }
        let left = || {
            let entries = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("read").file_name());
            entries.collect::<BTreeSet<_>>()
        };
        file.evaluate(Point::Add, &RuntimeWatch::begin()).expect("evaluated");
        assert_eq!(left().len(), 3);
        // A lock that is held by nobody says that its holder was killed.
        let lock = folder.path().join(".conf.json.cni-bridge-fp.lock");
        fs::write(&lock, "").expect("written");
        fs::set_permissions(&lock, fs::Permissions::from_mode(0o600)).expect("mode");
        file.evaluate(Point::Add, &RuntimeWatch::begin()).expect("evaluated");
        assert_eq!(left(), BTreeSet::from(["conf.json", drafts[1]].map(OsString::from)));
    }

    #[test]
    fn mode_and_symlink_are_kept() {
        let (folder, file) = file(r#"{"cmdAdd":"1*off"}"#);
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o640)).expect("mode");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("conf.json", &link).expect("a link");
        let through = FailpointFile::at(link.to_str().expect("UTF-8"), &[]).expect("absolute");
        through.evaluate(Point::Add, &RuntimeWatch::begin()).expect("evaluated");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        let metadata = fs::metadata(&file.path).expect("there");
        assert_eq!(metadata.mode() & 0o7777, 0o640);
        assert_eq!(fs::read_to_string(&file.path).expect("read"), r#"{"cmdAdd":"0*off"}"#);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }
}
