//! Records, and reading them from a ledger's bytes.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Before the first record there is this.
pub const ORIGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One record. Its line is `NUMBER WRITER PAYLOAD HASH`, the payload in hexadecimal, or `-` where it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// From 1 on, without a gap.
    pub number: u64,
    /// The incarnation that wrote it.
    pub writer: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Of the hash before it and all of this record.
    pub hash: String,
}

impl Record {
    /// The record that follows on one with the hash `before`.
    pub fn new(number: u64, writer: &str, payload: &[u8], before: &str) -> Self {
        let hash = chain(before, number, writer, payload);
        Self { number, writer: writer.to_owned(), payload: payload.to_vec(), hash }
    }

    /// As it stands in the file.
    pub fn line(&self) -> String {
        format!("{} {} {} {}\n", self.number, self.writer, written(&self.payload), self.hash)
    }

    /// Whether its hash is the one that it must have after `before`.
    pub fn follows(&self, before: &str) -> bool {
        self.hash == chain(before, self.number, &self.writer, &self.payload)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (number, writer, payload, hash) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let plain = !writer.is_empty() && hash.len() == ORIGIN.len() && words.next().is_none();
        let payload = if payload == "-" { Vec::new() } else { from_hexadecimal(payload)? };
        let number = number.parse().ok()?;
        plain.then(|| Self { number, writer: writer.to_owned(), payload, hash: hash.to_owned() })
    }
}

fn chain(before: &str, number: u64, writer: &str, payload: &[u8]) -> String {
    hexadecimal(&Sha256::digest(format!("{before} {number} {writer} {}", written(payload))))
}

fn written(payload: &[u8]) -> String {
    if payload.is_empty() { "-".to_owned() } else { hexadecimal(payload) }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes all
        text
    })
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// What a ledger's bytes hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// All that can be read, in the order of the file.
    pub records: Vec<Record>,
    /// What comes after them.
    pub remainder: Remainder,
    /// How many bytes the records take.
    pub length: usize,
}

/// What comes after the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remainder {
    /// Nothing.
    Nothing,
    /// A line without its end: its writer died while it wrote, and never acknowledged it.
    Torn,
    /// A whole line that is no record.
    Damaged,
}

/// Reads records up to the first line that is none.
pub fn read(bytes: &[u8]) -> Reading {
    let mut reading = Reading { records: Vec::new(), remainder: Remainder::Nothing, length: 0 };
    while reading.length < bytes.len() {
        let rest = &bytes[reading.length..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            reading.remainder = Remainder::Torn;
            break;
        };
        let Some(record) = std::str::from_utf8(&rest[..end]).ok().and_then(Record::parse) else {
            reading.remainder = Remainder::Damaged;
            break;
        };
        reading.records.push(record);
        reading.length += end + 1;
    }
    reading
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> [Record; 2] {
        let first = Record::new(1, "w", b"one", ORIGIN);
        let second = Record::new(2, "w", b"", &first.hash);
        [first, second]
    }

    #[test]
    fn lines_read_back() {
        let text: String = two().iter().map(Record::line).collect();
        let reading = read(text.as_bytes());
        assert_eq!(reading.records, two());
        assert_eq!((reading.remainder, reading.length), (Remainder::Nothing, text.len()));
        assert!(text.starts_with("1 w 6f6e65 "), "{text}");
    }

    #[test]
    fn what_follows_the_last_record_is_told() {
        let line = two()[0].line();
        for (more, remainder) in
            [("2 w 6f", Remainder::Torn), ("2 w 6f\n", Remainder::Damaged), ("\n", Remainder::Damaged)]
        {
            let reading = read(format!("{line}{more}").as_bytes());
            assert_eq!((reading.records.len(), reading.remainder, reading.length), (1, remainder, line.len()));
        }
    }

    #[test]
    fn a_record_is_bound_to_all_before_it() {
        let [first, second] = two();
        assert!(first.follows(ORIGIN) && second.follows(&first.hash));
        assert!(!second.follows(ORIGIN));
        assert!(!Record { payload: b"One".to_vec(), ..first.clone() }.follows(ORIGIN));
        assert!(!Record { writer: "x".into(), ..first.clone() }.follows(ORIGIN));
        assert!(!Record { number: 2, ..first }.follows(ORIGIN));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let reading = read(&bytes);
            proptest::prop_assert!(reading.length <= bytes.len());
        }

        #[test]
        fn any_payload_reads_back(payload in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            let record = Record::new(1, "w", &payload, ORIGIN);
            proptest::prop_assert_eq!(read(record.line().as_bytes()).records, vec![record]);
        }
    }
}
