//! What a ledger holds as lines of text: for a tester who has no way to its bytes, and reads what a process prints beside
//! them, such as a pod's log. `ledger places FILE` prints them, an empty place has none, and the last line tells how many
//! there were: a log that was cut is no ledger that lost records.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::str::FromStr;

use super::acknowledgement::{Acknowledged, receipt};
use super::record::{BLOCK, Place, Record};
use super::verify::Judge;

/// The volume that a ledger is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeFacts {
    /// Its size.
    pub bytes: u64,
    /// How much of that is in use.
    pub used: u64,
    /// Its file system, as the kernel calls it; empty for a device.
    pub filesystem: String,
    /// What it is mounted with.
    pub options: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Volume(VolumeFacts),
    /// What is at this offset.
    Place(u64, Place),
    /// How long the ledger is, and how many places are not empty.
    End(u64, u64),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(VolumeFacts { bytes, used, filesystem, options }) => {
                write!(f, "volume {bytes} {used} {filesystem} {}", options.join(","))
            }
            Self::Place(at, Place::Record(record)) => write!(f, "record {at} {}", Acknowledged(&record.head)),
            Self::Place(at, Place::Torn) => write!(f, "torn {at}"),
            Self::Place(at, Place::Damaged(bytes)) => write!(f, "damaged {at} {}", hex::encode(bytes)),
            Self::Place(at, Place::Nothing) => write!(f, "nothing {at}"),
            Self::End(length, places) => write!(f, "end {length} {places}"),
        }
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        parsed(line.trim_end_matches(['\r', '\n'])).ok_or_else(|| format!("{line:?} is no line of a ledger's places"))
    }
}

fn parsed(line: &str) -> Option<Line> {
    let (kind, rest) = line.split_once(' ')?;
    let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = first.parse().ok()?;
    Some(match kind {
        "volume" => {
            let mut words = more.split(' ');
            let used = words.next()?.parse().ok()?;
            let filesystem = words.next()?.to_owned();
            let options = words.next()?.split(',').filter(|each| !each.is_empty()).map(str::to_owned).collect();
            Line::Volume(VolumeFacts { bytes: number, used, filesystem, options })
        }
        // the payload is not told: its hash is in the record's own
        "record" => Line::Place(number, Place::Record(Record { head: receipt(more)?.head, payload: Vec::new() })),
        "torn" => Line::Place(number, Place::Torn),
        "damaged" => Line::Place(number, Place::Damaged(hex::decode(more).ok()?)),
        "nothing" => Line::Place(number, Place::Nothing),
        "end" => Line::End(number, more.parse().ok()?),
        _ => return None,
    })
}

/// Prints what a ledger holds; `volume` is what it is on.
pub fn print(mut ledger: impl Read, volume: Option<VolumeFacts>, mut to: impl Write) -> io::Result<()> {
    if let Some(volume) = volume {
        writeln!(to, "{}", Line::Volume(volume))?;
    }
    let (mut at, mut places) = (0, 0);
    let mut block = vec![0; BLOCK];
    loop {
        let filled = super::verify::fill(&mut ledger, &mut block)?;
        if filled > 0 {
            match Place::of(&block[..filled]) {
                Place::Nothing => {}
                place => {
                    places += 1;
                    writeln!(to, "{}", Line::Place(at, place))?;
                }
            }
        }
        at += filled as u64;
        if filled < BLOCK {
            writeln!(to, "{}", Line::End(at, places))?;
            return to.flush();
        }
    }
}

