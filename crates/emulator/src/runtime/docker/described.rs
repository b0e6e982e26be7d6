//! A container of the device as an engine is asked for it.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HostConfig, Mount, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};

use super::label_space::{LabelSpace, RECORD};
use super::volumes::mounted;
use crate::store::{Ailment, Container, Restart};

/// What the engine is asked for. Ports are published on `host`.
pub fn described(space: &LabelSpace, container: &Container, host: IpAddr) -> ContainerCreateBody {
    let asked = &container.asked;
    let mut labels: HashMap<_, _> = container.labels.clone().into_iter().collect();
    labels.extend(space.labels(&container.name));
    labels.insert(RECORD.to_owned(), container.id.clone());
    let published = container.ports.iter().filter(|_| container.ailment == Ailment::Sound);
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for (inside, outside) in published {
        let binding = PortBinding { host_ip: Some(host.to_string()), host_port: Some(outside.to_string()) };
        bindings.entry(format!("{inside}/tcp")).or_default().get_or_insert_default().push(binding);
    }
    ContainerCreateBody {
        image: Some(space.image(&container.image_id)),
        cmd: (!asked.command.is_empty()).then(|| asked.command.clone()),
        env: Some(container.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: (!asked.user.is_empty()).then(|| asked.user.clone()),
        labels: Some(labels),
        exposed_ports: Some(bindings.keys().cloned().collect()),
        host_config: Some(HostConfig {
            network_mode: Some(network(container)),
            port_bindings: Some(bindings),
            mounts: Some(mounts(space, container)),
            restart_policy: Some(restart_policy(container)),
            nano_cpus: (asked.max_cpu > 0.0).then(|| nano_cpus(asked.max_cpu)),
            memory: positive(asked.hard_mem_bytes),
            memory_reservation: positive(asked.soft_mem_bytes),
            cap_add: Some(asked.added_capabilities.clone()),
            cap_drop: Some(asked.removed_capabilities.clone()),
            devices: Some(
                asked
                    .devices
                    .iter()
                    .map(|device| DeviceMapping {
                        path_on_host: Some(device.source.clone()),
                        path_in_container: Some(device.target.clone()),
                        cgroup_permissions: Some(device.permissions.clone()),
                    })
                    .collect(),
            ),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// The network that was asked for. Where none was, a container that publishes ports has the engine's own bridge, so that
/// the ports are on the device's address and on nobody else's; any other has the host's, as the contract says.
pub fn network(container: &Container) -> String {
    match (container.asked.network.as_str(), container.ports.is_empty()) {
        ("", true) => "host".to_owned(),
        ("", false) => "bridge".to_owned(),
        (asked, _) => asked.to_owned(),
    }
}

fn mounts(space: &LabelSpace, container: &Container) -> Vec<Mount> {
    let mounts = container.mounts.iter().map(|(name, target)| Mount {
        read_only: Some(container.asked.read_only_volumes.contains(name)),
        volume_options: None, // what the image has at that place comes into an empty volume, as Docker has it
        ..mounted(&space.volume(name), target)
    });
    mounts.collect()
}

/// What the engine does by itself while the control processor runs. What becomes of a container at a boot is the
/// device's to say, so none starts with the engine again that was stopped.
fn restart_policy(container: &Container) -> RestartPolicy {
    let name = match container.restart {
        Restart::None => RestartPolicyNameEnum::NO,
        Restart::Always | Restart::UnlessStopped => RestartPolicyNameEnum::UNLESS_STOPPED,
        Restart::OnFailure => RestartPolicyNameEnum::ON_FAILURE,
    };
    let attempts = (container.restart == Restart::OnFailure).then(|| i64::from(container.asked.attempts));
    RestartPolicy { name: Some(name), maximum_retry_count: attempts }
}

fn positive(bytes: i64) -> Option<i64> {
    Some(bytes).filter(|bytes| *bytes > 0)
}

#[expect(clippy::cast_possible_truncation, reason = "a float's cast saturates, and no machine has so many")]
fn nano_cpus(cpus: f64) -> i64 {
    (cpus * 1e9) as i64
}
