//! Writing a ledger: a record may be acknowledged once it is on the disk.

use std::fs::File;
use std::io;
use std::path::Path;

use super::medium::{Medium, OnFile};
use super::record::{BLOCK, Hash, Identity, MAX_PAYLOAD, Place, Record};

/// Why nothing is written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It could not be read or written.
    #[error("{name}: {error}")]
    Disk {
        /// Of the ledger.
        name: String,
        /// What went wrong.
        error: io::Error,
    },
    /// What is there is no ledger any more, and is left as it is.
    #[error("{name}: damaged after record {after}")]
    Damaged {
        /// Of the ledger.
        name: String,
        /// The last record that can be read and is bound to those before it.
        after: u64,
    },
    /// A write failed, and what is on the disk is not known until the ledger is opened again.
    #[error("{name}: a write failed before")]
    Unknown {
        /// Of the ledger.
        name: String,
    },
    /// Whoever was started again must not write in the name of its own past.
    #[error("{name}: incarnation {incarnation} has written already")]
    Begun {
        /// Of the ledger.
        name: String,
        /// That was to be a new one.
        incarnation: u64,
    },
    /// A record does not take so much.
    #[error("a record takes {MAX_PAYLOAD} bytes, and {length} came")]
    TooLong {
        /// Of the payload, in bytes.
        length: usize,
    },
}

/// Who writes, as far as the opener says; the rest is told by what is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// The test, or 0 where a container does not know it.
    pub run: u128,
    /// The writer.
    pub writer: u64,
    /// Its incarnation; one more than the last that wrote, where none is given.
    pub incarnation: Option<u64>,
    /// Records are written over one another in so many places; appended, where none is given.
    pub places: Option<u64>,
    /// Refused where this incarnation, or a later one of the same writer, has written: a container that its cluster
    /// starts again would go on in the name of one that is known to be dead.
    pub is_new: bool,
}

/// One incarnation that writes a ledger.
pub struct Writer<M: Medium = OnFile> {
    name: String,
    medium: M,
    identity: Identity,
    places: Option<u64>,
    last: u64,
    hash: Hash,
    reserved: u64,
    failed: bool,
}

impl Writer {
    /// Opens or makes the ledger at `path`, which grows with each record. A torn last one, which nobody was ever told
    /// of, is cut off.
    pub fn open(path: &Path, opening: Opening) -> Result<Self, Refused> {
        let name = path.display().to_string();
        let disk = |error| Refused::Disk { name: name.clone(), error };
        let opened = Self::over(OnFile::growing(path).map_err(disk)?, &name, opening)?;
        sync_folder(path).map_err(disk)?;
        Ok(opened)
    }
}

/// Makes sure that the name of a file is there to stay.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

impl<M: Medium> Writer<M> {
    /// Goes on with the ledger on `medium`; `name` is for errors.
    pub fn over(mut medium: M, name: &str, opening: Opening) -> Result<Self, Refused> {
        let disk = |error| Refused::Disk { name: name.to_owned(), error };
        let length = medium.length().map_err(disk)?;
        let mut tail = Tail { writer: (opening.run, opening.writer), ..Tail::default() };
        let over = opening.places.is_some();
        medium.scan(length, &mut |offset, bytes| tail.pass(offset, Place::of(bytes), over)).map_err(disk)?;
        let end = match opening.places {
            Some(places) => places * BLOCK as u64,
            None => tail.last * BLOCK as u64,
        };
        if tail.damaged {
            return Err(Refused::Damaged { name: name.to_owned(), after: tail.last });
        }
        if let Some(incarnation) = opening.incarnation.filter(|given| opening.is_new && tail.own >= *given) {
            return Err(Refused::Begun { name: name.to_owned(), incarnation });
        }
        if opening.places.is_none() && length > end && length % BLOCK as u64 != 0 {
            medium.cut(end).map_err(disk)?;
        }
        medium.reserve(end).and_then(|()| medium.sync()).map_err(disk)?;
        let incarnation = opening.incarnation.unwrap_or(tail.incarnation + 1);
        Ok(Self {
            name: name.to_owned(),
            medium,
            identity: Identity { run: opening.run, writer: opening.writer, incarnation },
            places: opening.places,
            last: tail.last,
            hash: tail.hash,
            reserved: end,
            failed: false,
        })
    }

