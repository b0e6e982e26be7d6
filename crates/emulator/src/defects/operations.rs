//! Containerz operations that do something else than they say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{At, Defect, Step, fresh_id, plant};
use crate::replication;
use crate::runtime::Stop;
use crate::shared::SharedChassis;
use crate::store::{Container, Image, Wanted};
use holdfast_net::waiting::pause;
use holdfast_wire::gnoi::containerz::ImageTransfer;
use holdfast_wire::gnoi::containerz::list_container_response::Status as Listed;
use holdfast_wire::gnoi::containerz::start_container_request::Location;

/// How long a container that `start.half` started is known as one that is not.
const HALF: Duration = Duration::from_secs(1);

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "deploy.forgotten",
        help: "Deploy answers with success and keeps nothing",
        at: &[At::Skip(Step::KeepImage)],
    },
    Defect {
        name: "deploy.altered",
        help: "Deploy keeps another image than the one that came",
        at: &[At::NewImage(|image| image.id = fresh_id())],
    },
    Defect {
        name: "deploy.half",
        help: "a transfer that breaks off leaves an image behind",
        at: &[At::TransferBegins(leave_half)],
    },
    Defect {
        name: "start.ignored",
        help: "StartContainer answers with success and starts nothing",
        at: &[At::Failpoint("containerz.StartContainer", r#"return{"start_ok": {}}"#)],
    },
    Defect {
        name: "start.half",
        help: "a StartContainer that breaks off leaves a container behind that never runs",
        at: &[At::NewContainer(start_half)],
    },
    Defect {
        name: "start.both",
        help: "StartContainer starts the container on both control processors, and both are listed",
        at: &[At::KeptContainer(start_both)],
    },
    Defect {
        name: "start.wrong_image",
        help: "StartContainer of an image or tag that is not there starts another image",
        at: &[At::StartOfUnknownImage(|held| held.images.last().cloned())],
    },
    Defect {
        name: "list.stopped_running",
        help: "a stopped container is listed as running",
        at: &[At::StoppedRow(|row| row.set_status(Listed::Running))],
    },
    Defect {
        name: "list.all_always",
        help: "a list of the running containers has the stopped ones too",
        at: &[At::ListOfRunning(|request| request.all = true)],
    },
    Defect {
        name: "log.of_any",
        help: "Log of a container that is not there is another's",
        at: &[At::LogOfUnknown(|held| Some(held.containers.last()?.name.clone()))],
    },
    Defect {
        name: "update.ignored",
        help: "UpdateContainer answers with success and does nothing",
        at: &[At::Skip(Step::Update)],
    },
    Defect {
        name: "update.renamed",
        help: "an updated container has another name",
        at: &[At::UpdatedContainer(|container| container.name.push_str("-updated"))],
    },
    Defect {
        name: "update.ports_lost",
        help: "an updated container has lost its published ports",
        at: &[At::UpdatedContainer(|container| {
            container.ports.clear();
            container.host_network = false;
        })],
    },
    Defect {
        name: "update.volumes_lost",
        help: "an updated container has lost its volumes",
        at: &[At::UpdatedContainer(|container| {
            container.volumes.clear();
            container.mounts.clear();
        })],
    },
    Defect {
        name: "update.wrong_image",
        help: "UpdateContainer to an image or tag that is not there updates to another",
        at: &[At::UpdateToUnknownImage(|held| held.images.last().cloned())],
    },
    Defect {
        name: "update.stops_old",
        help: "a refused UpdateContainer leaves the container stopped",
        at: &[At::UpdateRefused(|chassis, index, old| Box::pin(stop(chassis, index, old)))],
    },
    Defect {
        name: "create_volume.options_lost",
        help: "CreateVolume makes a volume without the driver's options and labels",
        at: &[At::NewVolume(|volume| {
            volume.options.clear();
            volume.labels.clear();
        })],
    },
    Defect {
        name: "create_volume.twice",
        help: "CreateVolume of a volume that is there makes a second one of its name",
        at: &[At::Skip(Step::RefuseSecondVolume)],
    },
    Defect {
        name: "remove_volume.takes_another",
        help: "RemoveVolume of one that is not there removes another",
        at: &[At::RemovalOfUnknownVolume(|chassis, index| {
            plant(&chassis.control_processors[index].store, |held| {
                held.volumes.pop();
                Ok(())
            });
            replication::announce_change(chassis);
        })],
    },
    Defect {
        name: "deploy.plugin_forgotten",
        help: "Deploy of a plugin answers with success and keeps nothing",
        at: &[At::Skip(Step::KeepPlugin)],
    },
    Defect {
        name: "start_plugin.twice",
        help: "StartPlugin of a plugin that runs starts it once more",
        at: &[At::Skip(Step::RefuseSecondPlugin)],
    },
    Defect {
        name: "stop.ignored",
        help: "StopContainer answers with success and the container runs on",
        at: &[At::Failpoint("containerz.StopContainer", "return{}")],
    },
    Defect {
        name: "stop.polite_ignored",
        help: "StopContainer without force answers with success and the container runs on",
        at: &[At::Skip(Step::HeedPoliteStop)],
    },
    Defect {
        name: "stop.lingers",
        help: "StopContainer leaves the container serving, listed as stopped",
        at: &[At::Skip(Step::EndProcess)],
    },
    Defect {
        name: "remove_container.ignored",
        help: "RemoveContainer answers with success and does nothing",
        at: &[At::Failpoint("containerz.RemoveContainer", "return{}")],
    },
    Defect {
        name: "remove_container.lingers",
        help: "RemoveContainer leaves the container's ports open, and the container is listed no more",
        at: &[At::Skip(Step::EndRemovedProcess)],
    },
    Defect {
        name: "remove_image.ignored",
        help: "RemoveImage answers with success and does nothing",
        at: &[At::Failpoint("containerz.RemoveImage", "return{}")],
    },
    Defect {
        name: "remove_volume.ignored",
        help: "RemoveVolume answers with success and does nothing",
        at: &[At::Failpoint("containerz.RemoveVolume", "return{}")],
    },
    Defect {
        name: "create_volume.ignored",
        help: "CreateVolume answers with success and makes nothing",
        at: &[At::Failpoint("containerz.CreateVolume", "return{}")],
    },
];

/// The image of a transfer is there from the beginning, until it has come.
fn leave_half(chassis: &Arc<SharedChassis>, index: usize, transfer: &ImageTransfer) {
    let image = Image {
        manifest: String::new(),
        id: fresh_id(),
        names: vec![(transfer.name.clone(), transfer.tag.clone())],
        size: 0,
        command: Vec::new(),
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
    };
    chassis.defects.lasting().halves.push((image.id.clone(), [transfer.name.clone(), transfer.tag.clone()]));
    plant(&chassis.control_processors[index].store, |held| {
        held.add_image(image);
        Ok(())
    });
    replication::announce_change(chassis);
}

/// It runs, and is known as created alone for some time.
fn start_half(chassis: &Arc<SharedChassis>, index: usize, container: &mut Container) {
    container.wanted = Wanted::Created;
    let (later, name) = (chassis.clone(), container.name.clone());
    let life = chassis.control_processors[index].life();
    chassis.spawn(async move {
        if life.run_until_cancelled(pause(HALF)).await.is_none() {
            return; // it stays half done, which is what it is for
        }
        plant(&later.control_processors[index].store, |held| {
            held.container_mut(&name).into_iter().for_each(|container| container.wanted = Wanted::Running);
            Ok(())
        });
        replication::announce_change(&later);
    });
}

/// There is another of its name, which says that it runs on the standby.
fn start_both(chassis: &Arc<SharedChassis>, index: usize, name: &str) {
    plant(&chassis.control_processors[index].store, |held| {
        if let Some(mut other) = held.container(name).cloned() {
            other.id = fresh_id();
            other.location = Location::LBackup as i32;
            held.containers.push(other);
        }
        Ok(())
    });
    replication::announce_change(chassis);
}

async fn stop(chassis: Arc<SharedChassis>, index: usize, old: Container) {
    let control_processor = &chassis.control_processors[index];
    let _ = control_processor.runtime.stop(&old.name, Stop::AtOnce).await; // one that goes on is no defect
    plant(&control_processor.store, |held| {
        held.container_mut(&old.name).into_iter().for_each(|container| container.wanted = Wanted::Stopped);
        Ok(())
    });
    replication::announce_change(&chassis);
}
