//! The control processors: who is primary, who stands by, and whether a switchover would work.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::deadlines::{ATTEMPT, DeviceKind};
use super::device_time::time_of;
use super::{Deadlines, Device};
use crate::dial::{Call, EventKind};
use crate::error::{Error, Kind, Result};
use crate::gnmi::form::refuses_form;
use crate::gnmi::{Leaf, Path};
use crate::waiting::try_until;

/// How long the device may take to say what it is.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// From one look to the next while roles settle.
const LOOK: Duration = Duration::from_millis(40);

/// A control processor's part in the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is active.
    Primary,
    /// It stands by.
    Secondary,
}

impl Role {
    /// As gNMI spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Secondary => "SECONDARY",
        }
    }
}

/// What gNMI says of a control processor. What the device does not report is None.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlProcessor {
    /// Its component's name: data, never interpreted.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// `switchover-ready`
    pub ready: Option<bool>,
    /// Whether `oper-status` is ACTIVE.
    pub up: Option<bool>,
    /// `boot-time`, in nanoseconds since the epoch, whatever unit the device tells; not the 0 of a clock that is not set.
    pub boot_time: Option<u64>,
    /// `last-switchover-time`, in nanoseconds since the epoch as well.
    pub last_switchover_time: Option<u64>,
    /// `software-version`
    pub software_version: Option<String>,
    pub(super) kind: Option<String>,
}

impl fmt::Display for ControlProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: redundant-role {}", self.name, self.role.name())?;
        if let Some(ready) = self.ready {
            write!(f, ", switchover-ready {ready}")?;
        }
        for (leaf, time) in [("boot-time", self.boot_time), ("last-switchover-time", self.last_switchover_time)] {
            if let Some(time) = time {
                write!(f, ", {leaf} {time}")?;
            }
        }
        Ok(())
    }
}

/// A primary and a standby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub primary: ControlProcessor,
    pub secondary: ControlProcessor,
}

impl Pair {
    /// `switchover-ready`, where the device has it; only the primary's word is reliable.
    pub fn ready(&self) -> Option<bool> {
        self.primary.ready.or(self.secondary.ready)
    }
}

impl Device {
    /// All control processors: gNMI Subscribe ONCE (or Get) of leaves below `/components/component[name=*]/state`, or of
    /// each component's, in the form that the device answers; where it refuses all, its first words are the error.
    pub async fn control_processors(&self, deadline: Instant) -> Result<Vec<ControlProcessor>> {
        self.control_processors_by(Call::read("gNMI.Subscribe", deadline)).await
    }

    pub(super) async fn control_processors_by(&self, call: Call) -> Result<Vec<ControlProcessor>> {
        let leaves = self.role_leaves(call).await?;
        let roles = read(&leaves);
        self.note_changes(&roles);
        if let Some(kind) = said_kind(&leaves) {
            self.remember_kind(kind);
        }
        Ok(roles)
    }