    /// Who writes.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether each record needs a place of its own.
    pub fn is_growing(&self) -> bool {
        self.places.is_none()
    }

    /// The number of the last record.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Writes a record, which is there to stay only once [`Self::sync`] returned.
    pub fn write(&mut self, payload: Vec<u8>) -> Result<Record, Refused> {
        self.put(payload, M::write)
    }

    /// Writes a record, and returns once it is on the disk.
    pub fn append(&mut self, payload: impl Into<Vec<u8>>) -> Result<Record, Refused> {
        self.put(payload.into(), M::write_through)
    }

    fn put(
        &mut self,
        payload: Vec<u8>,
        write: impl FnOnce(&mut M, u64, &[u8]) -> io::Result<()>,
    ) -> Result<Record, Refused> {
        if payload.len() > MAX_PAYLOAD {
            return Err(Refused::TooLong { length: payload.len() });
        }
        let number = self.last + 1;
        let place = self.places.map_or(number - 1, |places| (number - 1) % places.max(1));
        let record = Record::new(self.identity, number, place * BLOCK as u64, self.hash, payload);
        self.attempt(|writer| {
            let end = record.head.offset + BLOCK as u64;
            if end > writer.reserved {
                writer.medium.reserve(end)?;
                writer.reserved = writer.medium.length()?.max(end);
            }
            write(&mut writer.medium, record.head.offset, &record.block())
        })?;
        (self.last, self.hash) = (number, record.head.hash);
        Ok(record)
    }

    /// Returns once all that was written is on the disk.
    pub fn sync(&mut self) -> Result<(), Refused> {
        self.attempt(|writer| writer.medium.sync())
    }

    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> Result<(), Refused> {
        if self.failed {
            return Err(Refused::Unknown { name: self.name.clone() });
        }
        let done = work(self);
        self.failed = done.is_err();
        done.map_err(|error| Refused::Disk { name: self.name.clone(), error })
    }
}

/// Where a ledger ends.
#[derive(Default)]
struct Tail {
    last: u64,
    hash: Hash,
    incarnation: u64,
    /// Whose incarnations are asked for, by run and writer, and the last of them.
    writer: (u128, u64),
    own: u64,
    ended: bool,
    damaged: bool,
}

impl Tail {
    fn pass(&mut self, offset: u64, place: Place, over: bool) {
        match place {
            Place::Record(record) => {
                let head = record.head;
                let Identity { run, writer, incarnation } = head.identity;
                self.incarnation = self.incarnation.max(incarnation);
                if (run, writer) == self.writer {
                    self.own = self.own.max(incarnation);
                }
                if over {
                    self.damaged |= head.offset != offset;
                    if head.number > self.last {
                        (self.last, self.hash) = (head.number, head.hash);
                    }
                    return;
                }
                let follows = head.number == self.last + 1 && head.previous == self.hash && head.offset == offset;
                self.damaged |= self.ended || !follows;
                if !self.damaged {
                    (self.last, self.hash) = (head.number, head.hash);
                }
            }
            Place::Nothing | Place::Torn => self.ended = true,
            Place::Damaged(_) => self.damaged = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::medium::tests::InMemory;
    use crate::read;
    use crate::record::tests::chain;

    fn opening(writer: u64) -> Opening {
        Opening { writer, ..Opening::default() }
    }

    #[test]
    fn another_incarnation_goes_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let mut first = Writer::open(&path, opening(1)).expect("a ledger");
        let one = first.append(b"one").expect("written");
        assert_eq!((one.head.number, one.head.identity.incarnation), (1, 1));
        drop(first);
        let torn = Record::new(one.head.identity, 2, 4096, one.head.hash, b"torn".to_vec()).block();
        std::fs::OpenOptions::new().append(true).open(&path).expect("there").write_all(&torn[..900]).expect("torn");
        let mut second = Writer::open(&path, opening(2)).expect("a torn record is cut off");
        assert_eq!(second.append(b"two").expect("written").head.number, 2);
        let records = read(&std::fs::read(&path).expect("there")).records;
        let who: Vec<_> = records.iter().map(|record| record.head.identity).collect();
        assert_eq!(who.iter().map(|who| (who.writer, who.incarnation)).collect::<Vec<_>>(), [(1, 1), (2, 2)]);
        assert_eq!(records[1].head.previous, records[0].head.hash);
    }

    #[test]
    fn what_is_damaged_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let mut writer = Writer::open(&path, opening(1)).expect("a ledger");
        for payload in ["one", "two", "three"] {
            writer.append(payload.as_bytes()).expect("written");
        }
        let whole = std::fs::read(&path).expect("there");
        for damage in [whole.len() / 2, 0, whole.len() - 2] {
            let mut bytes = whole.clone();
            bytes[damage] ^= 1;
            std::fs::write(&path, &bytes).expect("damaged");
            assert!(matches!(Writer::open(&path, opening(2)), Err(Refused::Damaged { .. })), "{damage}");
            assert_eq!(std::fs::read(&path).expect("there"), bytes);
        }
    }

