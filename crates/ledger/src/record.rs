//! Records, and what a place of 4 KiB in a ledger holds.

use sha2::{Digest, Sha256};

/// The bytes that a record takes, whatever its payload.
pub const BLOCK: usize = 4096;
/// The largest payload, in bytes.
pub const MAX_PAYLOAD: usize = TAIL - HEAD;
/// What reads and writes do at once, however badly they are cut.
pub const SECTOR: usize = 512;
const MAGIC: [u8; 8] = *b"HFLEDGER";
const HEAD_CHECKED: usize = 92;
const HEAD: usize = 96;
const TAIL: usize = BLOCK - 4;

/// SHA-256.
pub type Hash = [u8; 32];
/// An empty place.
static ZEROS: [u8; BLOCK] = [0; BLOCK];
/// Before the first record there is this.
pub const ORIGIN: Hash = [0; 32];

/// Who writes: under one run's key, one writer, in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Identity {
    /// Of the test, and the key of its generated payloads.
    pub run: u128,
    /// Of one task or container.
    pub writer: u64,
    /// From 1 on, one more each time the volume is given to a writer.
    pub incarnation: u64,
}

/// All of a record but its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Who wrote it.
    pub identity: Identity,
    /// From 1 on, without a gap.
    pub number: u64,
    /// Where in the file it belongs, in bytes.
    pub offset: u64,
    /// The hash of the record before it.
    pub previous: Hash,
    /// Of the payload, in bytes.
    pub length: usize,
    /// Of all of this record, and so of all before it.
    pub hash: Hash,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it says of itself.
    pub head: Head,
    /// What it says.
    pub payload: Vec<u8>,
}

impl Record {
    /// The record that belongs at `offset` and follows on one with the hash `previous`. The payload must fit.
    pub fn new(identity: Identity, number: u64, offset: u64, previous: Hash, payload: Vec<u8>) -> Self {
        let head = Head { identity, number, offset, previous, length: payload.len(), hash: ORIGIN };
        let mut record = Self { head, payload };
        record.head.hash = hash(&record.block());
        record
    }

    /// As it stands in the file.
    pub fn block(&self) -> Vec<u8> {
        let Head { identity, number, offset, previous, length, .. } = &self.head;
        let mut block = Vec::with_capacity(BLOCK);
        block.extend(MAGIC);
        block.extend(identity.run.to_le_bytes());
        block.extend(identity.writer.to_le_bytes());
        block.extend(identity.incarnation.to_le_bytes());
        block.extend(number.to_le_bytes());
        block.extend(offset.to_le_bytes());
        block.extend(previous);
        block.extend(u32::try_from(*length).unwrap_or(u32::MAX).to_le_bytes());
        block.extend(crc32c::crc32c(&block).to_le_bytes());
        block.extend(&self.payload);
        block.resize(TAIL, 0);
        block.extend(crc32c::crc32c(&block).to_le_bytes());
        block
    }

    /// What the 4 KiB of one record say, where they are one.
    pub fn parse(block: &[u8]) -> Option<Self> {
        match Place::of(block) {
            Place::Record(record) => Some(record),
            _ => None,
        }
    }
}

impl Head {
    /// The writer as people read it: 16 hexadecimal digits.
    pub fn writer(&self) -> String {
        format!("{:016x}", self.identity.writer)
    }
}

/// What a place in a ledger holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A whole record, with both its checksums.
    Record(Record),
    /// Zeros: nothing was written here yet, or it is gone.
    Nothing,
    /// The beginning of a record, and nothing after it: its writer died while it wrote, and never acknowledged it.
    Torn,
    /// Bytes that are no record.
    Damaged(Vec<u8>),
}

impl Place {
    /// Reads one place; the last of a file may be shorter than the others.
    pub fn of(bytes: &[u8]) -> Self {
        if ZEROS.get(..bytes.len()).map_or_else(|| bytes.iter().all(|byte| *byte == 0), |zeros| bytes == zeros) {
            return Self::Nothing;
        }
        if bytes.len() == BLOCK
            && let Some(record) = whole(bytes)
        {
            return Self::Record(record);
        }
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let begun = bytes.starts_with(&MAGIC) && (bytes.len() < BLOCK || written.next_multiple_of(SECTOR) < BLOCK);
        if begun && (written <= HEAD || head(bytes).is_some()) { Self::Torn } else { Self::Damaged(bytes.to_vec()) }
    }
}

fn whole(block: &[u8]) -> Option<Record> {
    let head = head(block)?;
    let tail = u32::from_le_bytes(block[TAIL..].try_into().ok()?);
    let payload = block[HEAD..HEAD + head.length].to_vec();
    (tail == crc32c::crc32c(&block[..TAIL])).then(|| Record { head: Head { hash: hash(block), ..head }, payload })
}

