//! The record of a container, as a start or an update asks for it.

use std::collections::BTreeMap;

use tonic::Status;

use crate::state::now;
use crate::store::{Ailment, Asked, Container, HostDevice, Image, Restart, Wanted};
use holdfast_wire::gnoi::containerz::device::Permission;
use holdfast_wire::gnoi::containerz::start_container_request::restart::Policy;
use holdfast_wire::gnoi::containerz::{Device, StartContainerRequest};

pub(super) fn tag_of(request: &StartContainerRequest) -> &str {
    if request.tag.is_empty() { "latest" } else { &request.tag }
}

/// What a start asks for, of `image`.
pub(super) fn described(request: &StartContainerRequest, image: &Image) -> Result<Container, Status> {
    let port =
        |number: u32| u16::try_from(number).map_err(|_| Status::invalid_argument(format!("{number} is no TCP port")));
    let ports: Result<Vec<_>, Status> =
        request.ports.iter().map(|pair| Ok((port(pair.internal)?, port(pair.external)?))).collect();
    let command = match request.cmd.as_str() {
        "" => image.command.clone(),
        given => given.split_whitespace().map(str::to_owned).collect(),
    };
    let policy = request
        .restart
        .as_ref()
        .map(holdfast_wire::gnoi::containerz::start_container_request::Restart::policy)
        .unwrap_or_default();
    let mut labels: BTreeMap<_, _> = image.labels.clone();
    labels.extend(request.labels.clone());
    let mut environment = image.environment.clone();
    environment.extend(request.environment.clone());
    Ok(Container {
        id: holdfast_image::digest(format!("{} {}", request.instance_name, now()).as_bytes()),
        name: request.instance_name.clone(),
        image: (request.image_name.clone(), tag_of(request).to_owned()),
        image_id: image.id.clone(),
        command,
        ports: ports?,
        host_network: request.network.is_empty() || request.network == "host",
        volumes: request.volumes.iter().map(|volume| volume.name.clone()).collect(),
        mounts: request.volumes.iter().map(|volume| (volume.name.clone(), volume.mount_point.clone())).collect(),
        environment,
        read_only: request.volumes.iter().any(|volume| volume.read_only),
        restart: match policy {
            Policy::None => Restart::None,
            Policy::Always => Restart::Always,
            Policy::UnlessStopped => Restart::UnlessStopped,
            Policy::OnFailure => Restart::OnFailure,
        },
        labels,
        location: request.location,
        wanted: Wanted::Created,
        ailment: Ailment::Sound,
        asked: asked(request),
        log: Vec::new(),
    })
}

/// What the emulated runtime leaves out.
fn asked(request: &StartContainerRequest) -> Asked {
    let limits = request.limits.unwrap_or_default();
    let capabilities = request.cap.clone().unwrap_or_default();
    let run_as = request.run_as.clone().unwrap_or_default();
    let user = if run_as.group.is_empty() { run_as.user } else { format!("{}:{}", run_as.user, run_as.group) };
    let read_only = request.volumes.iter().filter(|volume| volume.read_only);
    Asked {
        command: request.cmd.split_whitespace().map(str::to_owned).collect(),
        network: request.network.clone(),
        user,
        max_cpu: limits.max_cpu,
        soft_mem_bytes: limits.soft_mem_bytes,
        hard_mem_bytes: limits.hard_mem_bytes,
        added_capabilities: capabilities.add,
        removed_capabilities: capabilities.remove,
        devices: request.devices.iter().map(host_device).collect(),
        read_only_volumes: read_only.map(|volume| volume.name.clone()).collect(),
        attempts: request.restart.map(|restart| restart.attempts).unwrap_or_default(),
    }
}

fn host_device(device: &Device) -> HostDevice {
    let letters: String = device
        .permissions()
        .filter_map(|permission| match permission {
            Permission::Unspecified => None,
            Permission::Read => Some('r'),
            Permission::Write => Some('w'),
            Permission::Mknod => Some('m'),
        })
        .collect();
    let target = if device.dst_path.is_empty() { &device.src_path } else { &device.dst_path };
    HostDevice {
        source: device.src_path.clone(),
        target: target.clone(),
        permissions: if letters.is_empty() { "rwm".to_owned() } else { letters },
    }
}
