//! gNOI Containerz.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;
use tonic::Code;

use super::arguments::{Port, Seconds, Whole, duration, patience, restart_policy};
use super::both_worlds::both_worlds;
use super::errors::{invalid, refused};
use super::logs::{AsyncLogLines, Followed, LogLines};
use super::progress::Reporter;
use super::results;
use super::results_in;
use crate::device::Device as CoreDevice;
use crate::error::{Error, Kind, Result};
use crate::gnoi::containerz::{
    Deployment, DeviceFile, ListedImage, Location, Mount, StartOptions, VolumeDriver, VolumeOptions,
};
use crate::image::{Archive, Reference, Source};
use crate::wire::gnoi::common::remote_download::Protocol;

type Strings = BTreeMap<String, String>;

/// An image as users name it: a string, or anything with `name` and `tag` (or `tags`).
pub struct ImageName {
    reference: Reference,
    id: Option<String>,
}

impl<'a, 'py> FromPyObject<'a, 'py> for ImageName {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let bad = |error: Error| refused(&error);
        if let Ok(text) = value.extract::<String>() {
            return Ok(Self { reference: text.parse().map_err(bad)?, id: None });
        }
        let name: String = value.getattr("name")?.extract()?;
        let tag: String = match value.getattr("tag") {
            Ok(tag) => tag.extract()?,
            Err(_) => value.getattr("tags")?.get_item(0)?.extract()?,
        };
        let id = value.getattr("id").ok().and_then(|id| id.extract().ok());
        Ok(Self { reference: Reference::new(&name, &tag).map_err(bad)?, id })
    }
}

fn mounts(volumes: Strings) -> Vec<Mount> {
    let mount = |(name, point): (String, String)| {
        let read_only = point.ends_with(":ro");
        let mount_point = point.trim_end_matches(":ro").trim_end_matches(":rw").to_owned();
        Mount { name, mount_point, read_only }
    };
    volumes.into_iter().map(mount).collect()
}

fn location(text: Option<&str>) -> PyResult<Location> {
    match text {
        None => Ok(Location::Unknown),
        Some("PRIMARY") => Ok(Location::Primary),
        Some("BACKUP") => Ok(Location::Backup),
        Some("ALL") => Ok(Location::All),
        Some(other) => Err(invalid(format!("location={other:?}: give PRIMARY, BACKUP or ALL"))),
    }
}

