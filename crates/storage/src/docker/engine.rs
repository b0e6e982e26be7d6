//! One Docker engine: what is asked of it, each call with a deadline.

use std::collections::HashMap;
use std::future::Future;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bollard::errors::Error as Refusal;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse, SystemInfo, Volume, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder,
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker, body_full};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::time::timeout_at;
use tonic::Code;

use holdfast_net::error::{Error, Kind, Result, chain};
use holdfast_net::waiting::blocking::wait_until;

/// For an engine to say that it is there.
const GLANCE: Duration = Duration::from_secs(2);
/// No call may take longer, whatever its deadline.
const LONGEST: Duration = Duration::from_secs(600);
/// What the image of tasks is called.
const IMAGE: &str = "holdfast-ledger";
/// Where a container has the ledger's executable.
pub const EXECUTABLE: &str = "/ledger";

/// An engine.
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    address: String,
    runtime: Handle,
}

/// Whether a call was answered with this HTTP status.
fn answered(error: &Refusal, status: u16) -> bool {
    matches!(error, Refusal::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Whether something is not there, or already is as it was asked to be.
fn settled(error: &Refusal) -> bool {
    [304, 404, 409].into_iter().any(|status| answered(error, status))
}

/// An engine is the lab's, and so is what it does not do; but for what a plugin of volumes refused.
fn refused(error: Refusal) -> Error {
    match error {
        Refusal::DockerResponseServerError { message, .. } | Refusal::DockerStreamError { error: message } => {
            of_whom(message)
        }
        Refusal::RequestTimeoutError => Error::lab("no answer in time"),
        Refusal::JsonDataError { .. } | Refusal::JsonSerdeError { .. } => {
            Error::lab(error.to_string()).hint("the address must be that of a Docker engine's API")
        }
        error => Error::lab(chain(&error)).hint("is dockerd running there, and may this user open its socket?"),
    }
}

/// An engine's refusal: the provider's, where it speaks of a volume, of the plugin, or of how a task ended; else its own.
/// How what starts tasks ended (runc, its shim) is its own too.
pub fn of_whom(said: String) -> Error {
    let lower = said.to_lowercase();
    let speaks_of = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let ended = speaks_of(&["exit"]) && !speaks_of(&["oci runtime", "runc", "shim", "containerd"]);
    if ended || speaks_of(&["volume", "plugin", "mount"]) {
        Error::new(Kind::Status(Code::Unknown), said)
    } else {
        Error::lab(format!("dockerd: {said}"))
    }
}

/// Nothing is asked yet; a unix socket must be there.
fn open(address: &str) -> Result<Docker> {
    let seconds = LONGEST.as_secs();
    let docker = match address.split_once("://") {
        Some(("unix", path)) => Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION),
        Some(("tcp" | "http", _)) => Docker::connect_with_http(address, seconds, API_DEFAULT_VERSION),
        _ => {
            return Err(Error::invalid(format!("{address:?} is no address of a Docker engine"))
                .hint("unix:///PATH or tcp://HOST:PORT; TLS and ssh: forward a socket"));
        }
    };
    docker.map_err(refused)
}

impl Engine {
    /// The engine at `unix:///PATH` or `tcp://HOST:PORT`, once it answers. Must be called within a runtime, from where
    /// blocking is allowed.
    pub fn connect(address: &str, deadline: Instant) -> Result<Self> {
        let began = Instant::now();
        let mut engine = None;
        let mut failed = None;
        let waited = wait_until(deadline, "a Docker engine", || {
            match open(address).and_then(|docker| Self::negotiated(docker, address, deadline)) {
                Ok(found) => engine = Some(found),
                Err(error) => failed = Some(Error { after: Some(began.elapsed()), ..error }),
            }
            engine.is_some() || failed.as_ref().is_some_and(|error| error.kind == Kind::Invalid)
        });
        engine.ok_or_else(|| failed.or(waited.err()).unwrap_or_else(|| Error::invalid(address.to_owned())))
    }

    /// An engine may know an older or a newer API than we do.
    fn negotiated(docker: Docker, address: &str, deadline: Instant) -> Result<Self> {
        let unknown = Self { docker, address: address.to_owned(), runtime: Handle::current() };
        let docker = unknown.call("version", deadline, unknown.docker.clone().negotiate_version())?;
        Ok(Self { docker, ..unknown })
    }

    /// The runtime that its calls run on.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Its API, for what is asked elsewhere.
    pub fn api(&self) -> &Docker {
        &self.docker
    }

    /// One call.
    pub fn call<T>(
        &self,
        what: &str,
        deadline: Instant,
        asked: impl Future<Output = std::result::Result<T, Refusal>>,
    ) -> Result<T> {
        self.ask(what, deadline, asked)?.map_err(|error| self.refused(error, what))
    }

    /// What is wrong with it, if it does not even tell its version.
    pub fn trouble(&self, deadline: Instant) -> Option<Error> {
        let deadline = deadline.min(Instant::now() + GLANCE);
        let asked = self.runtime.block_on(async { timeout_at(deadline.into(), self.docker.version()).await });
        let error = match asked {
            Ok(answer) => refused(answer.err()?).of_lab(),
            Err(_) => Error::lab("no answer in time").hint("is dockerd alive?"),
        };
        Some(self.during(error, "version"))
    }

    /// An error of time is the engine's, where it answers nothing at all; else that of whom it waits for: the plugin.
    pub fn late(&self, error: Error) -> Error {
        match error.kind {
            Kind::Timeout => self.trouble(Instant::now() + GLANCE).unwrap_or(error),
            _ => error,
        }
    }

    /// One call, whose refusal may be what is wanted.
    pub fn ask<T>(
        &self,
        what: &str,
        deadline: Instant,
        asked: impl Future<Output = std::result::Result<T, Refusal>>,
    ) -> Result<std::result::Result<T, Refusal>> {
        let began = Instant::now();
        let asked = asked.boxed_local();
        self.runtime.block_on(async { timeout_at(deadline.into(), asked).await }).map_err(|_| {
            let error = Error::new(Kind::Timeout, "no answer in time").hint("is dockerd alive?");
            self.late(error.during(&self.address, what, began.elapsed()))
        })
    }

    /// What a refusal says, and of whom.
    pub fn refused(&self, error: Refusal, what: &str) -> Error {
        self.during(refused(error), what)
    }

    fn during(&self, error: Error, what: &str) -> Error {
        error.during(&self.address, what, Duration::ZERO)
    }

    /// One call, for which it is all the same whether there was still something to do.
    pub fn settle<T>(
        &self,
        what: &str,
        deadline: Instant,
        asked: impl Future<Output = std::result::Result<T, Refusal>>,
    ) -> Result<()> {
        match self.ask(what, deadline, asked)? {
            Err(error) if !settled(&error) => Err(self.refused(error, what)),
            _ => Ok(()),
        }
    }

    /// What it tells of itself: `GET /info`.
    pub fn info(&self, deadline: Instant) -> Result<SystemInfo> {
        self.call("info", deadline, self.docker.info())
    }

    /// The image of tasks, made of the executable at `ledger` alone, where it is not there yet; what it is called.
    pub fn image(&self, ledger: &Path, deadline: Instant) -> Result<String> {
        let unread =
            |error: std::io::Error| Error::lab_io(ledger.display(), error).hint("the wheel brings it on Linux");
        let executable = std::fs::read(ledger).map_err(unread)?;
        let tag = holdfast_image::digest(&executable)[..12].to_owned();
        let name = format!("{IMAGE}:{tag}");
        if self.ask("inspect the image", deadline, self.docker.inspect_image(&name))?.is_ok() {
            return Ok(name);
        }
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(executable.len() as u64);
        header.set_mode(0o755);
        header.set_cksum();
        let added = tar.append_data(&mut header, EXECUTABLE.trim_start_matches('/'), executable.as_slice());
        let tar = added.and_then(|()| tar.into_inner()).map_err(unread)?;
        let options = CreateImageOptionsBuilder::default().from_src("-").repo(IMAGE).tag(&tag).build();
        let importing = self.docker.create_image(Some(options), Some(body_full(tar.into())), None);
        self.call("import the image", deadline, importing.try_collect::<Vec<_>>())?;
        Ok(name)
    }

    /// Makes a container, and starts it if told to; one that does not start is removed.
    pub fn run(&self, name: &str, body: ContainerCreateBody, start: bool, deadline: Instant) -> Result<()> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        self.call("create a container", deadline, self.docker.create_container(Some(options), body))?;
        if !start {
            return Ok(());
        }
        let started = self.call("start a container", deadline, self.docker.start_container(name, None));
        if started.is_err() {
            let _ = self.remove(name, Instant::now() + Duration::from_secs(5)); // clear finds it again
        }
        started
    }

    /// A container as it is; none, where there is none.
    pub fn container(&self, name: &str, deadline: Instant) -> Result<Option<ContainerInspectResponse>> {
        match self.ask("inspect a container", deadline, self.docker.inspect_container(name, None))? {
            Ok(found) => Ok(Some(found)),
            Err(error) if answered(&error, 404) => Ok(None),
            Err(error) => Err(self.refused(error, "inspect a container")),
        }
    }

    /// Kills a container's process, if it has one.
    pub fn kill(&self, name: &str, deadline: Instant) -> Result<()> {
        let options = KillContainerOptionsBuilder::default().signal("KILL").build();
        self.settle("kill a container", deadline, self.docker.kill_container(name, Some(options)))
    }

    /// Removes a container, if it is there.
    pub fn remove(&self, name: &str, deadline: Instant) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        self.settle("remove a container", deadline, self.docker.remove_container(name, Some(options)))?;
        // who answers that a removal is under way has not removed it
        wait_until(deadline, "the removal of a container", || matches!(self.container(name, deadline), Ok(None)))
            .map_err(|error| self.late(error))
    }

    /// The names of all containers with these labels, running or not.
    pub fn labelled(&self, labels: &[String], deadline: Instant) -> Result<Vec<String>> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.call("list containers", deadline, self.docker.list_containers(Some(options)))?;
        let names =
            found.into_iter().filter_map(|container| container.names.and_then(|names| names.into_iter().next()));
        Ok(names.map(|name| name.trim_start_matches('/').to_owned()).collect())
    }

    /// Reads a file in a container, if there is such a file. It comes as an archive, which a file of ours without a name
    /// holds meanwhile: however large it is, the memory is not.
    pub fn read(
        &self,
        name: &str,
        path: &str,
        deadline: Instant,
        reader: impl FnOnce(&mut dyn Read) -> std::io::Result<()>,
    ) -> Result<()> {
        let here = |error: std::io::Error| Error::lab_io(std::env::temp_dir().display(), error);
        let mut tar = tempfile::tempfile().map_err(here)?;
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let fetching = fetch(self.docker.download_from_container(name, Some(options)), &tar);
        match self.ask("fetch a file", deadline, fetching)? {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(here(error)),
            Err(error) if answered(&error, 404) => return Ok(()),
            Err(error) => return Err(self.refused(error, "fetch a file")),
        }
        tar.rewind().map_err(here)?;
        let broken = |error: std::io::Error| {
            let why = format!("{path} came as a broken archive: {error}");
            self.during(Error::lab(why), "fetch a file")
        };
        let mut archive = tar::Archive::new(tar);
        let Some(entry) = archive.entries().map_err(broken)?.next() else { return Ok(()) };
        reader(&mut entry.map_err(broken)?).map_err(broken)
    }

    /// Makes a volume by a plugin; one that is there already stays as it is.
    pub fn create_volume(
        &self,
        name: &str,
        driver: &str,
        options: HashMap<String, String>,
        deadline: Instant,
    ) -> Result<Volume> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some(driver.to_owned()),
            driver_opts: Some(options),
            ..VolumeCreateRequest::default()
        };
        self.call("create a volume", deadline, self.docker.create_volume(request))
    }

    /// Removes a volume, if the engine knows it.
    pub fn remove_volume(&self, name: &str, deadline: Instant) -> Result<()> {
        let options = RemoveVolumeOptionsBuilder::default().force(true).build();
        match self.ask("remove a volume", deadline, self.docker.remove_volume(name, Some(options)))? {
            Err(error) if !answered(&error, 404) => Err(self.refused(error, "remove a volume")),
            _ => Ok(()),
        }
    }

    /// The names of a plugin's volumes.
    pub fn volumes(&self, driver: &str, deadline: Instant) -> Result<Vec<String>> {
        Ok(self.listed("driver", driver, deadline)?.map(|volume| volume.name).collect())
    }

    /// Where a volume is mounted on its host, as its plugin lists it; none, where that does not tell.
    pub fn mountpoint(&self, name: &str, deadline: Instant) -> Result<Option<PathBuf>> {
        let found = self.listed("name", name, deadline)?.find(|volume| volume.name == name);
        Ok(found.map(|volume| PathBuf::from(volume.mountpoint)).filter(|path| path.is_absolute()))
    }

    fn listed(&self, filter: &str, value: &str, deadline: Instant) -> Result<impl Iterator<Item = Volume>> {
        let filters = HashMap::from([(filter.to_owned(), vec![value.to_owned()])]);
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let listed = self.call("list volumes", deadline, self.docker.list_volumes(Some(options)))?;
        Ok(listed.volumes.into_iter().flatten())
    }
}

/// Writes what comes; the inner error is of the file.
async fn fetch(
    parts: impl Stream<Item = std::result::Result<bytes::Bytes, Refusal>>,
    mut into: &std::fs::File,
) -> std::result::Result<std::io::Result<()>, Refusal> {
    let mut parts = std::pin::pin!(parts);
    while let Some(part) = parts.next().await {
        if let Err(error) = into.write_all(&part?) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_of_itself_is_the_labs() {
        for (said, kind) in [
            ("error while mounting volume '': VolumeDriver.Mount: no", Kind::Status(Code::Unknown)),
            ("task: non-zero exit (1)", Kind::Status(Code::Unknown)),
            ("OCI runtime create failed: error mounting \"/x\" to rootfs", Kind::Status(Code::Unknown)),
            ("OCI runtime create failed: runc did not terminate successfully: exit status 1: broken", Kind::Lab),
            ("failed to start shim: exit status 1", Kind::Lab),
            ("no space left on device", Kind::Lab),
        ] {
            assert_eq!(of_whom(said.to_owned()).kind, kind, "{said}");
        }
    }
}
