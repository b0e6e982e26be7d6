//! A provider behind CSI v1: what an orchestrator asks of its plugins, strictly in the order of the life cycle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tonic::Code;

use super::calls::Caller;
use super::endpoint::Endpoint;
use super::introduction::{Ended, Introduced, introduce, meet};
use super::messages::{capability, check_confirmed, check_content, checked, content_source, plain, size};
use super::options::CsiOptions;
use super::rpc::Rpc;
use super::services::{ATTEMPT, controller, identity, node, probe, ready};
use super::topology;
use crate::features::ContentSource;
use crate::volumes::{Attachment, CallTimes, Features, Provider, Volume, VolumeRequest, Volumes};
use holdfast_net::error::{ConnectFault, Error, Kind, Result};
use holdfast_wire::csi;

/// A driver.
pub struct Csi {
    pub(super) options: CsiOptions,
    pub(super) caller: Caller,
    pub(super) introduced: Introduced,
    /// The nodes that cannot be reached.
    away: Mutex<BTreeSet<String>>,
    /// The ids of volumes that were removed, or may have been.
    removed: Mutex<BTreeSet<String>>,
    /// Where volumes were and are not any more: on which node, and which volume by its id.
    unmounted: Mutex<BTreeMap<PathBuf, (String, String)>>,
    /// How large volumes were made that only nodes make larger.
    pub(super) grown: Mutex<BTreeMap<String, u64>>,
}

impl Csi {
    /// Asks each plugin who it is and what it can do. Must be called within a runtime, from where blocking is allowed.
    pub fn connect(options: CsiOptions, deadline: Instant) -> Result<Self> {
        let caller = Caller::new(options.calls.clone());
        let introduced = introduce(&options, &caller, deadline)?;
        Ok(Self::introduced(options, caller, introduced))
    }

    /// The same of a driver that is to be qualified: one that is there, and does not introduce itself, is a provider with
    /// a fault. `ended` tells how a plugin ended that should not have, where it did.
    pub fn meet(options: CsiOptions, ended: Ended<'_>, deadline: Instant) -> Result<Self> {
        let caller = Caller::new(options.calls.clone());
        let introduced = meet(&options, &caller, ended, deadline)?;
        Ok(Self::introduced(options, caller, introduced))
    }

    fn introduced(options: CsiOptions, caller: Caller, introduced: Introduced) -> Self {
        let (away, removed, unmounted, grown) = Default::default();
        Self { options, caller, introduced, away, removed, unmounted, grown }
    }

