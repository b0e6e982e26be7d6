//! What the device is configured with, as gNMI has it.

use std::collections::BTreeMap;

use holdfast_wire::path::Path;
use holdfast_wire::value::Value;

/// What gNMI Set configured.
pub type Configuration = BTreeMap<Path, Value>;

/// What the device is configured with as it leaves the factory.
pub fn factory() -> Configuration {
    let hostname: Path = "/system/config/hostname".parse().unwrap_or_default();
    BTreeMap::from([(hostname, Value::String("emulated".to_owned()))])
}
