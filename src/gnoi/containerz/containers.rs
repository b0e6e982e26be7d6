//! `StartContainer`, `ListContainer`, `StopContainer`, `RemoveContainer`, `UpdateContainer`.

use tokio::time::Instant;
use tonic::Code;

use super::images::removed_or_absent;
use super::types::{Container, ContainerStatus, Location, RestartPolicy, StartOptions};
use super::{Containerz, Made, client};
use crate::dial::Call;
use crate::dial::whole::all_of;
use crate::error::{Error, Kind, Result, Subject};
use crate::image::{Written, pieces};
use crate::wire::gnoi::containerz::list_container_response::Status as WireStatus;
use crate::wire::gnoi::containerz::start_container_request::{
    Capabilities, Limits, Location as WireLocation, Port, Restart, RunAs, restart::Policy,
};
use crate::wire::gnoi::containerz::start_container_response::Response as StartAnswer;
use crate::wire::gnoi::containerz::update_container_response::Response as UpdateAnswer;
use crate::wire::gnoi::containerz::{
    Device, ListContainerRequest, ListContainerResponse, RemoveContainerRequest, StartContainerRequest,
    StartContainerResponse, StopContainerRequest, UpdateContainerRequest, UpdateContainerResponse, Volume, device,
};

const UPDATE: &str = "Containerz.UpdateContainer";

impl Containerz {
    /// `gnoi.containerz.Containerz/StartContainer`. Returns the instance's name.
    ///
    /// Volumes are looked up first, since servers create a missing one silently; what a failed start left behind
    /// is removed, since servers refuse the next try because of it.
    pub async fn start(&self, options: &StartOptions, deadline: Instant) -> Result<String> {
        if options.instance_name.is_empty() {
            return Err(Error::invalid("a container needs a name"));
        }
        let name = &options.instance_name;
        let steps = async {
            self.check_volumes(options, deadline).await?;
            let known = self.containers(true, deadline).await?.iter().any(|c| c.is_named(name));
            let ask = |labels| self.ask_to_start(StartOptions { labels, ..options.clone() }, known, deadline);
            self.with_labels(name, &options.labels, ask).await
        };
        self.timed("Containerz.StartContainer", steps).await
    }

    /// `known`: there is one of that name.
    async fn ask_to_start(&self, options: StartOptions, known: bool, deadline: Instant) -> Result<String> {
        let options = &options;
        let request = to_request(options);
        crate::gnoi::tell(&self.session, "gnoi.containerz.StartContainerRequest", &request);
        let asked = self.session.call(self.change("Containerz.StartContainer", deadline), |connection| {
            let request = request.clone();
            async move { Ok(client(connection).start_container(request).await?.into_inner()) }
        });
        let answer = if known {
            asked.await
        } else {
            self.making(Made::named("container", &options.instance_name), asked).await
        };
        let name = &options.instance_name;
        let runs = |deadline| async move {
            let listed = self.containers(true, deadline).await?;
            Ok(!known && listed.iter().any(|c| c.is_named(name) && c.status == ContainerStatus::Running))
        };
        let answer =
            self.settled(answer, "Containerz.StartContainer", Some(StartContainerResponse::default()), deadline, runs);
        // its volumes are there, so that it can be the image alone, or the stopped container that a bare name means
        let named = if options.image_name.is_empty() { Subject::Container } else { Subject::Image };
        let answer = match answer.await.map_err(|error| error.missing(named)) {
            Ok(answer) => answer,
            Err(error) => return Err(self.after_failed_start(error, options, known, deadline).await),
        };
        match answer.response {
            Some(StartAnswer::StartOk(started)) if !started.instance_name.is_empty() => {
                Ok(strip_slash(&started.instance_name).to_owned())
            }
            Some(StartAnswer::StartError(_)) => {
                let error = Error::new(Kind::Status(Code::Internal), "the device answered start_error");
                Err(self.after_failed_start(error, options, known, deadline).await)
            }
            _ => Ok(options.instance_name.clone()),
        }
    }

