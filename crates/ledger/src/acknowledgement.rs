//! What a writer tells the tester, a line each: over a pipe or a socket, never through the volume.

use std::fmt;
use std::str::FromStr;

use super::record::{Head, Identity, hash_from};
use super::verify::Receipt;

/// What a writer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriterMessage {
    /// It holds the ledger open, which ends with this record; and what its clock says, in nanoseconds.
    Opened(u64, Option<u64>),
    /// It wrote a batch up to this record, and waits for the disk.
    Syncing(u64),
    /// A record is on the disk.
    Acknowledged(Receipt),
    /// It has written all that it was to write, and holds the ledger open.
    Idle(u64),
    /// It cannot go on, and why.
    Failed(String),
}

impl fmt::Display for WriterMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened(number, Some(at)) => write!(f, "opened {number} {at}"),
            Self::Opened(number, None) => write!(f, "opened {number}"),
            Self::Syncing(number) => write!(f, "syncing {number}"),
            Self::Idle(number) => write!(f, "idle {number}"),
            Self::Failed(why) => write!(f, "failed {}", why.replace('\n', " ")),
            Self::Acknowledged(Receipt { head, at, .. }) => {
                write!(f, "acknowledged {}", Acknowledged(head))?;
                at.map_or(Ok(()), |at| write!(f, " {at}"))
            }
        }
    }
}

/// A head as it is acknowledged, in words that `receipt` reads.
pub struct Acknowledged<'a>(pub &'a Head);

impl fmt::Display for Acknowledged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head { identity, number, offset, previous, length, hash } = self.0;
        let Identity { run, writer, incarnation } = identity;
        let [previous, hash] = [previous, hash].map(hex::encode);
        write!(f, "{number} {run:032x} {writer:016x} {incarnation} {offset} {length} {previous} {hash}")
    }
}

impl FromStr for WriterMessage {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let bad = || format!("{line:?} is nothing that a writer of a ledger tells");
        let (kind, rest) = line.trim_end().split_once(' ').ok_or_else(bad)?;
        let number = || rest.parse().map_err(|_| bad());
        Ok(match kind {
            "opened" => match rest.split_once(' ') {
                Some((number, at)) => {
                    Self::Opened(number.parse().map_err(|_| bad())?, Some(at.parse().map_err(|_| bad())?))
                }
                None => Self::Opened(number()?, None),
            },
            "syncing" => Self::Syncing(number()?),
            "idle" => Self::Idle(number()?),
            "failed" => Self::Failed(rest.to_owned()),
            "acknowledged" => Self::Acknowledged(receipt(rest).ok_or_else(bad)?),
            _ => return Err(bad()),
        })
    }
}

/// What was acknowledged, read from its words.
pub fn receipt(text: &str) -> Option<Receipt> {
    let mut words = text.split(' ');
    let number = words.next()?.parse().ok()?;
    let run = u128::from_str_radix(words.next()?, 16).ok()?;
    let writer = u64::from_str_radix(words.next()?, 16).ok()?;
    let incarnation = words.next()?.parse().ok()?;
    let (offset, length) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (previous, hash) = (hash_from(words.next()?)?, hash_from(words.next()?)?);
    let at = words.next().map(str::parse).transpose().ok()?;
    let identity = Identity { run, writer, incarnation };
    Some(Receipt { head: Head { identity, number, offset, previous, length, hash }, payload: None, at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::chain;

    #[test]
    fn each_line_reads_back() {
        let head = chain(&[1, 2])[1].head.clone();
        for message in [
            WriterMessage::Opened(0, None),
            WriterMessage::Opened(7, Some(99)),
            WriterMessage::Syncing(3),
            WriterMessage::Idle(4),
            WriterMessage::Failed("Input/output error (os error 5)".to_owned()),
            WriterMessage::Acknowledged(Receipt { head: head.clone(), payload: None, at: Some(17) }),
            WriterMessage::Acknowledged(Receipt { head, payload: None, at: None }),
        ] {
            assert_eq!(message.to_string().parse(), Ok(message));
        }
        for line in ["", "opened", "opened x", "opened 1 x", "acknowledged 1 2 3", "closed 1"] {
            assert!(line.parse::<WriterMessage>().is_err(), "{line}");
        }
    }

    #[test]
    fn a_message_is_one_line_and_reads_back_with_its_end() {
        let failed = WriterMessage::Failed("read-only\nfile system".to_owned()).to_string();
        assert_eq!(failed, "failed read-only file system");
        for end in ["\n", "\r\n"] {
            assert_eq!(format!("{failed}{end}").parse(), Ok(WriterMessage::Failed("read-only file system".to_owned())));
            assert_eq!(format!("syncing 3{end}").parse(), Ok(WriterMessage::Syncing(3)));
        }
    }
}
