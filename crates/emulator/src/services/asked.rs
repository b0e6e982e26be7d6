//! In which forms gNMI may be asked, and in which it answers: the quirks of devices in the field.

use std::time::Duration;

use tonic::{Code, Status};

use super::tree;
use crate::settings::Quirk;
use crate::shared::SharedChassis;
use crate::state::now;
use holdfast_wire::extension::Extension;
use holdfast_wire::gnmi::subscription_list::Mode;
use holdfast_wire::gnmi::{
    self, Encoding, Notification, Subscription, SubscriptionList, SubscriptionMode, TypedValue, Update, typed_value,
};
use holdfast_wire::gnmi_ext::ExtensionId;
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

/// The shortest interval that the device tells in.
const SHORTEST: Duration = Duration::from_millis(10);

/// One subscription of a list, as it is served.
pub struct Wanted {
    pub path: Path,
    pub mode: SubscriptionMode,
    pub sample: Duration,
    pub suppress_redundant: bool,
    pub heartbeat: Option<Duration>,
}

/// The subscriptions of a list, those left out that are answered with nothing.
pub fn wanted(chassis: &SharedChassis, list: &SubscriptionList) -> Result<Vec<Wanted>, Status> {
    if list.mode() == Mode::Once && chassis.has(Quirk::OnceRefused) {
        return Err(Status::invalid_argument("mode ONCE is not supported"));
    }
    let prefix = list.prefix.clone().unwrap_or_default();
    let mut wanted = Vec::new();
    for subscription in &list.subscription {
        let path = joined(&prefix, subscription.path.as_ref())?;
        if answers(chassis, &path)? {
            let streamed = list.mode() == Mode::Stream;
            wanted.push(if streamed { as_streamed(subscription, path)? } else { as_it_is(path) });
        }
    }
    if list.mode() == Mode::Once && chassis.has(Quirk::AbsentLeafRefused) {
        let all = tree::leaves(chassis);
        let absent = |wanted: &&Wanted| !all.iter().any(|(leaf, _)| wanted.path.covers(leaf));
        if let Some(Wanted { path, .. }) = wanted.iter().find(absent) {
            return Err(Status::not_found(format!("there is nothing at {path}")));
        }
    }
    Ok(wanted)
}

fn as_it_is(path: Path) -> Wanted {
    let mode = SubscriptionMode::TargetDefined;
    Wanted { path, mode, sample: SHORTEST, suppress_redundant: false, heartbeat: None }
}

fn as_streamed(subscription: &Subscription, path: Path) -> Result<Wanted, Status> {
    let refused = |why: &str| Err(Status::invalid_argument(format!("{path}: {why}")));
    let Ok(mode) = SubscriptionMode::try_from(subscription.mode) else { return refused("no such mode") };
    if mode != SubscriptionMode::Sample && subscription.sample_interval != 0 {
        return refused("sample_interval goes with mode SAMPLE");
    }
    if mode == SubscriptionMode::OnChange && path.leaf() == "current-datetime" {
        return refused("it changes all the time, and is not sent ON_CHANGE");
    }
    let (sample, heartbeat) = (interval(subscription.sample_interval), interval(subscription.heartbeat_interval));
    if [sample, heartbeat].into_iter().flatten().any(|interval| interval < SHORTEST) {
        return refused("this device tells every 10 ms at most");
    }
    let suppress_redundant = mode == SubscriptionMode::Sample && subscription.suppress_redundant;
    // Of samples, a heartbeat says how long one may be suppressed.
    let heartbeat = heartbeat.filter(|_| mode != SubscriptionMode::Sample || suppress_redundant);
    Ok(Wanted { path, mode, sample: sample.unwrap_or(SHORTEST), suppress_redundant, heartbeat })
}

/// None for 0: as the device likes.
fn interval(nanoseconds: u64) -> Option<Duration> {
    (nanoseconds != 0).then(|| Duration::from_nanos(nanoseconds).min(LONGEST))
}

/// More than anybody waits, and no more than a clock can add.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A path in full. A target stands in a prefix alone, and an origin not in both.
pub fn joined(prefix: &gnmi::Path, path: Option<&gnmi::Path>) -> Result<Path, Status> {
    let path = path.cloned().unwrap_or_default();
    if !path.target.is_empty() {
        return Err(Status::invalid_argument("a target stands in the prefix, and not in a path"));
    }
    if !prefix.origin.is_empty() && !path.origin.is_empty() {
        return Err(Status::invalid_argument("an origin stands in the prefix or in the paths, and not in both"));
    }
    Ok(Path::from_gnmi(prefix).join(&Path::from_gnmi(&path)))
}

/// Refuses what names no target, as gNMI's own collector does.
pub fn check_target(chassis: &SharedChassis, prefix: Option<&gnmi::Path>) -> Result<(), Status> {
    match prefix {
        _ if !chassis.has(Quirk::TargetRequired) => Ok(()),
        None => Err(Status::invalid_argument("request must contain a prefix")),
        Some(prefix) if prefix.target.is_empty() => Err(Status::invalid_argument("missing target")),
        Some(_) => Ok(()),
    }
}

