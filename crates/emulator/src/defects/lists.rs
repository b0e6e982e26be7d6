//! Lists that are not whole while a new active loads.

use std::sync::Arc;
use std::time::Duration;

use super::{At, Defect, Lists};
use crate::shared::SharedChassis;
use holdfast_net::waiting::pause;

/// How long.
const MOMENT: Duration = Duration::from_secs(1);

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "load.lists_partial",
        help: "lists lack their last row for a second after a new active loaded",
        at: &[At::ContainersStarted(|chassis, _, fires| {
            if fires() {
                shorten(chassis, Lists::Partial);
            }
        })],
    },
    Defect {
        name: "load.lists_empty",
        help: "lists are empty for a second after a new active loaded",
        at: &[At::ContainersStarted(|chassis, _, fires| {
            if fires() {
                shorten(chassis, Lists::Empty);
            }
        })],
    },
];

fn shorten(chassis: &Arc<SharedChassis>, lists: Lists) {
    chassis.defects.lasting().lists = lists;
    let later = chassis.clone();
    chassis.spawn(async move {
        pause(MOMENT).await;
        later.defects.lasting().lists = Lists::Whole;
        later.announce();
    });
}