/// Puts what was printed of a ledger before the judge; what the ledger is on, where that was told.
///
/// An error of the kind `UnexpectedEof` where the end is missing, or places before it.
pub fn judge(lines: impl BufRead, judge: &mut Judge<'_>) -> io::Result<Option<VolumeFacts>> {
    let (mut volume, mut next, mut places) = (None, 0, 0);
    for line in lines.lines() {
        match line?.parse().map_err(|why: String| io::Error::new(io::ErrorKind::InvalidData, why))? {
            Line::Volume(told) => volume = Some(told),
            Line::Place(at, place) => {
                pass_nothing(judge, &mut next, at);
                judge.pass(place);
                next = at + BLOCK as u64;
                places += 1;
            }
            Line::End(length, many) if many == places => {
                pass_nothing(judge, &mut next, length);
                return Ok(volume);
            }
            Line::End(_, many) => return Err(cut(&format!("{places} of {many} places came"))),
        }
    }
    Err(cut("its end did not come"))
}

fn pass_nothing(judge: &mut Judge<'_>, next: &mut u64, until: u64) {
    while *next < until {
        judge.pass(Place::Nothing);
        *next += BLOCK as u64;
    }
}

fn cut(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("what was printed of the ledger was cut: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Receipt;
    use crate::record::tests::chain;

    fn facts() -> VolumeFacts {
        let options = ["rw", "relatime"].map(str::to_owned).to_vec();
        VolumeFacts { bytes: 1 << 30, used: 7, filesystem: "ext4".to_owned(), options }
    }

    fn printed(bytes: &[u8]) -> String {
        let mut text = Vec::new();
        print(bytes, Some(facts()), &mut text).expect("printed");
        String::from_utf8(text).expect("text")
    }

    /// What the judge finds in the bytes themselves, and in what is printed of them.
    fn both(receipts: &[Receipt], bytes: &[u8]) -> [Vec<crate::Finding>; 2] {
        let (mut direct, mut told) = (Judge::new(receipts), Judge::new(receipts));
        direct.read(bytes).expect("read");
        assert_eq!(judge(printed(bytes).as_bytes(), &mut told).expect("judged"), Some(facts()));
        [direct.findings(), told.findings()]
    }

    #[test]
    fn the_judge_finds_in_the_lines_what_it_finds_in_the_bytes() {
        let records = chain(&[1, 1, 2, 2]);
        let receipts: Vec<Receipt> =
            records.iter().map(|record| Receipt { head: record.head.clone(), payload: None, at: None }).collect();
        let whole: Vec<u8> = records.iter().flat_map(Record::block).collect();
        let mut cases = vec![whole.clone(), whole[..2 * BLOCK].to_vec(), vec![0; whole.len()], Vec::new()];
        let mut emptied = whole.clone();
        emptied[BLOCK..2 * BLOCK].fill(0);
        cases.push(emptied);
        let mut torn = whole.clone();
        torn[BLOCK + 1024..2 * BLOCK].fill(0);
        cases.push(torn);
        let mut flipped = whole.clone();
        flipped[3 * BLOCK + 300] ^= 4;
        cases.push(flipped);
        cases.push([&whole[..], &[0; 3 * BLOCK], b"an odd end"].concat());
        cases.push([&whole[BLOCK..], &whole[..BLOCK]].concat());
        for (number, bytes) in cases.iter().enumerate() {
            let [direct, told] = both(&receipts, bytes);
            assert_eq!(direct, told, "case {number}");
            assert_eq!(direct.is_empty(), number == 0, "case {number}");
        }
    }

    #[test]
    fn what_was_cut_is_no_ledger_that_lost_records() {
        let records = chain(&[1, 1, 1]);
        let text = printed(&records.iter().flat_map(Record::block).collect::<Vec<_>>());
        let lines: Vec<&str> = text.lines().collect();
        let cuts = [lines[..3].join("\n"), [&lines[..1], &lines[2..]].concat().join("\n"), String::new()];
        for cut in cuts {
            let error = judge(cut.as_bytes(), &mut Judge::new(&[])).expect_err("cut");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
        }
        for strange in ["record 0 x", "end 1", "volume 1", "damaged 0 zz", "later 1", ""] {
            let error = judge(strange.as_bytes(), &mut Judge::new(&[])).expect_err("strange");
            assert!(["is no line", "did not come"].iter().any(|why| error.to_string().contains(why)), "{error}");
        }
    }
}
