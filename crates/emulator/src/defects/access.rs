//! Who is let in, and which roles are shown.

use super::{At, Defect, Leaves, Step};
use crate::shared::SharedChassis;
use holdfast_wire::path::Path;
use holdfast_wire::value::Value;

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "login.ignored",
        help: "whoever logs in is let in, whatever the password",
        at: &[At::Skip(Step::RefuseLogin)],
    },
    Defect {
        name: "roles.single",
        help: "gNMI shows the active control processor alone",
        at: &[At::ControlProcessorLeaves(show_the_active_alone)],
    },
    Defect {
        name: "roles.none",
        help: "gNMI shows no redundant-role at all",
        at: &[At::ControlProcessorLeaves(|_, leaves| leaves.retain(|(path, _)| path.leaf() != "redundant-role"))],
    },
    Defect {
        name: "roles.two_primaries",
        help: "gNMI calls both control processors PRIMARY",
        at: &[At::ControlProcessorLeaves(call_all_primary)],
    },
];

fn show_the_active_alone(chassis: &SharedChassis, leaves: &mut Leaves) {
    let active = Path::component(&chassis.settings.names[chassis.state().active()]);
    let shown = Path { origin: String::new(), ..active.clone() };
    leaves.retain(|(path, _)| shown.covers(path) || active.covers(path));
}

fn call_all_primary(_: &SharedChassis, leaves: &mut Leaves) {
    let roles = leaves.iter_mut().filter(|(path, _)| path.leaf() == "redundant-role");
    roles.for_each(|(_, value)| *value = Value::String("PRIMARY".to_owned()));
}
