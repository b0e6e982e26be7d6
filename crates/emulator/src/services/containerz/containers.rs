//! `StartContainer`, `ListContainer`, `StopContainer`, `RemoveContainer`, `UpdateContainer`.

use std::collections::HashMap;

use tonic::{Response, Status};

use super::described::{described, tag_of};
use super::{ContainerzService, Rows, stream_of};
use crate::loading::listening_line;
use crate::runtime::{ContainerState, States, Stop};
use crate::settings::Quirk;
use crate::sites::Step;
use crate::store::{Ailment, Container, Image, Wanted};
use holdfast_wire::gnoi::containerz::list_container_response::Status as Listed;
use holdfast_wire::gnoi::containerz::start_container_request::Location;
use holdfast_wire::gnoi::containerz::start_container_response::Response as Started;
use holdfast_wire::gnoi::containerz::update_container_response::Response as Updated;
use holdfast_wire::gnoi::containerz::{
    ListContainerRequest, ListContainerResponse, RemoveContainerRequest, RemoveContainerResponse,
    StartContainerRequest, StartContainerResponse, StartOk, StopContainerRequest, StopContainerResponse,
    UpdateContainerRequest, UpdateContainerResponse, UpdateOk,
};

const LOCATION: &str = "net.openconfig.containerz.location";
/// The label of a container that ended, where it is known how.
const EXIT_CODE: &str = "holdfast.exit-code";

impl ContainerzService {
    pub(super) async fn start_one_container(
        &self,
        request: &StartContainerRequest,
    ) -> Result<Response<StartContainerResponse>, Status> {
        self.check_labels(&request.labels)?;
        let container = if request.image_name.is_empty() {
            self.stopped(&request.instance_name).await?
        } else {
            self.check_name(&request.instance_name).await?;
            self.check_volumes(request).await?;
            let image = self
                .image_of(request)
                .or_else(|missing| self.defects().start_of_unknown_image(&self.inventory()).ok_or(missing))?;
            let mut asked = described(request, &image)?;
            self.defects().asked_container(&mut asked);
            asked
        };
        let name = container.name.clone();
        if let Err(failure) = self.control_processor().start(&container).await {
            if self.has(Quirk::FailedStartLeftOver) {
                self.keep(Container { wanted: Wanted::Created, ..container })?;
            }
            return Err(failure.status(&format!("container {name} does not start")));
        }
        let mut running = Container { wanted: Wanted::Running, ..container };
        running.log.push(listening_line(&running));
        self.defects().new_container(&self.chassis, self.index, &mut running);
        self.keep(running)?;
        self.defects().kept_container(&self.chassis, self.index, &name);
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
    async fn stopped(&self, name: &str) -> Result<Container, Status> {
        let found = self.inventory().container(name).cloned();
        let found = found.ok_or_else(|| Status::not_found(format!("there is no container {name:?}")))?;
        if self.runs(name).await? {
            return Err(Status::already_exists(format!("container {name:?} runs already")));
        }
        Ok(found)
    }

    async fn check_name(&self, name: &str) -> Result<(), Status> {
        super::check_grammar("container", name)?;
        if self.inventory().container(name).is_none() {
            return Ok(());
        }
        if !self.runs(name).await? && self.has(Quirk::StoppedDuplicateInternal) {
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

    async fn check_volumes(&self, request: &StartContainerRequest) -> Result<(), Status> {
        let inventory = self.inventory();
        let missing = request.volumes.iter().find(|volume| inventory.volume(&volume.name).is_none());
        match missing {
            None => Ok(()),
            Some(volume) if self.has(Quirk::VolumesCreatedSilently) => {
                super::check_grammar("volume", &volume.name)?;
                self.add_volume(&volume.name).await
            }
            Some(volume) => Err(Status::not_found(format!("there is no volume {:?}", volume.name))),
        }
    }

    fn image_of(&self, request: &StartContainerRequest) -> Result<Image, Status> {
        let tag = tag_of(request);
        let found = self.inventory().image(&request.image_name, tag).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no image {}:{tag}", request.image_name)))
    }

    pub(super) async fn list_containers(
        &self,
        mut request: ListContainerRequest,
    ) -> Result<Response<Rows<ListContainerResponse>>, Status> {
        let keys = request.filter.iter().map(|filter| filter.key.clone());
        self.check_filter(keys, &["label", "name", "status", "id", "ancestor", "volume"])?;
        if !request.all {
            self.defects().list_of_running(&mut request);
        }
        let states = self.states().await?;
        let inventory = self.inventory();
        let listed = inventory.containers.iter().map(|container| self.listed(container, &states));
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

    fn listed(&self, container: &Container, states: &States) -> ListContainerResponse {
        let state = states.of(&container.name);
        let status = match (state, container.wanted) {
            _ if container.ailment == Ailment::Restarting => Listed::Unspecified,
            (Some(ContainerState::Restarting), _) | (None, Wanted::Created) => Listed::Unspecified,
            (Some(ContainerState::Running), Wanted::Created | Wanted::Running) => Listed::Running,
            (None | Some(ContainerState::Ended(_)), _) | (_, Wanted::Stopped) => Listed::Stopped,
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
        if let Some(ContainerState::Ended(Some(code))) = state
            && !unlabelled
        {
            row.labels.insert(EXIT_CODE.to_owned(), code.to_string());
        }
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
        let ran = self.runs(name).await?;
        if !self.defects().skips(Step::EndProcess) {
            self.stop(name, if request.force { Stop::AtOnce } else { Stop::Politely }).await?;
        }
        if !ran && self.has(Quirk::StopNotRunningNotFound) {
            return Err(Status::not_found(format!("container {name:?} does not run")));
        }
        let mut wanted = Wanted::Stopped;
        if request.restart {
            let started = self.control_processor().start(&container).await;
            started.map_err(|failure| failure.status(&format!("container {name} does not start again")))?;
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
        if self.runs(name).await? && !request.force {
            return Err(Status::failed_precondition(format!("container {name:?} runs")));
        }
        if !self.defects().skips(Step::EndRemovedProcess) {
            let removed = self.control_processor().runtime.remove(name).await;
            removed.map_err(|failure| failure.status(&format!("container {name} is not removed")))?;
        }
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
        if !self.runs(&name).await? {
            return Err(Status::failed_precondition(format!("container {name:?} does not run")));
        }
        let or = |given: String, other: &str| if given.is_empty() { other.to_owned() } else { given };
        let start = StartContainerRequest {
            instance_name: name.clone(),
            image_name: or(params.image_name, &request.image_name),
            tag: or(params.tag, &request.image_tag),
            ..params
        };
        self.check_volumes(&start).await?;
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
        self.stop(&name, Stop::Politely).await?;
        if let Err(error) = self.control_processor().start(&new).await {
            let back = self.control_processor().start(&old).await;
            let rolled_back = if back.is_ok() { "the old one runs again" } else { "the old one does not run either" };
            return Err(Status::internal(format!("the update failed ({error}); {rolled_back}")));
        }
        self.keep_instead_of(&name, Container { wanted: Wanted::Running, ..new })?;
        Ok(done)
    }
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