    async fn check_volumes(&self, options: &StartOptions, deadline: Instant) -> Result<()> {
        if options.volumes.is_empty() {
            return Ok(());
        }
        let there = self.volumes(deadline).await?;
        match options.volumes.iter().find(|mount| !there.iter().any(|volume| volume.name == mount.name)) {
            None => Ok(()),
            Some(mount) => {
                Err(Error::new(Kind::Status(Code::NotFound), format!("there is no volume {:?}", mount.name))
                    .missing(Subject::Volume)
                    .hint("create the volume first; a device would have made an empty one silently"))
            }
        }
    }

    async fn after_failed_start(&self, error: Error, options: &StartOptions, known: bool, deadline: Instant) -> Error {
        let name = &options.instance_name;
        if known {
            return match error.code() {
                Some(Code::Internal | Code::AlreadyExists) => Error {
                    kind: Kind::Status(Code::AlreadyExists),
                    hint: Some(format!("remove or update container {name:?}, or take another name")),
                    ..error
                },
                _ => error,
            };
        }
        if error.kind == Kind::OutcomeUnknown || error.code() == Some(Code::AlreadyExists) {
            return error; // in the second case it is somebody else's, for it was not listed before
        }
        let left = self.containers(true, deadline).await.unwrap_or_default();
        let left_over = left.iter().any(|c| c.is_named(name) && c.status != ContainerStatus::Running);
        if left_over && let Err(why) = self.remove(name, true, true, deadline).await {
            return error.hint(format!("the failed start left container {name:?} behind, and it stays: {why}"));
        }
        error
    }

    /// `gnoi.containerz.Containerz/ListContainer`; stopped ones too with `all`.
    pub async fn containers(&self, all: bool, deadline: Instant) -> Result<Vec<Container>> {
        let listed = self.containers_by(all, Call::read("Containerz.ListContainer", deadline)).await;
        self.naming_older(listed, deadline).await
    }

    /// As `containers`, with the limits of `call`.
    pub async fn containers_by(&self, all: bool, call: Call) -> Result<Vec<Container>> {
        let call = Call { name: "Containerz.ListContainer", ..call };
        let request = ListContainerRequest { all, ..ListContainerRequest::default() };
        self.session
            .call(call, |connection| {
                let request = request.clone();
                async move { all_of(client(connection).list_container(request).await?.into_inner(), listed).await }
            })
            .await
    }