    /// A medium with these records, each at a place of its own choice.
    fn holding(records: &[(usize, &Record)]) -> InMemory {
        let mut held = InMemory::default();
        for (place, record) in records {
            (&mut held).write((place * BLOCK) as u64, &record.block()).expect("it is in the memory");
        }
        held
    }

    fn after(open: InMemory, opening: Opening) -> Result<(u64, u64), Refused> {
        let mut medium = open;
        Writer::over(&mut medium, "it", opening).map(|writer| (writer.last(), writer.identity().incarnation))
    }

    #[test]
    fn only_records_that_follow_on_one_another_are_gone_on_from() {
        let all = chain(&[1, 1, 1]);
        let (first, one) = (&all[0], &all[0].head);
        let second = |number, offset, previous| Record::new(one.identity, number, offset, previous, Vec::new());
        assert_eq!(after(holding(&[(0, first), (1, &all[1])]), opening(1)).expect("it follows"), (2, 2));
        let (block, hash) = (BLOCK as u64, one.hash);
        for (place, strange) in [
            (1, second(3, block, hash)),
            (1, second(2, block, [7; 32])),
            (1, second(2, 2 * block, hash)),
            (2, second(2, 2 * block, hash)), // after an empty place
        ] {
            let refused = after(holding(&[(0, first), (place, &strange)]), opening(1));
            assert!(matches!(refused, Err(Refused::Damaged { after: 1, .. })), "{refused:?} {:?}", strange.head);
        }
        let over = Opening { places: Some(4), ..opening(1) };
        assert!(after(holding(&[(0, first), (1, &all[1])]), over).is_ok());
        assert!(matches!(after(holding(&[(0, first), (2, &all[1])]), over), Err(Refused::Damaged { .. })));
    }

    #[test]
    fn the_next_incarnation_comes_after_the_highest_that_wrote() {
        let all = chain(&[3, 1]);
        assert_eq!(after(holding(&[(0, &all[0]), (1, &all[1])]), opening(1)).expect("it follows"), (2, 4));
    }

    #[test]
    fn a_new_incarnation_is_refused_where_it_or_a_later_one_of_its_writer_has_written() {
        let all = chain(&[1, 2]); // of run 7 and writer 3
        let new = |run, writer, incarnation| {
            let opening = Opening { run, writer, incarnation: Some(incarnation), is_new: true, places: None };
            after(holding(&[(0, &all[0]), (1, &all[1])]), opening)
        };
        for begun in [1, 2] {
            let refused = new(7, 3, begun).expect_err("it has written");
            assert_eq!(refused.to_string(), format!("it: incarnation {begun} has written already"));
        }
        assert_eq!(new(7, 3, 3).expect("a new one"), (2, 3));
        assert_eq!(new(8, 3, 1).expect("of another run"), (2, 1));
        assert_eq!(new(7, 4, 1).expect("of another writer"), (2, 1));
    }

    #[test]
    fn an_odd_end_is_cut_off_and_empty_places_are_kept() {
        let first = &chain(&[1])[0];
        for (behind, stays) in [(900, 0), (2 * BLOCK, 2 * BLOCK)] {
            let mut medium = holding(&[(0, first)]);
            medium.bytes.resize(BLOCK + behind, 0);
            Writer::over(&mut medium, "it", opening(1)).map(drop).expect("a ledger");
            assert_eq!(medium.bytes.len(), BLOCK + stays);
        }
    }

    #[test]
    fn what_was_read_is_on_the_disk_before_anything_is_written_after_it() {
        let mut medium = holding(&[(0, &chain(&[1])[0])]);
        let writer = Writer::over(&mut medium, "it", opening(1)).expect("a ledger");
        assert_eq!(writer.medium.syncs, 1);
    }

