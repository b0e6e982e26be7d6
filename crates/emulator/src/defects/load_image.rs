//! What becomes of images when a new active loads.

use std::sync::Arc;
use std::time::Duration;

use super::{At, Defect, fresh_id, plant};
use crate::loading::{Start, start_containers};
use crate::shared::SharedChassis;
use crate::store::{Image, Removed};
use holdfast_net::waiting::pause;

/// When what was removed comes back late.
const LATE: Duration = Duration::from_secs(2);

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "load.image.lost",
        help: "an image is gone when a new active loads",
        at: &[At::Failpoint("load.image", "drop")],
    },
    Defect {
        name: "load.image.replaced",
        help: "another image has its name when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            held.images.iter_mut().filter(|_| fires()).for_each(|image| image.id = fresh_id());
            Ok(())
        })],
    },
    Defect {
        name: "load.image.untagged",
        help: "an image has lost its name when a new active loads",
        at: &[At::Failpoint("load.image", r#"return{"names": []}"#)],
    },
    Defect {
        name: "load.image.tag_moved",
        help: "an image's tag is on another image when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            let mut twins = Vec::new();
            for image in held.images.iter_mut().filter(|_| fires()) {
                twins.push(twin(image));
                image.names.iter_mut().for_each(|(_, tag)| tag.push_str("-before"));
            }
            held.images.extend(twins);
            Ok(())
        })],
    },
    Defect {
        name: "load.image.duplicated",
        help: "another image has the same name too when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            let twins: Vec<_> = held.images.iter().filter(|_| fires()).map(twin).collect();
            held.images.extend(twins);
            Ok(())
        })],
    },
    Defect {
        name: "load.image.resurrected",
        help: "a removed image is back when a new active loads",
        at: &[At::ObjectsLoaded(|_, held, fires| {
            let back: Vec<_> = held.removed.images.iter().filter(|_| fires()).cloned().collect();
            for image in back {
                held.add_image(image);
            }
            Ok(())
        })],
    },
    Defect {
        name: "load.image.resurrected_late",
        help: "a removed image is back two seconds after a new active loaded",
        at: &[At::ContainersStarted(|chassis, active, fires| {
            let mut back = removed_from(chassis, active);
            back.images.retain(|_| fires());
            bring_back_late(chassis, active, Removed { images: back.images, ..Removed::default() });
        })],
    },
];

/// An image with the names of another.
fn twin(image: &Image) -> Image {
    Image { id: fresh_id(), manifest: fresh_id(), ..image.clone() }
}

pub fn removed_from(chassis: &Arc<SharedChassis>, active: usize) -> Removed {
    chassis.control_processors[active].store.inventory().removed
}

/// Brings back what was removed, some time after the runtime has loaded.
pub fn bring_back_late(chassis: &Arc<SharedChassis>, active: usize, removed: Removed) {
    if removed == Removed::default() {
        return;
    }
    let later = chassis.clone();
    chassis.spawn(async move {
        pause(LATE).await;
        plant(&later.control_processors[active].store, |held| {
            removed.images.into_iter().for_each(|image| held.add_image(image));
            held.containers.extend(removed.containers);
            held.volumes.extend(removed.volumes);
            Ok(())
        });
        start_containers(&later, active, Start::Switchover).await;
    });
}