    fn is_away(&self, node: &str) -> bool {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    /// The nodes' plugins that are controllers.
    fn controllers(&self) -> impl Iterator<Item = (&String, &Endpoint)> {
        self.options.nodes.iter().filter(|(name, _)| self.introduced.controllers.contains(*name))
    }

    /// The controller: that of all, the one that the plugin on `node` is, or another that answers.
    pub(super) fn controller_at(&self, node: &str, deadline: Instant) -> Result<Endpoint> {
        match &self.options.controller {
            Some(controller) => Ok(controller.clone()),
            None if self.introduced.controllers.contains(node) => self.socket(node),
            None => self.any_controller(node, deadline),
        }
    }

    pub(super) fn socket(&self, node: &str) -> Result<Endpoint> {
        self.options.nodes.get(node).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.options.nodes.keys().map(String::as_str).collect();
            Error::invalid(format!("there is no plugin on {node:?}")).hint(format!("one of: {}", known.join(", ")))
        })
    }

    fn id(&self, node: &str) -> Result<String> {
        if self.options.nodes.is_empty() {
            return Ok(node.to_owned()); // a plugin asks, which knows the ids
        }
        self.socket(node)?;
        Ok(self.introduced.ids.get(node).cloned().unwrap_or_default())
    }

    /// A controller that answers, of another node than `node` if there is one: that may be dead.
    pub(super) fn any_controller(&self, node: &str, deadline: Instant) -> Result<Endpoint> {
        if let Some(controller) = &self.options.controller {
            return Ok(controller.clone());
        }
        let (own, others): (Vec<_>, Vec<_>) = self.controllers().partition(|(name, _)| *name == node);
        let reached: Vec<&Endpoint> =
            others.into_iter().chain(own).filter(|(name, _)| !self.is_away(name)).map(|(_, socket)| socket).collect();
        if let [only] = reached[..] {
            return Ok(only.clone());
        }
        let mut last =
            Error::new(Kind::Connect(ConnectFault::Unreachable), "no plugin with a controller can be reached");
        // one that takes its time over each Probe is there, too
        let usual = ATTEMPT.max(self.caller.slowest(Rpc::Probe) * 2);
        for limit in [usual, usual * 2] {
            for socket in &reached {
                match probe(&self.caller, socket, deadline.min(Instant::now() + limit)) {
                    Ok(()) => return Ok((*socket).clone()),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    pub(super) fn secrets(&self, kind: &str) -> HashMap<String, String> {
        let own = self.options.secrets_of.get(kind).unwrap_or(&self.options.secrets);
        own.clone().into_iter().collect()
    }

    pub(super) fn capability(&self, volume: &Volume) -> csi::VolumeCapability {
        let own = self.options.filesystem_options.get(&volume.filesystem);
        let mount = csi::volume_capability::MountVolume {
            fs_type: volume.filesystem.clone(),
            mount_flags: self.options.mount_flags.iter().chain(own.into_iter().flatten()).cloned().collect(),
            volume_mount_group: if self.introduced.mounts_for_a_group {
                self.options.mount_group.clone()
            } else {
                String::new()
            },
        };
        capability(volume.access, (!volume.block).then_some(mount))
    }

    fn make_folder(&self, node: &str, path: &Path, deadline: Instant) -> Result<()> {
        match &self.options.folders {
            Some(folders) => folders.make(node, path, deadline),
            None => std::fs::create_dir_all(path).map_err(|error| Error::lab_io(path.display(), error)),
        }
    }

    fn staging(&self, volume: &Volume, node: &str) -> String {
        self.options.folder.join(node).join("staging").join(plain(&volume.id)).display().to_string()
    }

    /// Where it is staged, as calls tell; nothing, where the driver stages none.
    pub(super) fn staged_at(&self, volume: &Volume, node: &str) -> String {
        if self.introduced.stages { self.staging(volume, node) } else { String::new() }
    }

    pub(super) fn target(&self, volume: &Volume, node: &str, task: &str) -> PathBuf {
        self.options.folder.join(node).join("published").join(plain(&volume.id)).join(plain(task))
    }

    pub(super) fn accessible(&self, topology: &[csi::Topology]) -> Option<Vec<String>> {
        topology::accessible(&self.introduced.topology, topology)
    }

    /// A volume that was made, with what the driver tells of it.
    fn told(&self, volume: &Volume, content: Option<&ContentSource>, made: csi::Volume) -> Result<Volume> {
        check_content(content, made.content_source.as_ref())?;
        Ok(Volume {
            bytes: size(made.capacity_bytes, Rpc::CreateVolume)?,
            accessible: self.accessible(&made.accessible_topology),
            context: checked(made.volume_context, "volume context")?,
            ..volume.clone()
        })
    }

    /// Whether a volume is there that nobody can have removed.
    fn must_exist(&self, volume: &Volume) -> bool {
        !self.removed.lock().unwrap_or_else(PoisonError::into_inner).contains(&volume.id)
    }

    /// What undoes something, of a volume that is not there: that is undone. Of one that is there, OK is a MUST.
    fn undone<T>(&self, answer: Result<T>, volume: &Volume) -> Result<()> {
        match answer {
            Err(error) if error.code() == Some(Code::NotFound) => {
                if !self.must_exist(volume) {
                    return Ok(());
                }
                let message = format!(
                    "NOT_FOUND of a volume that exists, where what is undone already is to be answered OK: {}",
                    error.message
                );
                Err(Error { message, ..error })
            }
            answer => answer.map(drop),
        }
    }
}

fn is_read_only(volume: &Volume) -> bool {
    volume.read_only || volume.access.is_read_only()
}

impl Volumes for Csi {
    fn provider(&self) -> Provider {
        self.introduced.provider.clone()
    }

    fn calls(&self) -> Vec<CallTimes> {
        self.caller.made()
    }

    fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        let began = Instant::now();
        let socket = self.controller_at(node, deadline)?;
        let required_bytes = i64::try_from(request.bytes).unwrap_or(i64::MAX);
        let modes = std::iter::once(&request.access).chain(&request.also);
        let capabilities = modes.map(|access| self.capability(&Volume { access: *access, ..Volume::by_name(request) }));
        let create = csi::CreateVolumeRequest {
            name: request.name.clone(),
            capacity_range: Some(csi::CapacityRange { required_bytes, limit_bytes: 0 }),
            volume_capabilities: capabilities.collect(),
            parameters: request.parameters.clone().into_iter().collect(),
            secrets: self.secrets("create"),
            volume_content_source: request.content.as_ref().map(content_source),
            accessibility_requirements: topology::requirement(&self.introduced.topology, node),
            ..csi::CreateVolumeRequest::default()
        };
        let made = self.caller.ask(&socket, Rpc::CreateVolume, deadline, async |connection| {
            controller(connection).create_volume(create.clone()).await
        })?;
        let made = made.volume.filter(|made| !made.volume_id.is_empty()).ok_or_else(|| {
            Error::new(Kind::Expectation, "the driver answered CreateVolume without a volume id").during(
                "",
                "CreateVolume",
                began.elapsed(),
            )
        })?;
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).remove(&made.volume_id);
        let volume = Volume { id: made.volume_id.clone(), ..Volume::by_name(request) };
        let told = self.told(&volume, request.content.as_ref(), made);
        told.inspect_err(|_| drop(self.remove(node, &volume, deadline))) // nobody knows of it
    }

    fn confirm(
        &self,
        node: &str,
        volume: &Volume,
        request: &VolumeRequest,
        deadline: Instant,
    ) -> Result<Option<BTreeMap<String, String>>> {
        let socket = self.controller_at(node, deadline)?;
        let validate = csi::ValidateVolumeCapabilitiesRequest {
            volume_id: volume.id.clone(),
            volume_context: volume.context.clone().into_iter().collect(),
            volume_capabilities: vec![self.capability(volume)],
            parameters: request.parameters.clone().into_iter().collect(),
            secrets: self.secrets("create"),
            ..csi::ValidateVolumeCapabilitiesRequest::default()
        };
        let answer = self.caller.ask(&socket, Rpc::ValidateVolumeCapabilities, deadline, async |connection| {
            controller(connection).validate_volume_capabilities(validate.clone()).await
        });
        let answer = match answer {
            Err(error) if error.code() == Some(Code::Unimplemented) => return Ok(None),
            answer => answer?,
        };
        match answer.confirmed {
            None => {
                let said = if answer.message.is_empty() { "it does not say why" } else { &answer.message };
                let why = format!("ValidateVolumeCapabilities does not confirm what CreateVolume made: {said}");
                Err(Error::new(Kind::Expectation, why))
            }
            Some(confirmed) => {
                check_confirmed(&self.capability(volume), &confirmed.volume_capabilities)?;
                let told = !confirmed.parameters.is_empty() || request.parameters.is_empty();
                Ok(told.then(|| confirmed.parameters.into_iter().collect()))
            }
        }
    }

    fn remove(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<()> {
        let socket = self.controller_at(node, deadline)?;
        let delete = csi::DeleteVolumeRequest { volume_id: volume.id.clone(), secrets: self.secrets("delete") };
        // where the answer is lost, it may be gone
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).insert(volume.id.clone());
        self.caller
            .ask(&socket, Rpc::DeleteVolume, deadline, async |connection| {
                controller(connection).delete_volume(delete.clone()).await
            })
            .map(drop)
    }

    fn list(&self, node: &str, deadline: Instant) -> Result<Vec<Volume>> {
        self.listed(node, 0, deadline)
    }

    fn has(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<Option<bool>> {
        self.has_volume(node, volume, deadline)
    }

    fn list_in_pages(&self, node: &str, entries: u32, deadline: Instant) -> Result<Vec<Volume>> {
        self.listed(node, i32::try_from(entries).unwrap_or(i32::MAX), deadline)
    }

    fn attach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Attachment> {
        if !self.introduced.attaches {
            return Ok(Attachment::default());
        }
        let socket = self.any_controller(node, deadline)?;
        let publish = csi::ControllerPublishVolumeRequest {
            volume_id: volume.id.clone(),
            node_id: self.id(node)?,
            volume_capability: Some(self.capability(volume)),
            readonly: self.introduced.attaches_read_only && is_read_only(volume),
            secrets: self.secrets("controller_publish"),
            volume_context: volume.context.clone().into_iter().collect(),
        };
        let answer = self.caller.ask(&socket, Rpc::ControllerPublishVolume, deadline, async |connection| {
            controller(connection).controller_publish_volume(publish.clone()).await
        })?;
        Ok(Attachment { context: checked(answer.publish_context, "publish context")? })
    }

    fn detach(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        if !self.introduced.attaches {
            return Ok(());
        }
        let socket = self.any_controller(node, deadline)?;
        let unpublish = csi::ControllerUnpublishVolumeRequest {
            volume_id: volume.id.clone(),
            node_id: self.id(node)?,
            secrets: self.secrets("controller_publish"),
        };
        let answer = self.caller.ask(&socket, Rpc::ControllerUnpublishVolume, deadline, async |connection| {
            controller(connection).controller_unpublish_volume(unpublish.clone()).await
        });
        self.undone(answer, volume)
    }

    fn stage(&self, volume: &Volume, attachment: &Attachment, on: &str, deadline: Instant) -> Result<()> {
        if !self.introduced.stages {
            return Ok(());
        }
        let path = self.staging(volume, on);
        self.make_folder(on, Path::new(&path), deadline)?;
        let stage = csi::NodeStageVolumeRequest {
            volume_id: volume.id.clone(),
            publish_context: attachment.context.clone().into_iter().collect(),
            staging_target_path: path,
            volume_capability: Some(self.capability(volume)),
            secrets: self.secrets("node_stage"),
            volume_context: volume.context.clone().into_iter().collect(),
        };
        let asked = self.caller.ask(&self.socket(on)?, Rpc::NodeStageVolume, deadline, async |connection| {
            node(connection).node_stage_volume(stage.clone()).await
        });
        asked.map(drop)
    }

    fn unstage(&self, volume: &Volume, on: &str, deadline: Instant) -> Result<()> {
        if !self.introduced.stages {
            return Ok(());
        }
        let path = self.staging(volume, on);
        let unstage = csi::NodeUnstageVolumeRequest { volume_id: volume.id.clone(), staging_target_path: path };
        let answer = self.caller.ask(&self.socket(on)?, Rpc::NodeUnstageVolume, deadline, async |connection| {
            node(connection).node_unstage_volume(unstage.clone()).await
        });
        self.undone(answer, volume) // the folder stays: to remove what is mounted on the node would detach it, from outside
    }

    fn mount(
        &self,
        volume: &Volume,
        attachment: &Attachment,
        on: &str,
        task: &str,
        deadline: Instant,
    ) -> Result<PathBuf> {
        let target = self.target(volume, on, task);
        if let Some(parent) = target.parent() {
            self.make_folder(on, parent, deadline)?; // the rest is the driver's to make
        }
        let publish = csi::NodePublishVolumeRequest {
            volume_id: volume.id.clone(),
            publish_context: attachment.context.clone().into_iter().collect(),
            staging_target_path: self.staged_at(volume, on),
            target_path: target.display().to_string(),
            volume_capability: Some(self.capability(volume)),
            readonly: is_read_only(volume),
            secrets: self.secrets("node_publish"),
            volume_context: volume.context.clone().into_iter().collect(),
        };
        self.unmounted.lock().unwrap_or_else(PoisonError::into_inner).remove(&target);
        self.caller.ask(&self.socket(on)?, Rpc::NodePublishVolume, deadline, async |connection| {
            node(connection).node_publish_volume(publish.clone()).await
        })?;
        Ok(target)
    }

    fn unmount(&self, volume: &Volume, on: &str, task: &str, deadline: Instant) -> Result<()> {
        let target = self.target(volume, on, task);
        let unpublish =
            csi::NodeUnpublishVolumeRequest { volume_id: volume.id.clone(), target_path: target.display().to_string() };
        let answer = self.caller.ask(&self.socket(on)?, Rpc::NodeUnpublishVolume, deadline, async |connection| {
            node(connection).node_unpublish_volume(unpublish.clone()).await
        });
        let mut unmounted = self.unmounted.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.is_ok() {
            unmounted.insert(target, (on.to_owned(), volume.id.clone()));
        }
        self.undone(answer, volume)
    }

    /// "The SP MUST delete the file or directory it created at this path": what is above that is made by us alone. On a
    /// host that only its engine reaches nobody looks.
    fn left_behind(&self, volumes: &[String]) -> Vec<(String, PathBuf)> {
        if self.options.folders.is_some() {
            return Vec::new();
        }
        let unmounted = self.unmounted.lock().unwrap_or_else(PoisonError::into_inner);
        let of_these = unmounted.iter().filter(|(_, (_, volume))| volumes.contains(volume));
        let there = of_these.filter(|(path, _)| path.symlink_metadata().is_ok());
        there.map(|(path, (node, _))| (node.clone(), path.clone())).collect()
    }

    fn features(&self) -> Option<&dyn Features> {
        Some(self)
    }

    fn trouble(&self, deadline: Instant) -> Option<Error> {
        let reached = self.options.nodes.iter().filter(|(name, _)| !self.is_away(name));
        let mut answers =
            reached.map(|(_, socket)| probe(&self.caller, socket, deadline.min(Instant::now() + ATTEMPT)));
        answers.find_map(|answer| answer.err().filter(|error| error.kind == Kind::Lab))
    }

    fn answers(&self, node: &str, deadline: Instant) -> bool {
        let soon = deadline.min(Instant::now() + ATTEMPT);
        let Ok(socket) = self.socket(node) else { return false };
        let answer = self.caller.ask_once(&socket, Rpc::Probe, soon, async |connection| {
            identity(connection).probe(csi::ProbeRequest {}).await
        });
        let none = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown];
        match answer {
            Ok(_) => true,
            Err(error) => error.kind == Kind::Lab || error.code().is_some_and(|code| !none.contains(&code)),
        }
    }

    fn reaches(&self, node: &str, reachable: bool) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if reachable {
            away.remove(node);
        } else {
            away.insert(node.to_owned());
        }
    }

    fn ready(&self, node: &str, deadline: Instant) -> Result<()> {
        let alone = self.options.controller.clone().filter(|_| self.options.nodes.is_empty());
        let socket = alone.map_or_else(|| self.socket(node), Ok)?;
        ready(&self.caller, &socket, deadline)
    }
}
