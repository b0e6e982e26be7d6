//! `CreateVolume`, `ListVolume`, `RemoveVolume`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tonic::{Response, Status};

use super::{ContainerzService, Rows, stream_of};
use crate::settings::Quirk;
use crate::sites::Step;
use crate::state::now;
use crate::store::Volume;
use holdfast_wire::gnoi::containerz::create_volume_request::Options;
use holdfast_wire::gnoi::containerz::{
    CreateVolumeRequest, CreateVolumeResponse, Driver, ListVolumeRequest, ListVolumeResponse, RemoveVolumeRequest,
    RemoveVolumeResponse,
};

impl ContainerzService {
    pub(super) async fn create_one_volume(
        &self,
        request: CreateVolumeRequest,
    ) -> Result<Response<CreateVolumeResponse>, Status> {
        self.check_labels(&request.labels)?;
        let name = match request.name.as_str() {
            "" => format!("volume-{:x}", now()),
            given => {
                super::check_grammar("volume", given)?;
                given.to_owned()
            }
        };
        if self.inventory().volume(&name).is_some() && !self.defects().skips(Step::RefuseSecondVolume) {
            if self.has(Quirk::VolumeCreateIdempotent) {
                return Ok(Response::new(CreateVolumeResponse { name }));
            }
            return Err(Status::already_exists(format!("there is a volume {name:?} already")));
        }
        let driver = match request.driver() {
            Driver::DsCustom => "custom:latest",
            Driver::DsUnspecified | Driver::DsLocal => "local",
        };
        let options: BTreeMap<_, _> = match (request.driver(), request.options) {
            (Driver::DsLocal, Some(Options::LocalMountOptions(local))) => BTreeMap::from([
                ("type".to_owned(), "none".to_owned()),
                ("o".to_owned(), local.options.join(",")),
                ("device".to_owned(), local.mountpoint),
            ]),
            (Driver::DsCustom, Some(Options::CustomOptions(custom))) => custom.options.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        let labels = request.labels.into_iter().collect();
        let mut volume = Volume { name: name.clone(), created: now(), driver: driver.to_owned(), options, labels };
        self.defects().new_volume(&mut volume);
        self.put_volume(volume).await?;
        Ok(Response::new(CreateVolumeResponse { name }))
    }

    /// As Docker makes one that a container names and nobody created.
    pub(super) async fn add_volume(&self, name: &str) -> Result<(), Status> {
        let (options, labels) = (BTreeMap::new(), BTreeMap::new());
        self.put_volume(Volume { name: name.to_owned(), created: now(), driver: "local".to_owned(), options, labels })
            .await
    }

    async fn put_volume(&self, volume: Volume) -> Result<(), Status> {
        std::fs::create_dir_all(self.control_processor().store.volume_folder(&volume.name))
            .map_err(|error| Status::internal(format!("the device's disk: {error}")))?;
        let made = self.control_processor().runtime.add_volume(&volume.name).await;
        made.map_err(|failure| failure.status(&format!("volume {} is not made", volume.name)))?;
        self.change(|held| {
            held.volumes.push(volume);
            Ok(())
        })
    }

    pub(super) fn list_volumes(
        &self,
        request: &ListVolumeRequest,
    ) -> Result<Response<Rows<ListVolumeResponse>>, Status> {
        let keys = request.filter.iter().map(|filter| filter.key.clone());
        self.check_filter(keys, &["label", "name", "driver", "dangling"])?;
        let listed = self.inventory().volumes.into_iter().filter(|volume| {
            request.filter.iter().all(|filter| match filter.key.as_str() {
                "name" => filter.value.contains(&volume.name),
                "driver" => filter.value.contains(&volume.driver),
                _ => true,
            })
        });
        let listed = listed.map(|volume| self.listed_volume(volume));
        let mut listed: Vec<_> = listed.collect();
        self.defects().lasting().rows(&mut listed);
        Ok(stream_of(listed, 0))
    }

    fn listed_volume(&self, volume: Volume) -> ListVolumeResponse {
        let created = Some((SystemTime::UNIX_EPOCH + Duration::from_nanos(volume.created)).into());
        if self.has(Quirk::BareLists) {
            return ListVolumeResponse { name: volume.name, created, ..ListVolumeResponse::default() };
        }
        let mut row = ListVolumeResponse {
            name: volume.name,
            created,
            driver: volume.driver,
            options: volume.options.into_iter().collect(),
            labels: volume.labels.into_iter().collect(),
        };
        if self.has(Quirk::RichLists) {
            row.driver = row.driver.to_uppercase();
            row.options.insert("replicas".to_owned(), "2".to_owned());
            row.labels.insert("net.example.slot".to_owned(), "1".to_owned());
        }
        row
    }

    pub(super) async fn remove_one_volume(
        &self,
        request: &RemoveVolumeRequest,
    ) -> Result<Response<RemoveVolumeResponse>, Status> {
        let name = &request.name;
        let inventory = self.inventory();
        if inventory.volume(name).is_none() {
            self.defects().removal_of_unknown_volume(&self.chassis, self.index);
            return match (request.force, self.has(Quirk::VolumeRemoveUnknown) || self.has(Quirk::EngineErrorsUnknown)) {
                (false, true) => {
                    Err(Status::unknown(format!("Error response from daemon: get {name}: no such volume")))
                }
                (false, false) => Err(Status::not_found(format!("there is no volume {name:?}"))),
                (true, _) => Ok(Response::new(RemoveVolumeResponse {})),
            };
        }
        if let Some(user) = inventory.containers.iter().find(|container| container.volumes.contains(name)) {
            if self.has(Quirk::EngineErrorsUnknown) {
                let id = &user.id;
                return Err(Status::unknown(format!(
                    "Error response from daemon: remove {name}: volume is in use - [{id}]"
                )));
            }
            return Err(Status::failed_precondition(format!("container {:?} uses volume {name:?}", user.name)));
        }
        let removed = self.control_processor().runtime.remove_volume(name).await;
        removed.map_err(|failure| failure.status(&format!("volume {name} is not removed")))?;
        self.change(|held| {
            held.volumes.retain(|volume| volume.name != *name);
            Ok(())
        })?;
        let _ = std::fs::remove_dir_all(self.control_processor().store.volume_folder(name)); // its record is gone already
        Ok(Response::new(RemoveVolumeResponse {}))
    }
}