fn driver(name: Option<&str>, options: Option<Strings>) -> PyResult<VolumeDriver> {
    let mut options = options.unwrap_or_default();
    match name {
        None if options.is_empty() => Ok(VolumeDriver::Unspecified),
        Some("local") => Ok(VolumeDriver::Local {
            mountpoint: options.remove("mountpoint").unwrap_or_default(),
            options: options
                .remove("options")
                .map(|list| list.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
        }),
        Some("custom") | None => Ok(VolumeDriver::Custom { options }),
        Some(other) => Err(invalid(format!("driver={other:?}: give \"local\", \"custom\" or none"))),
    }
}

struct Upload {
    path: PathBuf,
    name: Option<String>,
    tag: Option<String>,
    retag: Option<String>,
    platform: Option<String>,
    is_plugin: bool,
    replace: bool,
    lockstep: bool,
    retries: u32,
}

/// What is sent, and what the device shall call it.
struct Planned {
    source: Source,
    name: String,
    tag: String,
    own_names: Vec<Reference>,
    digests: Vec<String>,
}

impl Upload {
    /// Reads the archive, decides on the name, and sends. Returns the image as it is listed then.
    async fn run(
        self,
        device: CoreDevice,
        reporter: Option<Reporter>,
        deadline: tokio::time::Instant,
    ) -> Result<ListedImage> {
        let progress = reporter.as_ref().map(Reporter::sink);
        let retries = self.retries;
        let (lockstep, replace, is_plugin) = (self.lockstep, self.replace, self.is_plugin);
        let planned = tokio::task::spawn_blocking(move || self.plan()).await;
        let Planned { source, name, tag, own_names, digests } =
            planned.map_err(|_| Error::image("the archive's reader ended; see stderr"))??;
        let deployment = Deployment {
            source,
            name: name.clone(),
            tag: tag.clone(),
            own_names,
            digests: digests.clone(),
            is_plugin,
            lockstep,
            replace,
            retries,
            progress,
        };
        let sent = device.containerz.deploy(&deployment, deadline).await;
        drop(reporter);
        sent?;
        let id = digests.first().cloned().unwrap_or_default();
        Ok(ListedImage { id, name, tags: vec![tag], digests })
    }

    fn plan(self) -> Result<Planned> {
        if self.is_plugin {
            let stem = self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let (source, name) = (Source::file(self.path)?, self.name.unwrap_or(stem));
            return Ok(Planned { source, name, tag: String::new(), own_names: Vec::new(), digests: Vec::new() });
        }
        let archive = Archive::open(&self.path)?;
        let image = archive.image(self.platform.as_deref())?;
        let own = match (&self.retag, image.names.first()) {
            (Some(retag), _) => retag.parse()?,
            (None, Some(first)) => first.clone(),
            (None, None) => {
                return Err(Error::image(format!("{}: its image has no tag", self.path.display()))
                    .hint("`docker save NAME:TAG` keeps one; or give it one on the way with retag=\"NAME:TAG\""));
            }
        };
        let (source, own_names) = match &self.retag {
            Some(_) => (Source::retagged(&archive, image, &own)?, vec![own.clone()]),
            None => (Source::archive(&archive, image)?, image.names.clone()),
        };
        let (name, tag) = (self.name.unwrap_or(own.name), self.tag.unwrap_or(own.tag));
        let digests = image.ids().map(str::to_owned).collect();
        Ok(Planned { source, name, tag, own_names, digests })
    }
}

fn deployed(py: Python<'_>, image: ListedImage) -> PyResult<Py<PyAny>> {
    super::runtime::drain(py);
    results::image(py, image)
}

both_worlds! {
    /// gNOI Containerz of a device.
    Containerz and AsyncContainerz over CoreDevice, in Client;

    /// Deploy of an archive on this machine.
    #[pyo3(signature = (archive, *, name=None, tag=None, retag=None, platform=None, is_plugin=false, replace=false,
        lockstep=false, retries=Whole(0), progress=None, timeout=None))]
    fn deploy(device, archive: PathBuf, name: Option<String>, tag: Option<String>, retag: Option<String>,
        platform: Option<String>, is_plugin: bool, replace: bool, lockstep: bool, retries: Whole<u32>,
        progress: Option<Py<PyAny>>,
        timeout: Option<Seconds>) => deployed
    {
        let label = archive.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let reporter = Python::attach(|py| Reporter::new(py, progress, &label))?;
        let deadline = device.session().deadline(duration(timeout).or(Some(std::time::Duration::from_secs(3600))));
        let upload = Upload { path: archive, name, tag, retag, platform, is_plugin, replace, lockstep, retries: retries.0 };
        async move { upload.run(device, reporter, deadline).await }
    }

    /// Deploy of an archive that the device fetches.
    #[pyo3(signature = (image, url, *, protocol="HTTPS", timeout=None))]
    fn deploy_remote(device, image: ImageName, url: String, protocol: &str, timeout: Option<Seconds>) => results::nothing {
        let protocol = Protocol::from_str_name(protocol).ok_or_else(|| {
            invalid(format!("protocol={protocol:?}: give SFTP, HTTP, HTTPS or SCP"))
        })?;
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.containerz.deploy_remote(&image.reference.name, &image.reference.tag, &url, protocol, deadline).await
        }
    }

    /// Which contract of Containerz the device serves.
    #[pyo3(signature = (*, timeout=None))]
    fn contract(device, timeout: Option<Seconds>) => results::optional_text {
        async move {
            let contract = device.containerz.contract(device.session().deadline(duration(timeout))).await?;
            Ok(contract.map(|contract| contract.version().to_owned()))
        }
    }

    /// ListImage.
    #[pyo3(signature = (*, timeout=None))]
    fn images(device, timeout: Option<Seconds>) => results::images {
        async move { device.containerz.images(device.session().deadline(duration(timeout))).await }
    }

    /// RemoveImage.
    #[pyo3(signature = (image, *, force=false, missing_ok=false, timeout=None))]
    fn remove_image(device, image: ImageName, force: bool, missing_ok: bool, timeout: Option<Seconds>) => results::truth {
        async move {
            let deadline = device.session().deadline(duration(timeout));
            let Reference { name, tag } = &image.reference;
            device.containerz.remove_image(name, tag, force, missing_ok, deadline).await
        }
    }

    /// StartContainer.
    #[pyo3(signature = (name, *, image=None, command="", ports=None, environment=None, volumes=None, network="",
        add_capabilities=vec![], remove_capabilities=vec![], restart="ALWAYS", user="", group="", labels=None,
        max_cpu=0.0, soft_memory=Whole(0), hard_memory=Whole(0), devices=vec![], location=None, timeout=None))]
    fn start(device, name: String, image: Option<ImageName>, command: &str, ports: Option<BTreeMap<Port, Port>>,
        environment: Option<Strings>, volumes: Option<Strings>, network: &str, add_capabilities: Vec<String>,
        remove_capabilities: Vec<String>, restart: &str, user: &str, group: &str, labels: Option<Strings>, max_cpu: f64,
        soft_memory: Whole<i64>, hard_memory: Whole<i64>, devices: Vec<(String, String, String)>, location: Option<&str>,
        timeout: Option<Seconds>) => results::text
    {
        let options = start_options(name, image, command, ports, environment, volumes, network, add_capabilities,
            remove_capabilities, restart, (user, group), labels, max_cpu, (soft_memory.0, hard_memory.0), devices, location)?;
        async move { device.containerz.start(&options, device.session().deadline(duration(timeout))).await }
    }

    /// ListContainer.
    #[pyo3(signature = (*, all=true, timeout=None))]
    fn containers(device, all: bool, timeout: Option<Seconds>) => results::containers {
        async move { device.containerz.containers(all, device.session().deadline(duration(timeout))).await }
    }

    /// ListContainer, one of them.
    #[pyo3(signature = (name, *, timeout=None))]
    fn container(device, name: String, timeout: Option<Seconds>) => results::container {
        async move {
            let all = device.containerz.containers(true, device.session().deadline(duration(timeout))).await?;
            all.into_iter().find(|container| container.is_named(&name)).ok_or_else(|| {
                let device = device.session().name().to_owned();
                Error { device: Some(device.into()), ..Error::new(Kind::Status(Code::NotFound), format!("there is no container {name:?}")) }
            })
        }
    }

    /// StopContainer.
    #[pyo3(signature = (name, *, force=false, restart=false, timeout=None))]
    fn stop(device, name: String, force: bool, restart: bool, timeout: Option<Seconds>) => results::nothing {
        async move { device.containerz.stop(&name, force, restart, device.session().deadline(duration(timeout))).await }
    }

    /// RemoveContainer.
    #[pyo3(signature = (name, *, force=false, missing_ok=false, timeout=None))]
    fn remove(device, name: String, force: bool, missing_ok: bool, timeout: Option<Seconds>) => results::truth {
        async move { device.containerz.remove(&name, force, missing_ok, device.session().deadline(duration(timeout))).await }
    }

    /// UpdateContainer.
    #[pyo3(signature = (name, *, image, command="", ports=None, environment=None, volumes=None, network="",
        restart="ALWAYS", labels=None, run_async=false, timeout=None))]
    fn update(device, name: String, image: ImageName, command: &str, ports: Option<BTreeMap<Port, Port>>,
        environment: Option<Strings>, volumes: Option<Strings>, network: &str, restart: &str, labels: Option<Strings>,
        run_async: bool, timeout: Option<Seconds>) => results::truth
    {
        let options = start_options(name, Some(image), command, ports, environment, volumes, network, vec![], vec![],
            restart, ("", ""), labels, 0.0, (0, 0), vec![], None)?;
        async move { device.containerz.update(&options, run_async, device.session().deadline(duration(timeout))).await }
    }

    /// Log, as far as it goes now.
    #[pyo3(signature = (name, *, timeout=None))]
    fn logs(device, name: String, timeout: Option<Seconds>) => results::lines {
        async move { device.containerz.logs(&name, device.session().deadline(duration(timeout))).await }
    }

    /// CreateVolume.
    #[pyo3(signature = (name, *, driver=None, options=None, labels=None, look_first=true, timeout=None))]
    fn create_volume(device, name: String, driver: Option<&str>, options: Option<Strings>, labels: Option<Strings>,
        look_first: bool, timeout: Option<Seconds>) => results::text
    {
        let driver = self::driver(driver, options)?;
        let options = VolumeOptions { name, driver, labels: labels.unwrap_or_default() };
        async move {
            let deadline = device.session().deadline(duration(timeout));
            if look_first {
                device.containerz.create_volume(&options, deadline).await
            } else {
                device.containerz.ask_to_create_volume(&options, deadline).await
            }
        }
    }

    /// ListVolume.
    #[pyo3(signature = (*, timeout=None))]
    fn volumes(device, timeout: Option<Seconds>) => results::volumes {
        async move { device.containerz.volumes(device.session().deadline(duration(timeout))).await }
    }

    /// RemoveVolume.
    #[pyo3(signature = (name, *, force=false, missing_ok=false, look_first=true, timeout=None))]
    fn remove_volume(device, name: String, force: bool, missing_ok: bool, look_first: bool, timeout: Option<Seconds>)
        => results::truth
    {
        async move {
            let deadline = device.session().deadline(duration(timeout));
            if look_first {
                return device.containerz.remove_volume(&name, force, missing_ok, deadline).await;
            }
            device.containerz.ask_to_remove_volume(&name, force, deadline).await.map(|()| true)
        }
    }

    /// StartPlugin.
    #[pyo3(signature = (name, instance_name, *, config="", timeout=None))]
    fn start_plugin(device, name: String, instance_name: String, config: &str, timeout: Option<Seconds>) => results::text {
        let config = config.to_owned();
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.containerz.start_plugin(&name, &instance_name, &config, deadline).await
        }
    }

    /// StopPlugin.
    #[pyo3(signature = (instance_name, *, timeout=None))]
    fn stop_plugin(device, instance_name: String, timeout: Option<Seconds>) => results::nothing {
        async move { device.containerz.stop_plugin(&instance_name, device.session().deadline(duration(timeout))).await }
    }

    /// ListPlugins.
    #[pyo3(signature = (*, timeout=None))]
    fn plugins(device, timeout: Option<Seconds>) => results::plugins {
        async move { device.containerz.plugins(device.session().deadline(duration(timeout))).await }
    }

    /// RemovePlugin.
    #[pyo3(signature = (instance_name, *, missing_ok=false, timeout=None))]
    fn remove_plugin(device, instance_name: String, missing_ok: bool, timeout: Option<Seconds>) => results::truth {
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.containerz.remove_plugin(&instance_name, missing_ok, deadline).await
        }
    }

    /// RemovePluginTar.
    #[pyo3(signature = (name, *, missing_ok=false, timeout=None))]
    fn remove_plugin_tar(device, name: String, missing_ok: bool, timeout: Option<Seconds>) => results::truth {
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.containerz.remove_plugin_tar(&name, missing_ok, deadline).await
        }
    }

    /// Waits until the image is listed, and watches that it stays.
    #[pyo3(signature = (image, *, within=None, watch=None))]
    fn expect_image(device, image: ImageName, within: Option<Seconds>, watch: Option<Seconds>) => results::image {
        let patience = patience(within, watch);
        async move {
            let Reference { name, tag } = &image.reference;
            device.expect_image(name, tag, image.id.as_deref(), patience).await
        }
    }

    /// Waits until the image is not listed, and watches that it stays away.
    #[pyo3(signature = (image, *, within=None, watch=None))]
    fn expect_no_image(device, image: ImageName, within: Option<Seconds>, watch: Option<Seconds>) => results::nothing {
        let patience = patience(within, watch);
        async move {
            let Reference { name, tag } = &image.reference;
            device.expect_no_image(name, tag, image.id.as_deref(), patience).await
        }
    }

    /// Waits until the container runs, and watches that it goes on.
    #[pyo3(signature = (name, *, like=None, within=None, watch=None))]
    fn expect_container(device, name: String, like: Option<results_in::ContainerLike>, within: Option<Seconds>,
        watch: Option<Seconds>) => results::container
    {
        let patience = patience(within, watch);
        async move { device.expect_container(&name, like.as_ref().map(|like| &like.0), patience).await }
    }

    /// Waits until the container is not listed, and watches that it stays away.
    #[pyo3(signature = (name, *, within=None, watch=None))]
    fn expect_no_container(device, name: String, within: Option<Seconds>, watch: Option<Seconds>) => results::nothing {
        let patience = patience(within, watch);
        async move { device.expect_no_container(&name, patience).await }
    }

    /// Waits until the volume is listed, and watches that it stays.
    #[pyo3(signature = (name, *, like=None, within=None, watch=None))]
    fn expect_volume(device, name: String, like: Option<results_in::VolumeLike>, within: Option<Seconds>,
        watch: Option<Seconds>) => results::volume
    {
        let patience = patience(within, watch);
        async move { device.expect_volume(&name, like.as_ref().map(|like| &like.0), patience).await }
    }

    /// Waits until the volume is not listed, and watches that it stays away.
    #[pyo3(signature = (name, *, within=None, watch=None))]
    fn expect_no_volume(device, name: String, within: Option<Seconds>, watch: Option<Seconds>) => results::nothing {
        let patience = patience(within, watch);
        async move { device.expect_no_volume(&name, patience).await }
    }
}

