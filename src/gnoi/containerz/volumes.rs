//! `CreateVolume`, `ListVolume`, `RemoveVolume`.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tonic::Code;

use super::images::removed_or_absent;
use super::meaning::meant;
use super::types::{Volume, VolumeDriver, VolumeOptions};
use super::{Containerz, Made, client};
use crate::dial::Call;
use crate::dial::whole::all_of;
use crate::error::{Error, Kind, Result, Subject};
use crate::wire::gnoi::containerz::create_volume_request::Options;
use crate::wire::gnoi::containerz::local_driver_options::Type;
use crate::wire::gnoi::containerz::{
    CreateVolumeRequest, CreateVolumeResponse, CustomOptions, Driver, ListVolumeRequest, ListVolumeResponse,
    LocalDriverOptions, RemoveVolumeRequest,
};

impl Containerz {
    /// `gnoi.containerz.Containerz/CreateVolume`. Returns its name. One that is there already is an error here,
    /// whatever the device would say.
    pub async fn create_volume(&self, options: &VolumeOptions, deadline: Instant) -> Result<String> {
        let name = &options.name;
        let steps = async {
            if self.volumes(deadline).await?.iter().any(|volume| volume.name == *name) {
                return Err(Error::new(Kind::Status(Code::AlreadyExists), format!("volume {name:?} is there already"))
                    .hint("remove it, or take another name"));
            }
            self.making(Made::named("volume", name), self.create_labelled(options, true, deadline)).await
        };
        self.timed("Containerz.CreateVolume", steps).await
    }

    /// The same without a look at what is there, so that it is the device that answers for one that is.
    pub async fn ask_to_create_volume(&self, options: &VolumeOptions, deadline: Instant) -> Result<String> {
        let recorded = self.record().is_some();
        if recorded && !self.volumes(deadline).await?.iter().any(|volume| volume.name == options.name) {
            let asked = self.create_labelled(options, true, deadline);
            return self.making(Made::named("volume", &options.name), asked).await;
        }
        self.create_labelled(options, false, deadline).await
    }

    async fn create_labelled(&self, options: &VolumeOptions, absent: bool, deadline: Instant) -> Result<String> {
        let ask = |labels| self.send_create(VolumeOptions { labels, ..options.clone() }, absent, deadline);
        self.with_labels(&options.name, &options.labels, ask).await
    }

    /// `absent`: it is known not to be there, so that one which is there later was made.
    async fn send_create(&self, options: VolumeOptions, absent: bool, deadline: Instant) -> Result<String> {
        let name = &options.name;
        let request = to_request(&options);
        crate::gnoi::tell(&self.session, "gnoi.containerz.CreateVolumeRequest", &request);
        let answer = self
            .session
            .call(self.change("Containerz.CreateVolume", deadline), |connection| {
                let request = request.clone();
                async move { Ok(client(connection).create_volume(request).await?.into_inner()) }
            })
            .await;
        let there = |deadline| async move {
            Ok(absent && self.volumes(deadline).await?.iter().any(|volume| volume.name == *name))
        };
        let unnamed = CreateVolumeResponse::default();
        let answer = self.settled(answer, "Containerz.CreateVolume", Some(unnamed), deadline, there).await?;
        Ok(if answer.name.is_empty() { name.clone() } else { answer.name })
    }

    /// `gnoi.containerz.Containerz/ListVolume`, all of it.
    pub async fn volumes(&self, deadline: Instant) -> Result<Vec<Volume>> {
        let listed = self.volumes_by(Call::read("Containerz.ListVolume", deadline)).await;
        self.naming_older(listed, deadline).await
    }

    /// As `volumes`, with the limits of `call`.
    pub async fn volumes_by(&self, call: Call) -> Result<Vec<Volume>> {
        let call = Call { name: "Containerz.ListVolume", ..call };
        self.session
            .call(call, |connection| async move {
                all_of(client(connection).list_volume(ListVolumeRequest::default()).await?.into_inner(), listed).await
            })
            .await
    }

    /// `gnoi.containerz.Containerz/RemoveVolume`. Whether something was removed; absence is judged by the listing,
    /// since servers answer it with success, NOT_FOUND or UNKNOWN.
    pub async fn remove_volume(&self, name: &str, force: bool, missing_ok: bool, deadline: Instant) -> Result<bool> {
        let steps = async {
            if !self.volumes(deadline).await?.iter().any(|volume| volume.name == name) {
                let absent = Error::new(Kind::Status(Code::NotFound), format!("there is no volume {name:?}"));
                return removed_or_absent(Err(absent), missing_ok);
            }
            let removed = self.ask_to_remove_volume(name, force, deadline).await;
            let removed = removed.map_err(|error| meant(Subject::Volume, error));
            removed_or_absent(removed, missing_ok).map_err(|error| match error.code() {
                Some(Code::FailedPrecondition) => error.hint("remove the containers that use it first"),
                _ => error,
            })
        };
        self.timed("Containerz.RemoveVolume", steps).await.map_err(|error| error.missing(Subject::Volume))
    }

    /// The same without a look at what is there, so that it is the device that answers for one that is not.
    pub async fn ask_to_remove_volume(&self, name: &str, force: bool, deadline: Instant) -> Result<()> {
        let request = RemoveVolumeRequest { name: name.to_owned(), force };
        crate::gnoi::tell(&self.session, "gnoi.containerz.RemoveVolumeRequest", &request);
        let removed = self
            .session
            .call(self.change("Containerz.RemoveVolume", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).remove_volume(request).await.map(|_| ()) }
            })
            .await;
        let gone =
            |deadline| async move { Ok(!self.volumes(deadline).await?.iter().any(|volume| volume.name == name)) };
        self.settled(removed, "Containerz.RemoveVolume", None, deadline, gone).await
    }
}

fn to_request(options: &VolumeOptions) -> CreateVolumeRequest {
    let (driver, driver_options) = match &options.driver {
        VolumeDriver::Unspecified => (Driver::DsUnspecified, None),
        VolumeDriver::Local { options, mountpoint } => {
            let local = LocalDriverOptions {
                r#type: Type::None as i32,
                options: options.clone(),
                mountpoint: mountpoint.clone(),
            };
            (Driver::DsLocal, Some(Options::LocalMountOptions(local)))
        }
        VolumeDriver::Custom { options } => {
            let custom = CustomOptions { options: options.clone().into_iter().collect() };
            (Driver::DsCustom, Some(Options::CustomOptions(custom)))
        }
    };
    CreateVolumeRequest {
        name: options.name.clone(),
        driver: driver as i32,
        labels: options.labels.clone().into_iter().collect(),
        options: driver_options,
    }
}

fn listed(row: ListVolumeResponse) -> Volume {
    let created = row.created.and_then(|stamp| {
        let since = Duration::new(u64::try_from(stamp.seconds).ok()?, u32::try_from(stamp.nanos).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    });
    Volume {
        name: row.name,
        created,
        driver: row.driver,
        options: row.options.into_iter().collect(),
        labels: row.labels.into_iter().collect(),
    }
}
