//! Appending to a ledger: a record is acknowledged once it is on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::record::{ORIGIN, Record, Remainder, read};

/// Why nothing is appended.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The file could not be read or written.
    #[error("{path}: {error}")]
    Disk {
        /// Of the ledger.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// What is there is no ledger any more, and is left as it is.
    #[error("{path}: damaged after record {after}")]
    Damaged {
        /// Of the ledger.
        path: PathBuf,
        /// The last record that can be read and is bound to those before it.
        after: u64,
    },
    /// An append failed, and what is on the disk is not known until the ledger is opened again.
    #[error("{path}: an append failed before")]
    Unknown {
        /// Of the ledger.
        path: PathBuf,
    },
}

/// One incarnation that appends to a ledger.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    name: String,
    last: u64,
    hash: String,
    failed: bool,
}

impl Writer {
    /// Opens or makes the ledger at `path`. A torn last line, which nobody was ever told of, is cut off.
    pub fn open(path: &Path, name: &str) -> Result<Self, Refused> {
        let disk = |error| Refused::Disk { path: path.to_owned(), error };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(disk)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(disk)?;
        let reading = read(&bytes);
        let (mut last, mut hash) = (0, ORIGIN.to_owned());
        for record in &reading.records {
            if record.number != last + 1 || !record.follows(&hash) {
                return Err(Refused::Damaged { path: path.to_owned(), after: last });
            }
            (last, hash) = (record.number, record.hash.clone());
        }
        match reading.remainder {
            Remainder::Nothing => {}
            Remainder::Torn => file.set_len(reading.length as u64).map_err(disk)?,
            Remainder::Damaged => return Err(Refused::Damaged { path: path.to_owned(), after: last }),
        }
        file.sync_all().map_err(disk)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk)?; // its name is there to stay
        }
        Ok(Self { path: path.to_owned(), file, name: name.to_owned(), last, hash, failed: false })
    }

    /// Appends a record, and returns once it is on the disk.
    pub fn append(&mut self, payload: &[u8]) -> Result<Record, Refused> {
        if self.failed {
            return Err(Refused::Unknown { path: self.path.clone() });
        }
        let record = Record::new(self.last + 1, &self.name, payload, &self.hash);
        self.failed = true;
        let written = self.file.write_all(record.line().as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| Refused::Disk { path: self.path.clone(), error })?;
        self.failed = false;
        (self.last, self.hash) = (record.number, record.hash.clone());
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_incarnation_goes_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let mut first = Writer::open(&path, "a").expect("a ledger");
        assert_eq!(first.append(b"one").expect("written").number, 1);
        drop(first);
        std::fs::OpenOptions::new().append(true).open(&path).expect("there").write_all(b"2 a 6f").expect("torn");
        let mut second = Writer::open(&path, "b").expect("a torn line is cut off");
        assert_eq!(second.append(b"two").expect("written").number, 2);
        let reading = read(&std::fs::read(&path).expect("there"));
        let writers: Vec<_> = reading.records.iter().map(|record| record.writer.as_str()).collect();
        assert_eq!(writers, ["a", "b"]);
        assert!(reading.records[1].follows(&reading.records[0].hash));
    }

    #[test]
    fn what_is_damaged_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let mut writer = Writer::open(&path, "a").expect("a ledger");
        for payload in ["one", "two", "three"] {
            writer.append(payload.as_bytes()).expect("written");
        }
        let whole = std::fs::read(&path).expect("there");
        for damage in [whole.len() / 2, 0, whole.len() - 2] {
            let mut bytes = whole.clone();
            bytes[damage] ^= 1;
            std::fs::write(&path, &bytes).expect("damaged");
            assert!(matches!(Writer::open(&path, "b"), Err(Refused::Damaged { .. })), "{damage}");
            assert_eq!(std::fs::read(&path).expect("there"), bytes);
        }
    }
}
