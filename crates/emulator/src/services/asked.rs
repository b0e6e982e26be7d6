//! In which forms gNMI may be asked, and in which it answers: the quirks of devices in the field.

use tonic::{Code, Status};

use super::tree;
use crate::settings::Quirk;
use crate::shared::SharedChassis;
use holdfast_wire::gnmi::subscription_list::Mode;
use holdfast_wire::gnmi::{Encoding, Notification, SubscriptionList, TypedValue, Update, typed_value};
use holdfast_wire::path::Path;
use holdfast_wire::value::Value;

/// What a wildcard is refused with.
const WILDCARDS: [(Quirk, Code); 4] = [
    (Quirk::WildcardsRefused, Code::InvalidArgument),
    (Quirk::WildcardsNotFound, Code::NotFound),
    (Quirk::WildcardsUnimplemented, Code::Unimplemented),
    (Quirk::WildcardsInternal, Code::Internal),
];

/// What Capabilities offers, whether it is served or not.
pub fn offered(chassis: &SharedChassis) -> Vec<Encoding> {
    let alone = chassis.has(Quirk::JsonIetfOnly) || chassis.has(Quirk::JsonIetfRefused);
    match (alone, chassis.has(Quirk::JsonContainers)) {
        (true, _) => vec![Encoding::JsonIetf],
        (false, true) => vec![Encoding::Json, Encoding::JsonIetf],
        (false, false) => vec![Encoding::Json, Encoding::JsonIetf, Encoding::Proto],
    }
}

/// Whether an encoding is served.
pub fn check_encoding(chassis: &SharedChassis, encoding: Encoding) -> Result<(), Status> {
    let unsupported = || format!("encoding {} is not supported", encoding.as_str_name());
    match encoding {
        Encoding::JsonIetf if chassis.has(Quirk::JsonIetfRefused) => Err(Status::invalid_argument(unsupported())),
        Encoding::Json | Encoding::Proto if chassis.has(Quirk::JsonIetfOnly) => {
            Err(Status::unimplemented(unsupported()))
        }
        Encoding::Proto if chassis.has(Quirk::ProtoRefused) => Err(Status::internal(unsupported())),
        Encoding::Proto if chassis.has(Quirk::JsonContainers) => Err(Status::unimplemented(unsupported())),
        Encoding::Json | Encoding::JsonIetf | Encoding::Proto => Ok(()),
        _ => Err(Status::unimplemented(unsupported())),
    }
}

/// The paths of a subscription, those left out that are answered with nothing.
pub fn wanted(chassis: &SharedChassis, list: &SubscriptionList) -> Result<Vec<Path>, Status> {
    if list.mode() == Mode::Once && chassis.has(Quirk::OnceRefused) {
        return Err(Status::invalid_argument("mode ONCE is not supported"));
    }
    let prefix = list.prefix.as_ref().map(Path::from_gnmi).unwrap_or_default();
    let mut wanted = Vec::new();
    for subscription in &list.subscription {
        let path = prefix.join(&subscription.path.as_ref().map(Path::from_gnmi).unwrap_or_default());
        if answers(chassis, &path)? {
            wanted.push(path);
        }
    }
    if list.mode() == Mode::Once && chassis.has(Quirk::AbsentLeafRefused) {
        let all = tree::leaves(chassis);
        if let Some(absent) = wanted.iter().find(|path| !all.iter().any(|(leaf, _)| path.covers(leaf))) {
            return Err(Status::not_found(format!("there is nothing at {absent}")));
        }
    }
    Ok(wanted)
}

/// Whether a path is answered; an error where it is refused.
pub fn answers(chassis: &SharedChassis, path: &Path) -> Result<bool, Status> {
    if path.origin == "openconfig" && chassis.has(Quirk::OriginRefused) {
        return Err(Status::invalid_argument(format!("{path}: origin openconfig is not supported")));
    }
    if path.origin.is_empty() && chassis.has(Quirk::OriginRequired) {
        return Err(Status::unknown(format!("{path}: the origin is missing")));
    }
    if !is_pattern(path) {
        return Ok(true);
    }
    match WILDCARDS.into_iter().find(|(quirk, _)| chassis.has(*quirk)) {
        Some((_, code)) => Err(Status::new(code, format!("{path}: wildcards are not supported"))),
        None => Ok(!chassis.has(Quirk::WildcardsEmpty)),
    }
}

/// Whether a path has a wildcard, or goes below a list without naming its entry.
fn is_pattern(path: &Path) -> bool {
    let below = path.elements.len().saturating_sub(1);
    path.elements.iter().enumerate().any(|(at, element)| {
        let wild = matches!(element.name.as_str(), "*" | "...") || element.keys.values().any(|key| key == "*");
        wild || at < below && element.name == "component" && element.keys.is_empty()
    })
}

/// Puts leaves into a notification: one update each, or as the quirks have it.
pub fn fill(chassis: &SharedChassis, into: &mut Notification, leaves: &[(Path, Value)], encoding: Encoding) {
    let plain = |path: &Path, value: &Value| Update {
        path: Some(path.to_gnmi()),
        val: Some(value.to_wire(encoding)),
        ..Update::default()
    };
    if chassis.has(Quirk::JsonContainers) && encoding != Encoding::Proto {
        into.update.extend(containers(leaves, encoding));
        return;
    }
    let shared = leaves.first().map(|(path, _)| path.parent()).unwrap_or_default();
    if chassis.has(Quirk::OneNotification) && leaves.iter().all(|(path, _)| path.parent() == shared) {
        let prefix = into.prefix.get_or_insert_default();
        prefix.elem = shared.to_gnmi().elem;
        let below = leaves.iter().map(|(path, value)| plain(&Path::default().child(path.leaf()), value));
        into.update.extend(below);
        return;
    }
    into.update.extend(leaves.iter().map(|(path, value)| plain(path, value)));
}

/// One update for each container, with its leaves as one JSON object.
fn containers(leaves: &[(Path, Value)], encoding: Encoding) -> Vec<Update> {
    let ietf = encoding == Encoding::JsonIetf;
    let mut found: Vec<(Path, serde_json::Map<String, serde_json::Value>)> = Vec::new();
    for (path, value) in leaves {
        let parent = path.parent();
        let module = parent.elements.first().map_or("", |first| first.name.as_str());
        let module = if module == "components" { "platform" } else { module };
        let name = if ietf { format!("openconfig-{module}:{}", path.leaf()) } else { path.leaf().to_owned() };
        match found.last_mut() {
            Some((last, members)) if *last == parent => drop(members.insert(name, value.to_json(ietf))),
            _ => found.push((parent, serde_json::Map::from_iter([(name, value.to_json(ietf))]))),
        }
    }
    let update = |(path, members): (Path, _)| {
        let text = serde_json::Value::Object(members).to_string().into_bytes();
        let value = if ietf { typed_value::Value::JsonIetfVal(text) } else { typed_value::Value::JsonVal(text) };
        Update { path: Some(path.to_gnmi()), val: Some(TypedValue { value: Some(value) }), ..Update::default() }
    };
    found.into_iter().map(update).collect()
}
