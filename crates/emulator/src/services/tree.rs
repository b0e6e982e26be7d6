//! The device's state as gNMI leaves.

use std::time::{Duration, SystemTime};

use crate::health::PROCESS;
use crate::settings::{Quirk, RuntimeKind};
use crate::shared::SharedChassis;
use crate::state::{ControlProcessorState, State, now};
use holdfast_wire::path::Path;
use holdfast_wire::value::Value;

/// How long after a boot a device may not know its time yet.
const UNSET: Duration = Duration::from_millis(500);

/// How long after its boot a standby joins.
const JOINING: Duration = Duration::from_millis(200);

/// What the device says its software is.
pub fn software(chassis: &SharedChassis) -> String {
    let containers = if chassis.settings.runtime == RuntimeKind::Emulated { "" } else { ", with real containers" };
    format!("{} (EMULATED{containers})", chassis.settings.software)
}

/// All leaves there are now.
pub fn leaves(chassis: &SharedChassis) -> Vec<(Path, Value)> {
    let state = chassis.state();
    let mut leaves = Vec::new();
    for (index, name) in chassis.settings.names.iter().enumerate() {
        control_processor(chassis, &state, index, name, &mut leaves);
    }
    chassis.defects.control_processor_leaves(chassis, &mut leaves);
    let text = |text: &str| Value::String(text.to_owned());
    component(
        "Chassis",
        &[("name", text("Chassis")), ("type", text("CHASSIS")), ("description", text("EMULATED"))],
        &mut leaves,
    );
    if chassis.has(Quirk::ExtraComponents) {
        for (name, role) in [("Fabric1", "PRIMARY"), ("Fabric2", "SECONDARY")] {
            let fields = [("name", text(name)), ("type", text("FABRIC")), ("redundant-role", text(role))];
            component(name, &fields, &mut leaves);
        }
    }
    let config = chassis.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let hostname = config.iter().find(|(path, _)| path.to_string() == "/system/config/hostname");
    for (leaf, value) in [
        ("current-datetime", Value::String(rfc3339(chassis.clock()))),
        ("hostname", hostname.map_or_else(|| text("emulated"), |(_, value)| value.clone())),
        ("software-version", Value::String(software(chassis))),
    ] {
        let path: Path = "/system/state".parse().unwrap_or_default();
        leaves.push((path.child(leaf), value));
    }
    if let Some(time) = boot_time(chassis, state.boot_time) {
        let path: Path = "/system/state/boot-time".parse().unwrap_or_default();
        leaves.push((path, time));
    }
    leaves.extend(config);
    if chassis.has(Quirk::LooseTypes) {
        return leaves.into_iter().map(|(path, value)| loose(path, value)).collect();
    }
    leaves
}

fn control_processor(
    chassis: &SharedChassis,
    state: &State,
    index: usize,
    name: &str,
    leaves: &mut Vec<(Path, Value)>,
) {
    let ControlProcessorState { boot_time, reboot_reason, switched, .. } = state.control_processor(index);
    let text = |text: &str| Value::String(text.to_owned());
    let role = match index == state.active() {
        true if chassis.has(Quirk::RoleUnset) && joins(state, 1 - index) => "UNSET",
        true => "PRIMARY",
        false => "SECONDARY",
    };
    let is_active = state.is_up(index) && (index == state.active() || !chassis.has(Quirk::StandbyInactive));
    let mut fields = vec![
        ("name", text(name)),
        ("description", text("EMULATED control processor")),
        ("redundant-role", text(role)),
        ("oper-status", text(if is_active { "ACTIVE" } else { "INACTIVE" })),
        ("software-version", Value::String(software(chassis))),
        ("last-reboot-reason", text(reboot_reason)),
    ];
    if let Some(time) = self::boot_time(chassis, *boot_time) {
        fields.extend([("boot-time", time.clone()), ("last-reboot-time", time)]);
    }
    if !chassis.has(Quirk::NoComponentType) {
        fields.push(("type", text("openconfig-platform-types:CONTROLLER_CARD")));
    }
    if !chassis.has(Quirk::NoSwitchoverReady) {
        fields.push(("switchover-ready", Value::Bool(chassis.says_ready(state))));
    }
    component(name, &fields, leaves);
    let process = format!("{name}-{PROCESS}");
    let fields = [("name", text(&process)), ("type", text("openconfig-platform-types:SOFTWARE_MODULE"))];
    component(&process, &[&fields[..], &[("parent", text(name))]].concat(), leaves);
    if let Some(switched) = switched {
        let below = Path::component(name).child("state");
        if !chassis.has(Quirk::NoLastSwitchoverTime) {
            leaves.push((below.child("last-switchover-time"), Value::Uint(switched.at)));
        }
        let reason = below.child("last-switchover-reason");
        leaves.push((reason.child("trigger"), text(&switched.trigger)));
        leaves.push((reason.child("details"), text(&switched.details)));
    }
}

/// A leaf as it is told by who takes types loosely.
fn loose(path: Path, value: Value) -> (Path, Value) {
    #[expect(clippy::cast_precision_loss, reason = "which is what such a device does")]
    let value = match value {
        Value::Uint(time) if path.leaf().ends_with("-time") => Value::Double(time as f64),
        Value::Bool(truth) => Value::String(truth.to_string().to_uppercase()),
        Value::String(role) if path.leaf() == "redundant-role" => Value::String(role.to_lowercase()),
        other => other,
    };
    (path, value)
}

fn component(name: &str, fields: &[(&str, Value)], leaves: &mut Vec<(Path, Value)>) {
    let state = Path { origin: String::new(), ..Path::component(name) }.child("state");
    leaves.extend(fields.iter().map(|(leaf, value)| (state.child(leaf), value.clone())));
}

/// Whether a control processor is up, and has been for a moment only.
fn joins(state: &State, index: usize) -> bool {
    let up_for = now().saturating_sub(state.control_processor(index).boot_time);
    state.is_up(index) && up_for < u64::try_from(JOINING.as_nanos()).unwrap_or(u64::MAX)
}

/// When something booted, as the device tells it; None where it does not.
fn boot_time(chassis: &SharedChassis, nanoseconds: u64) -> Option<Value> {
    let unset = now().saturating_sub(nanoseconds) < u64::try_from(UNSET.as_nanos()).unwrap_or(u64::MAX);
    let reported = match () {
        () if unset && chassis.has(Quirk::BootTimeLate) => return None,
        () if unset && chassis.has(Quirk::BootTimeZero) => 0,
        () if unset && chassis.has(Quirk::BootTimeUnset) => 30_000_000_000, // half a minute past the epoch
        () => nanoseconds,
    };
    let unit = match () {
        () if chassis.has(Quirk::BootTimeInSeconds) => 1_000_000_000,
        () if chassis.has(Quirk::BootTimeInMilliseconds) => 1_000_000,
        () => 1,
    };
    Some(Value::Uint(reported / unit))
}

/// A time as gNMI writes it.
fn rfc3339(nanoseconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(nanoseconds);
    prost_types::Timestamp::from(time).to_string()
}
