//! `StartContainer`, `ListContainer`, `StopContainer`, `RemoveContainer`, `UpdateContainer`.

use std::collections::{BTreeMap, HashMap};

use tonic::{Response, Status};

use super::{ContainerzService, Rows, stream_of};
use crate::loading::listening_line;
use crate::settings::Quirk;
use crate::sites::Step;
use crate::state::now;
use crate::store::{Ailment, Container, Image, Restart, Wanted};
use holdfast_wire::gnoi::containerz::list_container_response::Status as Listed;
use holdfast_wire::gnoi::containerz::start_container_request::{Location, restart::Policy};
use holdfast_wire::gnoi::containerz::start_container_response::Response as Started;
use holdfast_wire::gnoi::containerz::update_container_response::Response as Updated;
use holdfast_wire::gnoi::containerz::{
    ListContainerRequest, ListContainerResponse, RemoveContainerRequest, RemoveContainerResponse,
    StartContainerRequest, StartContainerResponse, StartOk, StopContainerRequest, StopContainerResponse,
    UpdateContainerRequest, UpdateContainerResponse, UpdateOk,
};

const LOCATION: &str = "net.openconfig.containerz.location";

impl ContainerzService {
    pub(super) fn start_one_container(
        &self,
        request: &StartContainerRequest,
    ) -> Result<Response<StartContainerResponse>, Status> {
        self.check_labels(&request.labels)?;
        let container = if request.image_name.is_empty() {
            self.stopped(&request.instance_name)?
        } else {
            self.check_name(&request.instance_name)?;
            self.check_volumes(request)?;
            let image = self
                .image_of(request)
                .or_else(|missing| self.defects().start_of_unknown_image(&self.inventory()).ok_or(missing))?;
            let mut asked = described(request, &image)?;
            self.defects().asked_container(&mut asked);
            asked
        };
        let name = container.name.clone();
        if let Err(error) = self.control_processor().start(&container) {
            if self.has(Quirk::FailedStartLeftOver) {
                self.keep(Container { wanted: Wanted::Created, ..container })?;
            }
            return Err(Status::unavailable(format!("container {name} does not start: {error}")));
        }
        let mut running = Container { wanted: Wanted::Running, ..container };
        running.log.push(listening_line(&running));
        self.defects().new_container(&self.chassis, self.index, &mut running);
        self.keep(running)?;
        Ok(started(name))
    }

    fn keep(&self, container: Container) -> Result<(), Status> {
        self.keep_instead_of(&container.name.clone(), container)
    }

    fn keep_instead_of(&self, old: &str, container: Container) -> Result<(), Status> {
        self.change(|held| {
            held.containers.retain(|known| known.name != old && known.name != container.name);
            held.containers.push(container);
            Ok(())
        })
    }

    /// A start by name alone starts a stopped container again.
    fn stopped(&self, name: &str) -> Result<Container, Status> {
        let found = self.inventory().container(name).cloned();
        let found = found.ok_or_else(|| Status::not_found(format!("there is no container {name:?}")))?;
        if self.control_processor().runtime.runs(name) {
            return Err(Status::already_exists(format!("container {name:?} runs already")));
        }
        Ok(found)
    }

    fn check_name(&self, name: &str) -> Result<(), Status> {
        super::check_grammar("container", name)?;
        if self.inventory().container(name).is_none() {
            return Ok(());
        }
        if !self.control_processor().runtime.runs(name) && self.has(Quirk::StoppedDuplicateInternal) {
            return Err(Status::internal(format!("the container name {name:?} is already in use")));
        }
        Err(Status::already_exists(format!("there is a container {name:?} already")))
    }

    pub(super) fn check_labels(&self, labels: &HashMap<String, String>) -> Result<(), Status> {
        match labels.keys().min() {
            Some(key) if self.has(Quirk::LabelsRefused) => {
                Err(Status::invalid_argument(format!("unsupported field: labels[{key:?}]")))
            }
            _ => Ok(()),
        }
    }

    fn check_volumes(&self, request: &StartContainerRequest) -> Result<(), Status> {
        let inventory = self.inventory();
        let missing = request.volumes.iter().find(|volume| inventory.volume(&volume.name).is_none());
        match missing {
            None => Ok(()),
            Some(volume) if self.has(Quirk::VolumesCreatedSilently) => {
                super::check_grammar("volume", &volume.name)?;
                self.add_volume(&volume.name)
            }
            Some(volume) => Err(Status::not_found(format!("there is no volume {:?}", volume.name))),
        }
    }

