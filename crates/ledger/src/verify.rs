//! What was acknowledged against what is there.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::{self, Read};

use super::payload;
use super::record::{BLOCK, Hash as RecordHash, Head, Place, Record, SECTOR};

/// That a record was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What was acknowledged.
    pub head: Head,
    /// Where it was not made by the payload generator.
    pub payload: Option<Vec<u8>>,
    /// When, in nanoseconds of a clock that all writers share; None where there is none.
    pub at: Option<u64>,
}

impl Receipt {
    fn block(&self) -> Vec<u8> {
        let Head { identity, number, offset, previous, .. } = self.head.clone();
        let payload = self.payload.clone().unwrap_or_else(|| payload::generate(identity, number));
        Record::new(identity, number, offset, previous, payload).block()
    }
}

impl From<Record> for Receipt {
    fn from(Record { head, payload }: Record) -> Self {
        Self { head, payload: Some(payload), at: None }
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Finding {
    /// An acknowledged record is not there.
    Lost(u64),
    /// None is there of what was acknowledged.
    Emptied(u64),
    /// Of what one incarnation wrote, all after this record is missing, so many.
    LostTail(u64, u64),
    /// What is there is as it was after this record, and so many came after it.
    OlderSnapshot(u64, u64),
    /// The beginning of an acknowledged record is there, and what it was written over.
    Torn(u64),
    /// One bit of an acknowledged record is another.
    BitFlip(u64),
    /// Something else stands where an acknowledged record should, or it is not bound to those before it.
    Altered(u64),
    /// A record stands where another belongs.
    Misplaced(u64),
    /// A record of another ledger.
    Foreign(u64),
    /// A record of this incarnation, which a later one had already followed.
    Stale(u64, u64),
    /// This incarnation was told that a record is written, after a later one had been told so.
    TwoWriters(u64, u64),
    /// After this record comes what is none.
    Damaged(u64),
    /// A copy holds this record, which was written long after this one, the last when it was made.
    Later(u64, u64),
}

impl Finding {
    /// The kind of it, in a word or two.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost(_) => "lost",
            Self::Emptied(_) => "emptied",
            Self::LostTail(..) => "lost tail",
            Self::OlderSnapshot(..) => "older snapshot",
            Self::Torn(_) => "torn",
            Self::BitFlip(_) => "bit flip",
            Self::Altered(_) => "altered",
            Self::Misplaced(_) => "misplaced",
            Self::Foreign(_) => "foreign",
            Self::Stale(..) => "stale",
            Self::TwoWriters(..) => "two writers",
            Self::Damaged(_) => "damaged",
            Self::Later(..) => "later",
        }
    }

    /// The record that it is about, by its number: of a loss at the end, the last one before; None where none is left.
    pub fn record(&self) -> Option<u64> {
        match self {
            Self::Emptied(_) => None,
            Self::Lost(number)
            | Self::LostTail(number, _)
            | Self::OlderSnapshot(number, _)
            | Self::Torn(number)
            | Self::BitFlip(number)
            | Self::Altered(number)
            | Self::Misplaced(number)
            | Self::Foreign(number)
            | Self::Stale(number, _)
            | Self::TwoWriters(number, _)
            | Self::Damaged(number)
            | Self::Later(number, _) => Some(*number),
        }
    }

    /// How many acknowledged records it says are lost.
    pub fn lost(&self) -> u64 {
        match self {
            Self::Lost(_) => 1,
            Self::Emptied(many) | Self::LostTail(_, many) | Self::OlderSnapshot(_, many) => *many,
            _ => 0,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(number) => write!(f, "record {number} was acknowledged and is not there"),
            Self::Emptied(many) => write!(f, "emptied: none of {many} acknowledged records is there"),
            Self::LostTail(last, many) => {
                write!(f, "lost tail: {many} acknowledged records after record {last} are not there")
            }
            Self::OlderSnapshot(last, many) => {
                write!(
                    f,
                    "older snapshot: it is as it was after record {last}, and {many} acknowledged came after that"
                )
            }
            Self::Torn(number) => write!(f, "record {number} is torn: its beginning is there and the rest is not"),
            Self::BitFlip(number) => write!(f, "bit flip: record {number} differs in one bit"),
            Self::Altered(number) => write!(f, "record {number} is not the one that was acknowledged"),
            Self::Misplaced(number) => write!(f, "record {number} is there twice or out of its order"),
            Self::Foreign(number) => write!(f, "record {number} is of another ledger"),
            Self::Stale(number, incarnation) => {
                write!(f, "stale: record {number} is of incarnation {incarnation}, which another had already followed")
            }
            Self::TwoWriters(number, incarnation) => write!(
                f,
                "two writers: record {number} was acknowledged to incarnation {incarnation} after another had followed it"
            ),
            Self::Damaged(last) => write!(f, "after record {last} comes what is no record"),
            Self::Later(number, last) => write!(
                f,
                "later: the copy holds record {number}, and record {last} was the last when the provider had answered"
            ),
        }
    }
}

