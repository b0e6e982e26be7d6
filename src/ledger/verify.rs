//! What was acknowledged against what is there.

use std::fmt;

use super::record::{ORIGIN, Reading, Record, Remainder};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// An acknowledged record is not there.
    Lost(u64),
    /// Another record stands under its number, or it is not bound to those before it.
    Altered(u64),
    /// A record is there twice, or out of its order.
    OutOfOrder(u64),
    /// A record of a writer that another had already followed.
    Stale(u64, String),
    /// After this record comes what is none.
    Damaged(u64),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(number) => write!(f, "record {number} was acknowledged and is not there"),
            Self::Altered(number) => write!(f, "record {number} is not the one that was acknowledged"),
            Self::OutOfOrder(number) => write!(f, "record {number} is there twice or out of its order"),
            Self::Stale(number, writer) => {
                write!(f, "record {number} is of writer {writer}, which another had already followed")
            }
            Self::Damaged(number) => write!(f, "after record {number} comes what is no record"),
        }
    }
}

/// Compares all acknowledged records, in the order of their numbers, with what is there. A record more than was
/// acknowledged is no finding: its acknowledgement may have been lost.
pub fn verify(acknowledged: &[Record], found: &Reading) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut last, mut hash) = (0, ORIGIN.to_owned());
    let mut writers: Vec<&str> = Vec::new();
    for record in &found.records {
        if record.number != last + 1 {
            findings.push(Finding::OutOfOrder(record.number));
        } else if !record.follows(&hash) {
            findings.push(Finding::Altered(record.number));
        }
        match writers.iter().position(|writer| *writer == record.writer) {
            None => writers.push(&record.writer),
            Some(at) if at + 1 == writers.len() => {}
            Some(_) => findings.push(Finding::Stale(record.number, record.writer.clone())),
        }
        (last, hash) = (record.number, record.hash.clone());
    }
    if found.remainder == Remainder::Damaged {
        findings.push(Finding::Damaged(last));
    }
    for receipt in acknowledged {
        match found.records.iter().find(|record| record.number == receipt.number) {
            None => findings.push(Finding::Lost(receipt.number)),
            Some(record) if record != receipt && !findings.contains(&Finding::Altered(receipt.number)) => {
                findings.push(Finding::Altered(receipt.number));
            }
            Some(_) => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::read;

    fn records(writers: &[&str]) -> Vec<Record> {
        let mut made: Vec<Record> = Vec::new();
        for (number, writer) in (1..).zip(writers) {
            let before = made.last().map_or(ORIGIN.to_owned(), |record| record.hash.clone());
            made.push(Record::new(number, writer, format!("{number}").as_bytes(), &before));
        }
        made
    }

    fn reading(records: &[Record]) -> Reading {
        read(records.iter().map(Record::line).collect::<String>().as_bytes())
    }

    #[test]
    fn what_is_all_there_is_no_finding() {
        let all = records(&["a", "a", "b", "b"]);
        assert_eq!(verify(&all, &reading(&all)), []);
        assert_eq!(verify(&all[..2], &reading(&all)), [], "the last acknowledgements may have been lost");
        let torn = [all.iter().map(Record::line).collect::<String>().as_bytes(), b"5 b 35"].concat();
        assert_eq!(verify(&all, &read(&torn)), []);
    }

    #[test]
    fn each_way_to_lose_is_named() {
        let all = records(&["a", "a", "b"]);
        let cases: [(Vec<Record>, Vec<Finding>); 5] = [
            (vec![], vec![Finding::Lost(1), Finding::Lost(2), Finding::Lost(3)]),
            (all[..2].to_vec(), vec![Finding::Lost(3)]),
            (vec![all[0].clone(), all[2].clone()], vec![Finding::OutOfOrder(3), Finding::Lost(2)]),
            (vec![all[0].clone(), all[0].clone(), all[1].clone(), all[2].clone()], vec![Finding::OutOfOrder(1)]),
            (
                vec![all[0].clone(), Record { payload: b"x".to_vec(), ..all[1].clone() }, all[2].clone()],
                vec![Finding::Altered(2)],
            ),
        ];
        for (there, findings) in cases {
            assert_eq!(verify(&all, &reading(&there)), findings);
        }
        let rolled_back = records(&["c", "c", "c"]);
        assert_eq!(verify(&all, &reading(&rolled_back)).len(), 3);
        let stale = records(&["a", "b", "a"]);
        assert_eq!(verify(&[], &reading(&stale)), [Finding::Stale(3, "a".to_owned())]);
        let damaged = [all[0].line().as_bytes(), b"nonsense\n"].concat();
        assert_eq!(verify(&all[..1], &read(&damaged)), [Finding::Damaged(1)]);
    }
}