    fn image_of(&self, request: &StartContainerRequest) -> Result<Image, Status> {
        let tag = tag_of(request);
        let found = self.inventory().image(&request.image_name, tag).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no image {}:{tag}", request.image_name)))
    }

    pub(super) fn list_containers(
        &self,
        mut request: ListContainerRequest,
    ) -> Result<Response<Rows<ListContainerResponse>>, Status> {
        let keys = request.filter.iter().map(|filter| filter.key.clone());
        self.check_filter(keys, &["label", "name", "status", "id", "ancestor", "volume"])?;
        if !request.all {
            self.defects().list_of_running(&mut request);
        }
        let inventory = self.inventory();
        let listed = inventory.containers.iter().map(|container| self.listed(container));
        let wanted = listed.filter(|row| request.all || row.status() != Listed::Stopped).filter(|row| {
            request.filter.iter().all(|filter| match filter.key.as_str() {
                "name" => row
                    .name
                    .split(',')
                    .any(|name| filter.value.iter().any(|value| name.trim_start_matches('/') == value)),
                "image" | "ancestor" => filter.value.contains(&row.image_name),
                _ => true,
            })
        });
        let mut wanted: Vec<_> = wanted.collect();
        self.defects().lasting().rows(&mut wanted);
        Ok(stream_of(wanted, request.limit))
    }

    fn listed(&self, container: &Container) -> ListContainerResponse {
        let status = match (self.control_processor().runtime.runs(&container.name), container.wanted) {
            _ if container.ailment == Ailment::Restarting => Listed::Unspecified,
            (true, Wanted::Created | Wanted::Running) => Listed::Running,
            (false, Wanted::Created) => Listed::Unspecified,
            (false, Wanted::Running) | (_, Wanted::Stopped) => Listed::Stopped,
        };
        let slash = if self.has(Quirk::SlashedNames) { "/" } else { "" };
        let link = if self.has(Quirk::LinkedNames) { format!("{slash}other/alias,") } else { String::new() };
        let unlabelled = self.has(Quirk::NoLabelsListed) || self.has(Quirk::BareLists);
        let mut row = ListContainerResponse {
            id: container.id.clone(),
            name: format!("{link}{slash}{}", container.name),
            image_name: self.shown_image(container),
            status: status as i32,
            labels: if unlabelled { HashMap::default() } else { labels(container) },
            hash: None,
        };
        if self.has(Quirk::RichLists) && !unlabelled {
            row.labels.insert("net.example.slot".to_owned(), "1".to_owned());
        }
        if status == Listed::Stopped {
            self.defects().stopped_row(&mut row);
        }
        row
    }

    fn shown_image(&self, container: &Container) -> String {
        let (name, tag) = &container.image;
        match () {
            () if self.has(Quirk::BareLists) => String::new(),
            () if self.has(Quirk::DigestsForNames) => {
                format!("localhost/sha256:{}", holdfast_image::bare_id(&container.image_id))
            }
            () if self.has(Quirk::RichLists) => {
                format!("{}:{tag}@sha256:{}", self.listed_name(name), holdfast_image::bare_id(&container.image_id))
            }
            () => format!("{}:{tag}", self.listed_name(name)),
        }
    }

    pub(super) async fn stop_one_container(
        &self,
        request: &StopContainerRequest,
    ) -> Result<Response<StopContainerResponse>, Status> {
        let name = &request.instance_name;
        let Some(container) = self.inventory().container(name).cloned() else {
            return Err(Status::not_found(format!("there is no container {name:?}")));
        };
        if !request.force && self.defects().skips(Step::HeedPoliteStop) {
            return Ok(Response::new(StopContainerResponse {}));
        }
        let ran = self.control_processor().runtime.runs(name);
        if !self.defects().skips(Step::EndProcess) {
            self.control_processor().runtime.stop(name).await;
        }
        if !ran && self.has(Quirk::StopNotRunningNotFound) {
            return Err(Status::not_found(format!("container {name:?} does not run")));
        }
        let mut wanted = Wanted::Stopped;
        if request.restart {
            let started = self.control_processor().start(&container);
            started.map_err(|error| Status::unavailable(format!("container {name} does not start again: {error}")))?;
            wanted = Wanted::Running;
        }
        self.change(|held| {
            held.container_mut(name).into_iter().for_each(|container| {
                container.wanted = wanted;
                container.log.push("cntrsrv ends on SIGTERM (emulated)".to_owned());
            });
            Ok(())
        })?;
        Ok(Response::new(StopContainerResponse {}))
    }