    /// `gnoi.containerz.Containerz/StopContainer`.
    pub async fn stop(&self, name: &str, force: bool, restart: bool, deadline: Instant) -> Result<()> {
        let request = StopContainerRequest { instance_name: name.to_owned(), force, restart };
        crate::gnoi::tell(&self.session, "gnoi.containerz.StopContainerRequest", &request);
        let stopped = self
            .session
            .call(self.change("Containerz.StopContainer", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).stop_container(request).await.map(|_| ()) }
            })
            .await;
        let stands = |deadline| async move {
            let listed = self.containers(true, deadline).await?;
            Ok(!restart && !listed.iter().any(|c| c.is_named(name) && c.status == ContainerStatus::Running))
        };
        let stopped = self.settled(stopped, "Containerz.StopContainer", None, deadline, stands).await;
        stopped.map_err(|error| error.missing(Subject::Container))
    }

    /// `gnoi.containerz.Containerz/RemoveContainer`. Whether something was removed.
    pub async fn remove(&self, name: &str, force: bool, missing_ok: bool, deadline: Instant) -> Result<bool> {
        let request = RemoveContainerRequest { name: name.to_owned(), force };
        crate::gnoi::tell(&self.session, "gnoi.containerz.RemoveContainerRequest", &request);
        let removed = self
            .session
            .call(self.change("Containerz.RemoveContainer", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).remove_container(request).await.map(|_| ()) }
            })
            .await;
        let gone =
            |deadline| async move { Ok(!self.containers(true, deadline).await?.iter().any(|c| c.is_named(name))) };
        let removed = self.settled(removed, "Containerz.RemoveContainer", None, deadline, gone).await;
        removed_or_absent(removed, missing_ok).map_err(|error| match error.code() {
            Some(Code::FailedPrecondition) => error.hint("it runs: stop it first, or remove it with force"),
            _ => error.missing(Subject::Container),
        })
    }

    /// `gnoi.containerz.Containerz/UpdateContainer`: the image in both places, since servers read either.
    /// Whether the device goes on with it by itself (`run_async`).
    pub async fn update(&self, options: &StartOptions, run_async: bool, deadline: Instant) -> Result<bool> {
        let name = &options.instance_name;
        let ask = |labels| self.ask_to_update(StartOptions { labels, ..options.clone() }, run_async, deadline);
        if self.made(&Made::named("container", name)) {
            self.timed(UPDATE, self.with_labels(name, &options.labels, ask)).await
        } else {
            self.timed(UPDATE, ask(options.labels.clone())).await
        }
    }

    async fn ask_to_update(&self, options: StartOptions, run_async: bool, deadline: Instant) -> Result<bool> {
        let request = UpdateContainerRequest {
            instance_name: options.instance_name.clone(),
            image_name: options.image_name.clone(),
            image_tag: options.tag.clone(),
            params: Some(to_request(&options)),
            r#async: run_async,
        };
        let name = options.instance_name.as_str();
        let image = |deadline| async move {
            let listed = self.containers(true, deadline).await?;
            let running = |c: &Container| c.is_named(name) && c.status == ContainerStatus::Running;
            Ok::<_, Error>(listed.into_iter().find(running).map(|container| container.image))
        };
        let before = image(deadline).await.ok().flatten(); // who does not list it is asked all the same
        crate::gnoi::tell(&self.session, "gnoi.containerz.UpdateContainerRequest", &request);
        let answer = self
            .session
            .call(self.change(UPDATE, deadline), |connection| {
                let request = request.clone();
                async move { Ok(client(connection).update_container(request).await?.into_inner()) }
            })
            .await;
        let wanted = format!("{}:{}", options.image_name, options.tag);
        let is_wanted = |image: &str| Written::read(image).is_same(&Written::read(&wanted));
        // One that ran of this image before looks the same whether it was updated or not.
        let tells = before.as_deref().is_some_and(|before| !is_wanted(before));
        let done = tells.then(UpdateContainerResponse::default);
        let moves = |now: String| is_wanted(&now) || before.as_ref().is_some_and(|before| *before != now);
        let moved = |deadline| async move { Ok(image(deadline).await?.is_some_and(moves)) };
        let named = if before.is_some() { Subject::Image } else { Subject::Container };
        let answer = self.settled(answer, UPDATE, done, deadline, moved).await;
        match answer.map_err(|error| error.missing(named))?.response {
            Some(UpdateAnswer::UpdateError(_)) => {
                Err(Error::new(Kind::Status(Code::Internal), "the device answered update_error"))
            }
            Some(UpdateAnswer::UpdateOk(done)) => Ok(done.is_async),
            None => Ok(false),
        }
    }
}

fn strip_slash(name: &str) -> &str {
    name.trim().trim_start_matches('/')
}

fn listed(row: ListContainerResponse) -> Container {
    let status = match row.status() {
        WireStatus::Unspecified => ContainerStatus::Unspecified,
        WireStatus::Stopped => ContainerStatus::Stopped,
        WireStatus::Running => ContainerStatus::Running,
        WireStatus::Present => ContainerStatus::Present,
        WireStatus::NotFound => ContainerStatus::NotFound,
    };
    let mut names: Vec<_> = pieces(&row.name).map(|name| strip_slash(name).to_owned()).collect();
    // Docker writes the name that a link gives it, other/alias, before or behind its own, which has no slash.
    let own = names.iter().position(|name| !name.contains('/')).unwrap_or_default();
    let name = if names.is_empty() { String::new() } else { names.remove(own) };
    Container {
        id: row.id,
        name,
        aliases: names,
        image: row.image_name,
        status,
        labels: row.labels.into_iter().collect(),
    }
}

