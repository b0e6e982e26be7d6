//! Leaves: what notifications hold.

use super::path::Path;
use super::request::Extension;
use super::value::{Value, leaves};
use crate::wire::gnmi::Notification;

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

pub(super) fn leaves_of(notification: &Notification) -> Vec<Leaf> {
    let prefix = notification.prefix.as_ref().map(Path::from_gnmi).unwrap_or_default();
    let timestamp = notification.timestamp;
    let target = notification.prefix.as_ref().map_or("", |prefix| prefix.target.as_str());
    let full = |path: Option<&crate::wire::gnmi::Path>| prefix.join(&path.map(Path::from_gnmi).unwrap_or_default());
    let leaf = |path, value| Leaf { path, value, timestamp, target: target.to_owned() };
    let deleted = notification.delete.iter().map(|path| leaf(full(Some(path)), None));
    let updated = notification.update.iter().flat_map(|update| {
        let value = Value::from_update(update);
        let found = value.map(|value| leaves(full(update.path.as_ref()), value)).unwrap_or_default();
        found.into_iter().map(|(path, value)| leaf(path, Some(value)))
    });
    deleted.chain(updated).collect()
}