/// Whether the device has a schema of that origin. Some name the model instead, as `openconfig-system`.
pub fn check_origin(path: &Path, for_set: bool) -> Result<(), Status> {
    match path.origin.as_str() {
        "" | "openconfig" => Ok(()),
        "cli" if for_set => Ok(()),
        other if other.starts_with("openconfig-") => Ok(()),
        other => Err(Status::invalid_argument(format!("{path}: origin {other} is not supported"))),
    }
}

/// What answers to extensions: the experimental one comes back as it is, any other is refused.
pub fn extensions(given: &[Extension]) -> Result<Vec<Extension>, Status> {
    for each in given {
        match each.as_registered() {
            Some(registered) if registered.id() == ExtensionId::EidExperimental => {}
            Some(registered) => {
                return Err(Status::unimplemented(format!("extension {} is not supported", registered.id)));
            }
            None => return Err(Status::unimplemented("of gNMI's extensions, the experimental one alone is supported")),
        }
    }
    Ok(given.to_vec())
}

/// Whether a path is answered; an error where it is refused.
pub fn answers(chassis: &SharedChassis, path: &Path) -> Result<bool, Status> {
    if path.origin == "openconfig" && chassis.has(Quirk::OriginRefused) {
        return Err(Status::invalid_argument(format!("{path}: origin openconfig is not supported")));
    }
    if path.origin.is_empty() && chassis.has(Quirk::OriginRequired) {
        return Err(Status::unknown(format!("{path}: the origin is missing")));
    }
    check_origin(path, false)?;
    if !is_pattern(path) {
        return Ok(true);
    }
    match WILDCARDS.into_iter().find(|(quirk, _)| chassis.has(*quirk)) {
        Some((_, code)) => Err(Status::new(code, format!("{path}: wildcards are not supported"))),
        None => Ok(!chassis.has(Quirk::WildcardsEmpty)),
    }
}

/// Whether a path has a wildcard, or goes below a list without naming its entry.
pub fn is_pattern(path: &Path) -> bool {
    let below = path.elements.len().saturating_sub(1);
    path.elements.iter().enumerate().any(|(at, element)| {
        let wild = matches!(element.name.as_str(), "*" | "...") || element.keys.values().any(|key| key == "*");
        wild || at < below && element.name == "component" && element.keys.is_empty()
    })
}

/// Leaves, below the prefix that was asked for. Its target is told only to who said it.
pub fn notification(
    chassis: &SharedChassis,
    asked: &gnmi::Path,
    leaves: &[(Path, Value)],
    encoding: Encoding,
) -> Notification {
    let prefix = gnmi::Path { target: asked.target.clone(), origin: "openconfig".to_owned(), ..shared(asked, leaves) };
    let timestamp = i64::try_from(now()).unwrap_or(i64::MAX);
    let mut notification = Notification { timestamp, prefix: Some(prefix), ..Notification::default() };
    fill(chassis, &mut notification, leaves, encoding);
    notification
}

/// The elements of a prefix that was asked for, where all leaves lie below it word by word: so they may be told without.
pub fn shared(asked: &gnmi::Path, leaves: &[(Path, Value)]) -> gnmi::Path {
    let prefix = Path::from_gnmi(asked);
    let shared = leaves.iter().all(|(path, _)| path.elements.starts_with(&prefix.elements));
    gnmi::Path { elem: if shared { prefix.to_gnmi().elem } else { Vec::new() }, ..gnmi::Path::default() }
}

/// A path without its first elements.
pub fn without(path: &Path, first: usize) -> Path {
    Path { elements: path.elements.iter().skip(first).cloned().collect(), ..path.clone() }
}

/// Puts leaves into a notification: one update each, or as the quirks have it.
pub fn fill(chassis: &SharedChassis, into: &mut Notification, leaves: &[(Path, Value)], encoding: Encoding) {
    let below = into.prefix.as_ref().map_or(0, |prefix| prefix.elem.len());
    let plain = |path: &Path, value: &Value| Update {
        path: Some(without(path, below).to_gnmi()),
        val: Some(value.to_wire(encoding)),
        ..Update::default()
    };
    if chassis.has(Quirk::JsonContainers) && encoding != Encoding::Proto {
        into.prefix.get_or_insert_default().elem.clear();
        into.update.extend(containers(leaves, encoding));
        return;
    }
    let shared = leaves.first().map(|(path, _)| path.parent()).unwrap_or_default();
    if chassis.has(Quirk::OneNotification) && leaves.iter().all(|(path, _)| path.parent() == shared) {
        let prefix = into.prefix.get_or_insert_default();
        prefix.elem = shared.to_gnmi().elem;
        let leaf = |path: &Path| without(path, path.elements.len().saturating_sub(1));
        let updates = leaves.iter().map(|(path, value)| Update {
            path: Some(leaf(path).to_gnmi()),
            val: Some(value.to_wire(encoding)),
            ..Update::default()
        });
        into.update.extend(updates);
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