    #[test]
    fn room_is_asked_for_once() {
        let mut medium = InMemory::default();
        let over = Opening { places: Some(2), ..opening(1) };
        let mut writer = Writer::over(&mut medium, "it", over).expect("a ledger");
        for _ in 0..4 {
            writer.append(b"x").expect("written");
        }
        assert_eq!(medium.reserved, [2 * BLOCK as u64]);
        let mut medium = InMemory::default();
        let mut writer = Writer::over(&mut medium, "it", Opening { places: Some(0), ..opening(1) }).expect("a ledger");
        for _ in 0..3 {
            writer.append(b"x").expect("there is always one place");
        }
        assert_eq!(medium.reserved, [0, BLOCK as u64]);
    }

    #[test]
    fn after_a_write_that_failed_nothing_is_written_until_the_ledger_is_opened_again() {
        let mut medium = InMemory::default();
        let mut writer = Writer::over(&mut medium, "it", opening(1)).expect("a ledger");
        writer.append(b"one").expect("written");
        writer.medium.fails = true;
        assert!(matches!(writer.append(b"two"), Err(Refused::Disk { .. })));
        assert!(matches!(writer.append(b"two"), Err(Refused::Unknown { .. })));
        assert!(matches!(writer.sync(), Err(Refused::Unknown { .. })));
        assert_eq!(writer.last(), 1);
        let mut again = Writer::over(&mut medium, "it", opening(1)).expect("a ledger");
        assert_eq!(again.append([0; MAX_PAYLOAD]).expect("written").head.number, 2);
        assert!(matches!(again.append([0; MAX_PAYLOAD + 1]), Err(Refused::TooLong { .. })));
    }

    #[test]
    fn records_written_over_one_another_go_on_too_and_long_ones_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let over = Opening { places: Some(4), ..opening(1) };
        for life in 0..3 {
            let medium = OnFile::preallocated(&path).expect("a file");
            let mut writer = Writer::over(medium, "it", over).expect("a ledger");
            assert_eq!(writer.last(), life * 6);
            for _ in 0..6 {
                writer.append(b"x").expect("written");
            }
            assert!(matches!(writer.append([0; BLOCK]), Err(Refused::TooLong { length: BLOCK })));
        }
        let numbers: Vec<_> =
            read(&std::fs::read(&path).expect("there")).records.iter().map(|record| record.head.number).collect();
        assert_eq!(numbers, [17, 18, 15, 16]);
    }

    /// A device of its own over a file, while it lives; none without root.
    #[cfg(target_os = "linux")]
    struct Loop(String);

    #[cfg(target_os = "linux")]
    impl Loop {
        fn over(file: &Path) -> Option<Self> {
            let made = std::process::Command::new("losetup").args(["--find", "--show"]).arg(file).output().ok()?;
            made.status.success().then(|| Self(String::from_utf8_lossy(&made.stdout).trim().to_owned()))
        }
    }

    #[cfg(target_os = "linux")]
    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = std::process::Command::new("losetup").args(["--detach", &self.0]).status();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_ledger_goes_on_straight_on_a_device_until_that_is_full() {
        const BLOCKS: u64 = 600;
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("image");
        let odd = BLOCKS * BLOCK as u64 + 512; // the last block is not whole
        File::create(&image).and_then(|file| file.set_len(odd)).expect("an image");
        let Some(device) = Loop::over(&image) else { return };
        for life in 0..3 {
            let medium = OnFile::preallocated(Path::new(&device.0)).expect("a device");
            let mut writer = Writer::over(medium, "it", opening(1)).expect("a ledger");
            assert_eq!(writer.last(), life * 5);
            for _ in 0..5 {
                writer.append(b"x").expect("written");
            }
        }
        let mut writer =
            Writer::over(OnFile::preallocated(Path::new(&device.0)).expect("a device"), "it", opening(1)).expect("15");
        let written = (0..BLOCKS).take_while(|_| writer.append(b"x").is_ok()).count();
        assert_eq!(written as u64, BLOCKS - 15);
        drop(writer);
        let held = std::fs::read(&image).expect("there");
        assert_eq!((held.len() as u64, read(&held).records.len() as u64), (odd, BLOCKS));
    }
}
