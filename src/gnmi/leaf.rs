//! Leaves: what notifications hold.

use super::path::Path;
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
}

pub(super) fn leaves_of(notification: &Notification) -> Vec<Leaf> {
    let prefix = notification.prefix.as_ref().map(Path::from_gnmi).unwrap_or_default();
    let timestamp = notification.timestamp;
    let full = |path: Option<&crate::wire::gnmi::Path>| prefix.join(&path.map(Path::from_gnmi).unwrap_or_default());
    let deleted = notification.delete.iter().map(|path| Leaf { path: full(Some(path)), value: None, timestamp });
    let updated = notification.update.iter().flat_map(|update| {
        let value = Value::from_update(update);
        let found = value.map(|value| leaves(full(update.path.as_ref()), value)).unwrap_or_default();
        found.into_iter().map(|(path, value)| Leaf { path, value: Some(value), timestamp })
    });
    deleted.chain(updated).collect()
}