/// Compares what was acknowledged, in the order in which it was, with the places of the file in their order. A record
/// more than was acknowledged is no finding: its acknowledgement may have been lost.
pub fn verify(receipts: &[Receipt], places: impl IntoIterator<Item = Place>) -> Vec<Finding> {
    let mut judge = Judge::new(receipts);
    places.into_iter().for_each(|place| judge.pass(place));
    judge.findings()
}

/// The same, a place at a time: of a place that is as it was acknowledged it keeps a few words, of an empty one nothing,
/// so that a volume of any size can be judged.
pub struct Judge<'a> {
    comparison: Comparison<'a>,
}

impl<'a> Judge<'a> {
    /// What was acknowledged, in the order in which it was.
    pub fn new(receipts: &'a [Receipt]) -> Self {
        Self { comparison: Comparison::new(as_written(receipts)) }
    }

    /// The next place of the file.
    pub fn pass(&mut self, place: Place) {
        self.comparison.pass(self.comparison.end, place);
    }

    /// All places that follow, read to the end, some at a time.
    pub fn read(&mut self, mut from: impl Read) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let filled = fill(&mut from, &mut chunk)?;
            chunk[..filled].chunks(BLOCK).map(Place::of).for_each(|place| self.pass(place));
            if filled < CHUNK {
                return Ok(());
            }
        }
    }

    /// What must not be, once all places have passed.
    pub fn findings(self) -> Vec<Finding> {
        self.comparison.finish()
    }
}

/// What is read at once, in bytes.
const CHUNK: usize = 256 * BLOCK;

/// Reads until `chunk` is full, or nothing is left; how much that was.
pub fn fill(from: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < chunk.len() {
        match from.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(some) => filled += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The acknowledgements in the order of their records. One that a cut held up may come after those of the incarnation
/// that went on from its record; one whose number was told before is of a record that was written over another.
fn as_written(receipts: &[Receipt]) -> Vec<&Receipt> {
    let mut ordered: Vec<&Receipt> = Vec::with_capacity(receipts.len());
    let (mut numbers, mut latest) = (HashSet::new(), 0);
    for receipt in receipts {
        let Head { identity, number, .. } = &receipt.head;
        let late = numbers.insert(*number) && identity.incarnation < latest;
        let before = late.then(|| ordered.iter().position(|other| other.head.number > *number)).flatten();
        ordered.insert(before.unwrap_or(ordered.len()), receipt);
        latest = latest.max(identity.incarnation);
    }
    ordered
}

/// A record that is there.
enum Found<'a> {
    /// It was acknowledged.
    Acknowledged(&'a Head),
    /// It was not.
    Unacknowledged(Box<Head>),
}

impl std::ops::Deref for Found<'_> {
    type Target = Head;

    fn deref(&self) -> &Head {
        match self {
            Self::Acknowledged(head) => head,
            Self::Unacknowledged(head) => head,
        }
    }
}

struct Comparison<'a> {
    receipts: Vec<&'a Receipt>,
    /// At each offset, the indices of its receipts.
    at: BTreeMap<u64, Vec<usize>>,
    known: HashMap<RecordHash, usize>,
    /// What acknowledged records went on from, once that is asked.
    followed: OnceCell<HashSet<RecordHash>>,
    highest: u64,
    /// What is there, by offset, where it is a record.
    found: BTreeMap<u64, Found<'a>>,
    /// The end of what was passed.
    end: u64,
    /// The receipts that should be there, and what is there is older.
    gone: BTreeSet<usize>,
    /// What is there, and not where it belongs.
    elsewhere: HashSet<RecordHash>,
    findings: Vec<Finding>,
    /// Where something is that is no record and was never acknowledged.
    strange: Option<u64>,
}