/// The head alone, without a hash.
fn head(block: &[u8]) -> Option<Head> {
    let (checked, rest) = block.split_at_checked(HEAD_CHECKED)?;
    let sum = u32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
    if !checked.starts_with(&MAGIC) || sum != crc32c::crc32c(checked) {
        return None;
    }
    let word = |at: usize| Some(u64::from_le_bytes(checked.get(at..at + 8)?.try_into().ok()?));
    let run = u128::from_le_bytes(checked[8..24].try_into().ok()?);
    let length = u32::from_le_bytes(checked[88..92].try_into().ok()?) as usize;
    let head = Head {
        identity: Identity { run, writer: word(24)?, incarnation: word(32)? },
        number: word(40)?,
        offset: word(48)?,
        previous: checked[56..88].try_into().ok()?,
        length,
        hash: ORIGIN,
    };
    (length <= MAX_PAYLOAD).then_some(head)
}

fn hash(block: &[u8]) -> Hash {
    Sha256::digest(&block[..TAIL]).into()
}

/// The hash that hexadecimal digits tell.
pub fn hash_from(text: &str) -> Option<Hash> {
    let mut hash = ORIGIN;
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Records by the incarnations of one writer, in append order.
    pub fn chain(incarnations: &[u64]) -> Vec<Record> {
        let mut made: Vec<Record> = Vec::new();
        for (number, incarnation) in (1..).zip(incarnations) {
            let identity = Identity { run: 7, writer: 3, incarnation: *incarnation };
            let previous = made.last().map_or(ORIGIN, |record| record.head.hash);
            let payload = super::super::payload::generate(identity, number);
            made.push(Record::new(identity, number, (number - 1) * BLOCK as u64, previous, payload));
        }
        made
    }

    #[test]
    fn a_block_reads_back() {
        for payload in [Vec::new(), b"one".to_vec(), vec![255; MAX_PAYLOAD]] {
            let record = Record::new(Identity { run: 1, writer: 2, incarnation: 3 }, 4, 8192, [9; 32], payload);
            let block = record.block();
            assert_eq!(block.len(), BLOCK);
            assert_eq!(Place::of(&block), Place::Record(record.clone()));
            assert_eq!(hash_from(&hex::encode(record.head.hash)), Some(record.head.hash));
        }
    }

    #[test]
    fn what_is_no_record_is_told_apart() {
        let block = chain(&[1])[0].block();
        assert_eq!(Place::of(&[0; BLOCK]), Place::Nothing);
        assert_eq!(Place::of(&block[..700]), Place::Torn);
        let mut torn = block.clone();
        torn[1024..].fill(0);
        assert_eq!(Place::of(&torn), Place::Torn);
        for at in [0, 50, 200, 4000, 4095] {
            let mut flipped = block.clone();
            flipped[at] ^= 1;
            assert_eq!(Place::of(&flipped), Place::Damaged(flipped));
        }
        assert_eq!(Place::of(b"nonsense"), Place::Damaged(b"nonsense".to_vec()));
    }

    /// The same bytes with both checksums made right again.
    fn summed(mut block: Vec<u8>) -> Vec<u8> {
        let head = crc32c::crc32c(&block[..HEAD_CHECKED]).to_le_bytes();
        block[HEAD_CHECKED..HEAD].copy_from_slice(&head);
        let tail = crc32c::crc32c(&block[..TAIL]).to_le_bytes();
        block[TAIL..].copy_from_slice(&tail);
        block
    }

    #[test]
    fn checksums_alone_make_no_record() {
        let block = chain(&[1])[0].block();
        assert_eq!(summed(block.clone()), block);
        let mut of_another_format = block.clone();
        of_another_format[0] ^= 1;
        let mut too_long = block;
        too_long[88..92].copy_from_slice(&u32::try_from(MAX_PAYLOAD + 1).expect("small").to_le_bytes());
        for bytes in [of_another_format, too_long].map(summed) {
            assert_eq!(Place::of(&bytes), Place::Damaged(bytes));
        }
    }

    #[test]
    fn a_write_may_be_torn_within_the_head_and_not_be_damaged_there() {
        let mut within = chain(&[1])[0].block();
        within[MAGIC.len() + 30..].fill(0);
        assert_eq!(Place::of(&within), Place::Torn);
        assert_eq!(Place::of(&within[..MAGIC.len() + 30]), Place::Torn);
        let mut damaged = chain(&[1])[0].block();
        damaged[1024..].fill(0);
        damaged[50] ^= 1;
        assert_eq!(Place::of(&damaged), Place::Damaged(damaged));
    }

    #[test]
    fn a_hash_is_64_hexadecimal_digits_and_nothing_else() {
        let digits = "0f".repeat(32);
        assert_eq!(hash_from(&digits), Some([15; 32]));
        assert_eq!(hash_from(&digits.to_uppercase()), Some([15; 32]));
        let others = [
            &digits[2..],
            &format!("{digits}0f"),
            &"+f".repeat(32),
            &"0g".repeat(32),
            &format!("a{}a", "é".repeat(31)),
        ];
        for other in others {
            assert_eq!(hash_from(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..BLOCK)) {
            let _ = Place::of(&[&MAGIC[..], &bytes].concat());
            let _ = Place::of(&bytes);
        }
    }
}