    pub(super) async fn remove_one_container(
        &self,
        request: &RemoveContainerRequest,
    ) -> Result<Response<RemoveContainerResponse>, Status> {
        let name = &request.name;
        if self.inventory().container(name).is_none() {
            return Err(Status::not_found(format!("there is no container {name:?}")));
        }
        if self.control_processor().runtime.runs(name) && !request.force {
            return Err(Status::failed_precondition(format!("container {name:?} runs")));
        }
        self.control_processor().runtime.stop(name).await;
        self.change(|held| {
            held.containers.retain(|container| container.name != *name);
            Ok(())
        })?;
        Ok(Response::new(RemoveContainerResponse {}))
    }

    /// Starts the new one where the old one was; the old one goes on where that fails.
    pub(super) async fn update_one_container(
        &self,
        request: UpdateContainerRequest,
    ) -> Result<Response<UpdateContainerResponse>, Status> {
        let name = request.instance_name.clone();
        let params = request.params.unwrap_or_default();
        self.check_labels(&params.labels)?;
        let Some(old) = self.inventory().container(&name).cloned() else {
            return Err(Status::not_found(format!("there is no container {name:?}")));
        };
        if !self.control_processor().runtime.runs(&name) {
            return Err(Status::failed_precondition(format!("container {name:?} does not run")));
        }
        let or = |given: String, other: &str| if given.is_empty() { other.to_owned() } else { given };
        let start = StartContainerRequest {
            instance_name: name.clone(),
            image_name: or(params.image_name, &request.image_name),
            tag: or(params.tag, &request.image_tag),
            ..params
        };
        self.check_volumes(&start)?;
        let image = self
            .image_of(&start)
            .or_else(|missing| self.defects().update_to_unknown_image(&self.inventory()).ok_or(missing));
        let mut new = match image.and_then(|image| described(&start, &image)) {
            Ok(new) => new,
            Err(refused) => {
                self.defects().update_refused(&self.chassis, self.index, &old).await;
                return Err(refused);
            }
        };
        let done = UpdateOk { instance_name: name.clone(), is_async: request.r#async };
        let done = Response::new(UpdateContainerResponse { response: Some(Updated::UpdateOk(done)) });
        if self.defects().skips(Step::Update) {
            return Ok(done);
        }
        self.defects().updated_container(&mut new);
        self.control_processor().runtime.stop(&name).await;
        if let Err(error) = self.control_processor().start(&new) {
            let back = self.control_processor().start(&old);
            let rolled_back = if back.is_ok() { "the old one runs again" } else { "the old one does not run either" };
            return Err(Status::internal(format!("the update failed ({error}); {rolled_back}")));
        }
        self.keep_instead_of(&name, Container { wanted: Wanted::Running, ..new })?;
        Ok(done)
    }
}

fn tag_of(request: &StartContainerRequest) -> &str {
    if request.tag.is_empty() { "latest" } else { &request.tag }
}

/// What a start asks for, of `image`.
fn described(request: &StartContainerRequest, image: &Image) -> Result<Container, Status> {
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
        log: Vec::new(),
    })
}

fn started(name: String) -> Response<StartContainerResponse> {
    let started = Started::StartOk(StartOk { instance_name: name });
    Response::new(StartContainerResponse { response: Some(started) })
}

/// The container's own, and where it was meant to run and runs.
fn labels(container: &Container) -> HashMap<String, String> {
    let mut labels: HashMap<_, _> = container.labels.clone().into_iter().collect();
    if let Ok(intended @ (Location::LPrimary | Location::LBackup | Location::LAll)) =
        Location::try_from(container.location)
    {
        labels.insert(format!("{LOCATION}.intended"), intended.as_str_name().to_owned());
        labels.insert(format!("{LOCATION}.actual"), Location::LPrimary.as_str_name().to_owned());
        let reason =
            if intended == Location::LPrimary { "as intended" } else { "the emulated device runs all on the active" };
        labels.insert(format!("{LOCATION}.reason"), reason.to_owned());
    }
    labels
}