impl<'a> Comparison<'a> {
    fn new(receipts: Vec<&'a Receipt>) -> Self {
        let mut at: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, receipt) in receipts.iter().enumerate() {
            at.entry(receipt.head.offset).or_default().push(index);
        }
        Self {
            at,
            known: receipts.iter().enumerate().map(|(index, receipt)| (receipt.head.hash, index)).collect(),
            followed: OnceCell::new(),
            highest: receipts.iter().map(|receipt| receipt.head.number).max().unwrap_or(0),
            receipts,
            found: BTreeMap::new(),
            end: 0,
            gone: BTreeSet::new(),
            elsewhere: HashSet::new(),
            findings: Vec::new(),
            strange: None,
        }
    }

    fn pass(&mut self, offset: u64, place: Place) {
        self.end = offset + BLOCK as u64;
        let wanted = self.at.get(&offset).and_then(|all| all.last().copied());
        match (place, wanted) {
            (Place::Record(record), Some(wanted)) => self.compare(offset, record.head, wanted),
            (Place::Record(record), None) => {
                if record.head.offset == offset {
                    self.find(offset, record.head);
                } else {
                    self.findings.push(Finding::Misplaced(record.head.number));
                    self.elsewhere.insert(record.head.hash);
                }
            }
            (Place::Nothing, wanted) => self.gone.extend(wanted),
            (Place::Torn, Some(wanted)) => self.findings.push(Finding::Torn(self.receipts[wanted].head.number)),
            (Place::Torn, None) => {} // of a write that nobody was told of
            (Place::Damaged(bytes), Some(wanted)) => self.findings.push(difference(self.receipts[wanted], &bytes)),
            (Place::Damaged(_), None) => self.strange = self.strange.or(Some(offset)),
        }
    }

    /// A record against the one that was last acknowledged at its place.
    fn compare(&mut self, offset: u64, head: Head, wanted: usize) {
        let receipt = &self.receipts[wanted].head;
        if head.hash == receipt.hash {
            self.found.insert(offset, Found::Acknowledged(receipt));
            return;
        }
        let (theirs, ours) = (head.identity, receipt.identity);
        if theirs.run != ours.run || theirs.writer != ours.writer && !self.writers().contains(&theirs.writer) {
            self.findings.push(Finding::Foreign(head.number));
        } else if head.offset != offset {
            self.findings.push(Finding::Misplaced(head.number));
            self.elsewhere.insert(head.hash);
            self.gone.insert(wanted);
        } else if self.known.contains_key(&head.hash) {
            self.gone.insert(wanted);
            self.find(offset, head);
        } else if theirs.incarnation < ours.incarnation {
            self.findings.push(Finding::Stale(head.number, theirs.incarnation));
        } else if theirs.incarnation > ours.incarnation && head.number <= receipt.number {
            self.gone.insert(wanted); // whoever wrote over it did not know of it
            self.find(offset, head);
        } else if head.number > self.highest || head.number > receipt.number && self.is_followed(&head) {
            self.find(offset, head); // its acknowledgement was lost
        } else {
            self.findings.push(Finding::Altered(receipt.number));
        }
    }

    fn find(&mut self, offset: u64, head: Head) {
        let acknowledged = self.known.get(&head.hash).map(|known| Found::Acknowledged(&self.receipts[*known].head));
        self.found.insert(offset, acknowledged.unwrap_or_else(|| Found::Unacknowledged(Box::new(head))));
    }

    /// Whether the writer of an acknowledged record went on from this one.
    fn is_followed(&self, head: &Head) -> bool {
        let all = || self.receipts.iter().map(|receipt| receipt.head.previous).collect();
        self.followed.get_or_init(all).contains(&head.hash)
    }

    fn writers(&self) -> HashSet<u64> {
        self.receipts.iter().map(|receipt| receipt.head.identity.writer).collect()
    }

    fn finish(mut self) -> Vec<Finding> {
        let beyond: Vec<usize> = self.at.range(self.end..).filter_map(|(_, all)| all.last().copied()).collect();
        self.gone.extend(beyond);
        let Self { gone, elsewhere, receipts, .. } = &mut self;
        gone.retain(|index| !elsewhere.contains(&receipts[*index].head.hash));
        let mut findings = self.losses();
        findings.append(&mut self.findings);
        findings.extend(self.unbound());
        findings.extend(self.stale());
        findings.extend(two_writers(&self.receipts));
        if let Some(offset) = self.strange {
            let last = self.found.range(..offset).map(|(_, head)| head.number).max().unwrap_or(0);
            findings.push(Finding::Damaged(last));
        }
        let mut seen = HashSet::new();
        findings.retain(|finding| seen.insert(finding.clone()));
        findings
    }

    /// What is missing, as one finding where one cause explains all of it.
    fn losses(&self) -> Vec<Finding> {
        let number = |index: &usize| self.receipts[*index].head.number;
        let written_over =
            self.at.values().flat_map(|all| all.windows(2)).filter(|pair| number(&pair[1]) <= number(&pair[0]));
        let mut lost: Vec<usize> = written_over.map(|pair| pair[0]).collect();
        if self.gone.is_empty() && lost.is_empty() {
            return Vec::new();
        }
        let last = self.found.values().filter_map(|head| self.known.get(&head.hash)).max().copied();
        if lost.is_empty() && self.findings.is_empty() {
            match last {
                None if self.found.is_empty() => return vec![Finding::Emptied(self.receipts.len() as u64)],
                Some(last) if self.is_as_after(last) => {
                    let many = (self.receipts.len() - 1 - last) as u64;
                    let incarnation = |index: usize| self.receipts[index].head.identity.incarnation;
                    let older = (last + 1..self.receipts.len()).any(|index| incarnation(index) != incarnation(last))
                        || self.gone.iter().any(|index| self.found.contains_key(&self.receipts[*index].head.offset));
                    let kind = if older { Finding::OlderSnapshot } else { Finding::LostTail };
                    return vec![kind(number(&last), many)];
                }
                _ => {}
            }
        }
        lost.extend(&self.gone);
        lost.sort_unstable();
        lost.iter().map(|index| Finding::Lost(number(index))).collect()
    }

    /// Whether the file is just what it was when `last` had been acknowledged.
    fn is_as_after(&self, last: usize) -> bool {
        self.at.iter().all(|(offset, all)| {
            let then = all.iter().rev().find(|index| **index <= last).map(|index| self.receipts[*index].head.hash);
            then == self.found.get(offset).map(|head| head.hash)
        })
    }

    /// Records that stand after one that they do not follow on.
    fn unbound(&self) -> Vec<Finding> {
        let by_number: BTreeMap<u64, &Head> = self.found.values().map(|head| (head.number, &**head)).collect();
        let pairs = by_number.iter().zip(by_number.iter().skip(1));
        let unbound = pairs.filter(|((before, first), (after, second))| {
            **after == **before + 1 && second.previous != first.hash && first.identity.run == second.identity.run
        });
        unbound.map(|(_, (number, _))| Finding::Altered(*number)).collect()
    }

    fn stale(&self) -> Vec<Finding> {
        let mut first: BTreeMap<u64, u64> = BTreeMap::new();
        let found = self.found.values().map(|head| &**head);
        for head in found.chain(self.receipts.iter().map(|receipt| &receipt.head)) {
            let number = first.entry(head.identity.incarnation).or_insert(head.number);
            *number = head.number.min(*number);
        }
        let followed =
            |head: &&Head| first.range(head.identity.incarnation + 1..).any(|(_, begun)| *begun <= head.number);
        let stale = self.found.values().map(|head| &**head).filter(followed);
        stale.map(|head| Finding::Stale(head.number, head.identity.incarnation)).collect()
    }
}

