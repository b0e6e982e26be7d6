//! What becomes of plugins when a new active loads.

use super::{At, Defect};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "load.plugin.lost",
        help: "a plugin is gone when a new active loads",
        at: &[At::Failpoint("load.plugin", "drop")],
    },
    Defect {
        name: "load.plugin.half",
        help: "a plugin is listed without its configuration when a new active loads",
        at: &[At::Failpoint("load.plugin", r#"return{"config": ""}"#)],
    },
];