#[pymethods]
impl Containerz {
    /// Log with follow, line by line.
    #[pyo3(signature = (name, *, resume=true, timeout=None))]
    fn follow_logs(&self, py: Python<'_>, name: String, resume: bool, timeout: Option<Seconds>) -> PyResult<LogLines> {
        LogLines::open(py, Followed { device: self.inner.clone(), name, resume, timeout: duration(timeout) })
    }
}

#[pymethods]
impl AsyncContainerz {
    /// Log with follow, line by line.
    #[pyo3(signature = (name, *, resume=true, timeout=None))]
    fn follow_logs(&self, name: String, resume: bool, timeout: Option<Seconds>) -> AsyncLogLines {
        AsyncLogLines::new(Followed { device: self.inner.clone(), name, resume, timeout: duration(timeout) })
    }
}

#[allow(clippy::too_many_arguments)]
fn start_options(
    name: String,
    image: Option<ImageName>,
    command: &str,
    ports: Option<BTreeMap<Port, Port>>,
    environment: Option<Strings>,
    volumes: Option<Strings>,
    network: &str,
    add_capabilities: Vec<String>,
    remove_capabilities: Vec<String>,
    restart: &str,
    (user, group): (&str, &str),
    labels: Option<Strings>,
    max_cpu: f64,
    memory: (i64, i64),
    devices: Vec<(String, String, String)>,
    location: Option<&str>,
) -> PyResult<StartOptions> {
    let (image_name, tag) = image.map(|image| (image.reference.name, image.reference.tag)).unwrap_or_default();
    Ok(StartOptions {
        image_name,
        tag,
        command: command.to_owned(),
        instance_name: name,
        ports: ports
            .unwrap_or_default()
            .into_iter()
            .map(|(inside, outside)| (inside.0.into(), outside.0.into()))
            .collect(),
        environment: environment.unwrap_or_default(),
        volumes: mounts(volumes.unwrap_or_default()),
        network: network.to_owned(),
        add_capabilities,
        remove_capabilities,
        restart: restart_policy(restart)?,
        run_as: (user.to_owned(), group.to_owned()),
        labels: labels.unwrap_or_default(),
        max_cpu,
        memory,
        devices: devices
            .into_iter()
            .map(|(src_path, dst_path, permissions)| DeviceFile { src_path, dst_path, permissions })
            .collect(),
        location: self::location(location)?,
    })
}