/// How the bytes at a record's place differ from it.
fn difference(receipt: &Receipt, bytes: &[u8]) -> Finding {
    let number = receipt.head.number;
    let wanted = receipt.block();
    if bytes.len() != wanted.len() {
        return Finding::Altered(number);
    }
    let flipped: u32 = bytes.iter().zip(&wanted).map(|(found, wanted)| (found ^ wanted).count_ones()).sum();
    let first = bytes.iter().zip(&wanted).position(|(found, wanted)| found != wanted).unwrap_or(0);
    match flipped {
        1 => Finding::BitFlip(number),
        _ if first >= SECTOR => Finding::Torn(number),
        _ => Finding::Altered(number),
    }
}

/// Acknowledgements to an incarnation after a later one had its first. One of a record that the later one went on from
/// was only late itself: its answer was on the way while the network was cut.
fn two_writers(receipts: &[&Receipt]) -> Vec<Finding> {
    let mut begun: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for receipt in receipts {
        let Some(at) = receipt.at else { continue };
        let (first, number) = begun.entry(receipt.head.identity.incarnation).or_insert((at, receipt.head.number));
        (*first, *number) = (at.min(*first), receipt.head.number.min(*number));
    }
    let late = receipts.iter().filter(|receipt| {
        let Head { identity, number, .. } = &receipt.head;
        let followed =
            |at: u64| begun.range(identity.incarnation + 1..).any(|(_, (first, from))| *first < at && from <= number);
        receipt.at.is_some_and(followed)
    });
    late.map(|receipt| Finding::TwoWriters(receipt.head.number, receipt.head.identity.incarnation)).collect()
}

#[cfg(test)]
mod tests;