    /// The same for who waits: none where the device refuses to tell, which it may do between two states.
    pub(super) async fn roles_so_far(&self, call: Call) -> Result<Vec<ControlProcessor>> {
        match self.control_processors_by(call).await {
            Err(error) if refuses_form(&error) => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// Whether the device says that it is EMULATED: asked once, and never where roles were read before.
    ///
    /// False where gNMI is not served or refuses to tell; where nothing answers, the next call asks again.
    pub async fn is_emulated(&self) -> bool {
        if let Some(known) = self.known_kind() {
            return known != DeviceKind::Real;
        }
        let call = Call::read("gNMI.Subscribe", Instant::now() + INTRODUCTION).probing(ATTEMPT);
        if let Err(error) = self.control_processors_by(call).await
            && error.code().is_some_and(refuses_to_tell)
        {
            self.remember_kind(DeviceKind::Real);
        }
        self.known_kind().is_some_and(|kind| kind != DeviceKind::Real)
    }

    /// How long each step may take; asks the device what it is where that is not known yet.
    pub async fn known_deadlines(&self) -> &Deadlines {
        self.is_emulated().await;
        self.deadlines()
    }

    fn known_kind(&self) -> Option<DeviceKind> {
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember_kind(&self, kind: DeviceKind) {
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind);
    }

    /// Puts what gNMI says otherwise than before on the timeline.
    fn note_changes(&self, roles: &[ControlProcessor]) {
        let up = roles.iter().find(|cp| cp.role == Role::Secondary && cp.up == Some(true));
        self.standby_ways.said_up(up.map(|cp| cp.name.as_str()));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for cp in roles.iter().filter(|cp| !seen.contains(cp)) {
            let fields = vec![("control_processor", cp.name.as_str().into()), ("role", cp.role.name().into())];
            self.session.timeline().record_fields(EventKind::Gnmi, cp.to_string(), fields);
        }
        for gone in seen.iter().filter(|before| !roles.iter().any(|cp| cp.name == before.name)) {
            let text = format!("{}: no redundant-role", gone.name);
            let fields = vec![("control_processor", gone.name.as_str().into())];
            self.session.timeline().record_fields(EventKind::Gnmi, text, fields);
        }
        roles.clone_into(&mut seen);
    }

    /// One primary and one standby; what is otherwise is given a moment to settle.
    pub(super) async fn pair(&self, call: Call) -> Result<Pair> {
        let settle = self.deadlines().settle;
        let settled = call.deadline.min(Instant::now() + settle);
        let pair = try_until(settled, LOOK, || async {
            match self.control_processors_by(call).await {
                Err(error) if refuses_form(&error) => Ok(Err(error)),
                roles => Ok(pair_of(&roles?)),
            }
        });
        pair.await?.map_err(|error| error.during(self.name(), "control processors", settle))
    }
}

/// What all software calls itself, that of cards without a role too; None where none is reported.
fn said_kind(leaves: &[Leaf]) -> Option<DeviceKind> {
    let versions = leaves.iter().filter(|leaf| leaf.path.leaf() == "software-version");
    let said = versions.map(|leaf| leaf.value.as_ref().map(ToString::to_string).unwrap_or_default());
    let said: Vec<String> = said.collect();
    let all = |word: &str| said.iter().all(|version| version.contains(word));
    (!said.is_empty()).then(|| match (all("EMULATED"), all("real containers")) {
        (false, _) => DeviceKind::Real,
        (true, false) => DeviceKind::Emulated,
        (true, true) => DeviceKind::RealContainers,
    })
}

/// What a device answers that will not answer otherwise when it is asked again.
fn refuses_to_tell(code: Code) -> bool {
    matches!(
        code,
        Code::Unimplemented | Code::NotFound | Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated
    )
}

fn read(leaves: &[Leaf]) -> Vec<ControlProcessor> {
    let mut by_name: BTreeMap<&str, BTreeMap<&str, &Leaf>> = BTreeMap::new();
    for leaf in leaves.iter().filter(|leaf| is_state_of_component(&leaf.path)) {
        if let Some(name) = leaf.path.key("component", "name") {
            let state = by_name.entry(name).or_default();
            let seen = state.entry(leaf.path.leaf()).or_insert(leaf);
            if !seen.is_newer_than(leaf) {
                *seen = leaf;
            }
        }
    }
    let mut found: Vec<_> = by_name.iter().filter_map(|(name, state)| control_processor(name, state)).collect();
    if found.len() > 2 {
        let cards = |cp: &ControlProcessor| cp.kind.as_deref() == Some("CONTROLLER_CARD");
        if found.iter().any(cards) {
            found.retain(cards);
        }
    }
    found
}

/// Whether a leaf is of a component itself: a device that gives more than was asked for also gives what lies elsewhere.
fn is_state_of_component(path: &Path) -> bool {
    let component = path.elements.iter().rposition(|element| element.name == "component");
    component.and_then(|at| path.elements.get(at + 1)).is_some_and(|below| below.name == "state")
}

fn control_processor(name: &str, state: &BTreeMap<&str, &Leaf>) -> Option<ControlProcessor> {
    let value = |leaf: &str| state.get(leaf).and_then(|leaf| leaf.value.as_ref());
    let text = |leaf: &str| value(leaf).and_then(|value| value.as_name()).map(str::to_owned);
    let told = text("redundant-role")?;
    let role = [Role::Primary, Role::Secondary].into_iter().find(|role| told.eq_ignore_ascii_case(role.name()))?;
    Some(ControlProcessor {
        name: name.to_owned(),
        role,
        ready: value("switchover-ready").and_then(crate::gnmi::Value::as_bool),
        up: text("oper-status").map(|status| status.eq_ignore_ascii_case("ACTIVE")),
        boot_time: time_of(value("boot-time")),
        last_switchover_time: time_of(value("last-switchover-time")),
        software_version: value("software-version").map(ToString::to_string),
        kind: text("type"),
    })
}

/// Whether another is PRIMARY in the place of `primary`, or it says itself that it stands by. That nobody says so, or that
/// it has no role for a moment, tells neither.
pub(super) fn is_displaced(primary: &str, all: &[ControlProcessor]) -> bool {
    let stands = all.iter().any(|cp| cp.name == primary && cp.role == Role::Primary);
    !stands && all.iter().any(|cp| (cp.name == primary) != (cp.role == Role::Primary))
}

pub(super) fn pair_of(all: &[ControlProcessor]) -> Result<Pair> {
    let of = |role| all.iter().filter(move |cp| cp.role == role).cloned().collect::<Vec<_>>();
    let names = |list: &[ControlProcessor]| list.iter().map(|cp| cp.name.as_str()).collect::<Vec<_>>().join(", ");
    let (primaries, secondaries) = (of(Role::Primary), of(Role::Secondary));
    let roles = |what: String| Error::new(Kind::Roles, what);
    match (primaries.as_slice(), secondaries.as_slice()) {
        ([primary], [secondary]) => Ok(Pair { primary: primary.clone(), secondary: secondary.clone() }),
        ([], []) => Err(roles("the device reports no control processor with a redundant-role".into())
            .hint("these tests need a device with two supervisors that gNMI shows")),
        ([only], []) => Err(roles(format!("the device has one control processor, {}", only.name))
            .hint("insert a second supervisor, or wait until it has booted")),
        ([], some) => Err(roles(format!("no control processor is PRIMARY; SECONDARY: {}", names(some)))
            .hint("wait until the device has booted, or look at its redundancy state")),
        ([_], some) => Err(roles(format!("more than one control processor is SECONDARY: {}", names(some)))
            .hint("tell the toolkit's makers: no device they know has two standbys")),
        (several, _) => Err(roles(format!("more than one control processor is PRIMARY: {}", names(several)))
            .hint("the device is split: mend its redundancy before a test")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn cp(name: &str, role: Role) -> ControlProcessor {
        ControlProcessor {
            name: name.into(),
            role,
            ready: None,
            up: None,
            boot_time: None,
            last_switchover_time: None,
            software_version: None,
            kind: None,
        }
    }

    fn version(component: &str, version: &str) -> Leaf {
        let path = Path::component(component).child("state").child("software-version");
        Leaf { path, value: Some(crate::gnmi::Value::String(version.to_owned())), timestamp: 0, target: String::new() }
    }

    #[test]
    fn only_a_role_that_is_told_displaces_a_primary() {
        let (a, b) = ("A", "B");
        for (all, displaced) in [
            (vec![cp(a, Role::Primary), cp(b, Role::Secondary)], false),
            (vec![cp(a, Role::Primary), cp(b, Role::Primary)], false),
            (vec![cp(b, Role::Secondary)], false),
            (vec![], false),
            (vec![cp(b, Role::Primary)], true),
            (vec![cp(a, Role::Secondary)], true),
            (vec![cp(a, Role::Secondary), cp(b, Role::Primary)], true),
        ] {
            assert_eq!(is_displaced(a, &all), displaced, "{all:?}");
        }
    }

    #[test]
    fn a_device_is_emulated_that_says_so_of_all_its_software() {
        let (real, emulated) = (version("A", "EOS-4.35.1F"), version("B", "EOS-4.35.1F (EMULATED)"));
        let containers = version("A", "EOS-4.35.1F (EMULATED, with real containers)");
        assert_eq!(said_kind(&[]), None);
        assert_eq!(said_kind(std::slice::from_ref(&emulated)), Some(DeviceKind::Emulated));
        assert_eq!(said_kind(&[emulated, real]), Some(DeviceKind::Real));
        assert_eq!(said_kind(std::slice::from_ref(&containers)), Some(DeviceKind::RealContainers));
    }

    #[test]
    fn only_one_primary_and_one_standby_make_a_pair() {
        let (a, b) = (cp("A", Role::Primary), cp("B", Role::Secondary));
        assert!(pair_of(&[a.clone(), b.clone()]).is_ok());
        for (bad, says) in [
            (vec![], "no control processor"),
            (vec![a.clone()], "one control processor"),
            (vec![b], "no control processor is PRIMARY"),
            (vec![a, cp("B", Role::Primary)], "more than one control processor is PRIMARY"),
        ] {
            let error = pair_of(&bad).expect_err(says);
            assert!(error.message.contains(says), "{error}");
        }
    }

    #[test]
    fn leaves_of_the_same_name_elsewhere_do_not_count() {
        let leaf = |below: &str, value: &str| {
            let text = format!("/components/component[name=A]/{below}");
            Leaf {
                path: text.parse().expect("a path"),
                value: Some(crate::gnmi::Value::String(value.into())),
                timestamp: 0,
                target: String::new(),
            }
        };
        let found = read(&[
            leaf("state/redundant-role", "PRIMARY"),
            leaf("config/redundant-role", "SECONDARY"),
            leaf("subcomponents/subcomponent[name=B]/state/redundant-role", "SECONDARY"),
        ]);
        assert_eq!(found.iter().map(|cp| cp.role).collect::<Vec<_>>(), [Role::Primary]);
    }

    #[test]
    fn of_two_values_of_a_leaf_the_later_counts() {
        let role = |timestamp, value: &str| Leaf {
            path: Path::component("A").child("state").child("redundant-role"),
            value: Some(crate::gnmi::Value::String(value.into())),
            timestamp,
            target: String::new(),
        };
        for (leaves, is) in [
            ([role(200, "PRIMARY"), role(100, "SECONDARY")], Role::Primary),
            ([role(100, "PRIMARY"), role(200, "SECONDARY")], Role::Secondary),
            ([role(200, "PRIMARY"), role(0, "SECONDARY")], Role::Secondary), // the last where no time tells
            ([role(100, "PRIMARY"), role(100, "SECONDARY")], Role::Secondary),
        ] {
            assert_eq!(read(&leaves)[0].role, is, "{leaves:?}");
        }
    }

    #[test]
    fn other_cards_with_a_role_do_not_count() {
        let leaf = |name: &str, leaf: &str, value: &str| Leaf {
            path: Path::component(name).child("state").child(leaf),
            value: Some(crate::gnmi::Value::String(value.into())),
            timestamp: 0,
            target: String::new(),
        };
        let mut leaves = Vec::new();
        for (name, kind, role) in [
            ("RE0", "openconfig-platform-types:CONTROLLER_CARD", "PRIMARY"),
            ("RE1", "CONTROLLER_CARD", "SECONDARY"),
            ("SFM0", "FABRIC", "PRIMARY"),
        ] {
            leaves.push(leaf(name, "redundant-role", role));
            leaves.push(leaf(name, "type", kind));
        }
        let names: Vec<_> = read(&leaves).into_iter().map(|cp| cp.name).collect();
        assert_eq!(names, ["RE0", "RE1"]);
    }
}
