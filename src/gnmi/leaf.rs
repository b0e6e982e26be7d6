//! Leaves: what notifications hold.

use tonic::Status;

use super::path::Path;
use super::request::Extension;
use super::value::{Value, leaves_within};
use crate::dial::whole::MOST_MESSAGES;
use crate::error::too_much;
use crate::wire::gnmi::Notification;

/// What the paths of an answer's leaves may come to, in bytes. A prefix, and a tree of JSON, says once what the path of
/// each leaf repeats.
const MOST_PATHS: usize = 256 << 20;

/// A leaf, its value, and when the device read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// In full, the prefix included.
    pub path: Path,
    /// None where it was deleted.
    pub value: Option<Value>,
    /// Nanoseconds since the epoch, by the device's clock.
    pub timestamp: i64,
    /// The device that it is of, where the request named a target.
    pub target: String,
}

impl Leaf {
    /// Whether the device says that it read this one later. One without a time is as new as any.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        other.timestamp != 0 && self.timestamp > other.timestamp
    }
}

/// What was answered, and the extensions that came with it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answered<T> {
    /// The answer itself.
    pub value: T,
    /// As they came.
    pub extensions: Vec<Extension>,
}

impl<T> Answered<T> {
    /// Without any.
    pub fn plain(value: T) -> Self {
        Self { value, extensions: Vec::new() }
    }
}

/// How many leaves an answer may still have.
#[derive(Debug)]
pub(super) struct Room {
    leaves: usize,
    paths: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { leaves: MOST_MESSAGES, paths: MOST_PATHS }
    }
}

impl Room {
    /// The leaves of a notification, what it deletes first; RESOURCE_EXHAUSTED where there is no room for them.
    pub fn leaves_of(&mut self, notification: &Notification) -> Result<Vec<Leaf>, Status> {
        let found = self.take(notification).filter(|found| found.len() <= self.leaves).ok_or_else(|| {
            too_much(format!(
                "the answer has more than {MOST_MESSAGES} leaves, or {} MiB of their paths, and no more is taken",
                MOST_PATHS >> 20
            ))
        })?;
        self.leaves -= found.len();
        Ok(found)
    }

    fn take(&mut self, notification: &Notification) -> Option<Vec<Leaf>> {
        let prefix = notification.prefix.as_ref().map(Path::from_gnmi).unwrap_or_default();
        let timestamp = notification.timestamp;
        let target = notification.prefix.as_ref().map_or("", |prefix| prefix.target.as_str());
        let leaf = |path, value| Leaf { path, value, timestamp, target: target.to_owned() };
        let full = |path: Option<&crate::wire::gnmi::Path>| prefix.join(&path.map(Path::from_gnmi).unwrap_or_default());
        let mut found = Vec::new();
        for path in &notification.delete {
            let path = full(Some(path));
            self.paths = self.paths.checked_sub(path.size() + target.len())?;
            found.push(leaf(path, None));
        }
        for update in &notification.update {
            let Some(value) = Value::from_update(update) else { continue };
            let leaves = leaves_within(full(update.path.as_ref()), value, &mut self.paths)?;
            self.paths = self.paths.checked_sub(leaves.len() * target.len())?;
            found.extend(leaves.into_iter().map(|(path, value)| leaf(path, Some(value))));
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::gnmi::{PathElem, TypedValue, Update, typed_value};

    #[test]
    fn a_prefix_that_each_leaf_repeats_is_bounded() {
        let element = || PathElem { name: "x".repeat(1000), ..PathElem::default() };
        let path = |count| crate::wire::gnmi::Path {
            elem: std::iter::repeat_with(element).take(count).collect(),
            ..crate::wire::gnmi::Path::default()
        };
        let update = Update {
            path: Some(path(0)),
            val: Some(TypedValue { value: Some(typed_value::Value::BoolVal(true)) }),
            ..Update::default()
        };
        let of = |updates, deletes| Notification {
            prefix: Some(path(1000)),
            update: vec![update.clone(); updates],
            delete: vec![path(0); deletes],
            ..Notification::default()
        };
        assert_eq!(Room::default().leaves_of(&of(10, 10)).map(|leaves| leaves.len()).ok(), Some(20));
        for (updates, deletes) in [(300, 0), (0, 300)] {
            let refused = Room::default().leaves_of(&of(updates, deletes)).expect_err("too much");
            assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        }
    }
}