fn to_request(options: &StartOptions) -> StartContainerRequest {
    let (policy, attempts) = match options.restart {
        RestartPolicy::None => (Policy::None, 0),
        RestartPolicy::Always => (Policy::Always, 0),
        RestartPolicy::UnlessStopped => (Policy::UnlessStopped, 0),
        RestartPolicy::OnFailure(attempts) => (Policy::OnFailure, attempts),
    };
    let location = match options.location {
        Location::Unknown => WireLocation::LUnknown,
        Location::Primary => WireLocation::LPrimary,
        Location::Backup => WireLocation::LBackup,
        Location::All => WireLocation::LAll,
    };
    let capabilities =
        Capabilities { add: options.add_capabilities.clone(), remove: options.remove_capabilities.clone() };
    let limits =
        Limits { max_cpu: options.max_cpu, soft_mem_bytes: options.memory.0, hard_mem_bytes: options.memory.1 };
    let (user, group) = options.run_as.clone();
    StartContainerRequest {
        image_name: options.image_name.clone(),
        tag: options.tag.clone(),
        cmd: options.command.clone(),
        instance_name: options.instance_name.clone(),
        ports: options.ports.iter().map(|&(internal, external)| Port { internal, external }).collect(),
        environment: options.environment.clone().into_iter().collect(),
        volumes: options
            .volumes
            .iter()
            .map(|mount| Volume {
                name: mount.name.clone(),
                mount_point: mount.mount_point.clone(),
                read_only: mount.read_only,
            })
            .collect(),
        network: options.network.clone(),
        cap: (capabilities != Capabilities::default()).then_some(capabilities),
        restart: Some(Restart { policy: policy as i32, attempts }),
        run_as: (!user.is_empty() || !group.is_empty()).then_some(RunAs { user, group }),
        labels: options.labels.clone().into_iter().collect(),
        limits: (limits != Limits::default()).then_some(limits),
        devices: options
            .devices
            .iter()
            .map(|file| Device {
                src_path: file.src_path.clone(),
                dst_path: file.dst_path.clone(),
                permissions: file.permissions.chars().filter_map(permission).collect(),
            })
            .collect(),
        location: location as i32,
    }
}

fn permission(letter: char) -> Option<i32> {
    match letter {
        'r' => Some(device::Permission::Read as i32),
        'w' => Some(device::Permission::Write as i32),
        'm' => Some(device::Permission::Mknod as i32),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_slash_and_are_split() {
        for name in ["/web,/link/web", "/link/web,/web", "[/web /link/web]", "web, link/web"] {
            let container = listed(ListContainerResponse { name: name.into(), ..Default::default() });
            assert_eq!((container.name.as_str(), container.aliases.as_slice()), ("web", &["link/web".to_owned()][..]));
            assert!(container.is_named("web") && container.is_named("link/web") && !container.is_named("link"));
        }
        let nameless = listed(ListContainerResponse::default());
        assert!(nameless.name.is_empty() && nameless.aliases.is_empty());
        let linked = listed(ListContainerResponse { name: "/one/web".into(), ..Default::default() });
        assert_eq!(linked.name, "one/web");
    }

    #[test]
    fn it_uses_the_image_however_that_is_written() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for image in ["app:1", "docker.io/library/app:1", &format!("app:1@{digest}"), "docker://app:1"] {
            let container = listed(ListContainerResponse { image_name: image.into(), ..Default::default() });
            assert!(container.uses("app", "1") && !container.uses("app", "latest"), "{image}");
        }
        for image in [digest.as_str(), &format!("app@{digest}"), "<none>", ""] {
            let container = listed(ListContainerResponse { image_name: image.into(), ..Default::default() });
            assert!(!container.uses("app", "latest"), "{image}");
        }
    }
}
