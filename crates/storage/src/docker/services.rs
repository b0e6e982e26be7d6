//! Tasks as services of a Swarm, each with one replica that is pinned to a node and never restarts: a scenario says
//! where a task runs, and Swarm starts it, watches it and tells what became of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bollard::models::{
    NetworkAttachmentConfig, ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated, TaskSpec, TaskSpecContainerSpec,
    TaskSpecPlacement, TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum, TaskState, TaskStatus,
};

use super::containers::{Containers, TASK_LABEL, VOLUME_LABEL, command, labels};
use super::engine::{EXECUTABLE, of_whom};
use super::hearing::Hearing;
use super::swarm::Swarm;
use crate::nodes::{Leftover, Look, Mount, Nodes, Process, Spec, TaskEnding};
use holdfast_ledger::Judge;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;

/// What a service is labelled with, beside its container's labels: where it runs.
const NODE_LABEL: &str = "holdfast.node";
/// For a glance at a task.
const GLANCE: Duration = Duration::from_secs(2);

/// A Swarm over the engines of the nodes.
#[derive(Clone)]
pub struct Services {
    swarm: Swarm,
    containers: Containers,
}

impl Services {
    /// Over a Swarm whose workers are called as the nodes are.
    pub fn new(swarm: Swarm, containers: Containers, deadline: Instant) -> Result<Self> {
        for node in containers.names() {
            swarm.wait_ready(&node, true, deadline)?;
        }
        Ok(Self { swarm, containers })
    }

    fn service(&self, node: &str, spec: &Spec, acknowledge: &str) -> ServiceSpec {
        let container = TaskSpecContainerSpec {
            image: Some(self.containers.image().to_owned()),
            command: Some(vec![EXECUTABLE.to_owned()]),
            args: Some(command(spec, acknowledge)),
            labels: Some(labels(&spec.volume, &spec.task)),
            mounts: Some(self.containers.mounts(node, &spec.mount)),
            stop_grace_period: Some(1_000_000_000), // nanoseconds
            ..TaskSpecContainerSpec::default()
        };
        let template = TaskSpec {
            container_spec: Some(container),
            restart_policy: Some(TaskSpecRestartPolicy {
                condition: Some(TaskSpecRestartPolicyConditionEnum::NONE),
                ..TaskSpecRestartPolicy::default()
            }),
            placement: Some(TaskSpecPlacement {
                constraints: Some(vec![format!("node.hostname=={node}")]),
                ..TaskSpecPlacement::default()
            }),
            networks: Some(vec![NetworkAttachmentConfig {
                target: Some("host".to_owned()),
                ..NetworkAttachmentConfig::default()
            }]),
            ..TaskSpec::default()
        };
        let mut of_service = labels(&spec.volume, &spec.task);
        of_service.insert(NODE_LABEL.to_owned(), node.to_owned());
        ServiceSpec {
            name: Some(spec.task.clone()),
            labels: Some(of_service),
            task_template: Some(template),
            mode: Some(ServiceSpecMode {
                replicated: Some(ServiceSpecModeReplicated { replicas: Some(1) }),
                ..ServiceSpecMode::default()
            }),
            ..ServiceSpec::default()
        }
    }

    /// Waits until a task runs; why it never will, where the Swarm says so.
    fn wait_running(&self, service: &str, deadline: Instant) -> Result<()> {
        let mut last = TaskStatus::default();
        let waited = wait_until(deadline, "a task of the Swarm", || {
            if let Ok(Some(task)) = self.swarm.task(service, Instant::now() + GLANCE) {
                last = task.status.unwrap_or_default();
            }
            last.state == Some(TaskState::RUNNING) || has_ended(last.state)
        });
        if waited.is_ok() && last.state == Some(TaskState::RUNNING) {
            return Ok(());
        }
        let why = format!("the Swarm's task does not run: {}", described(&last));
        Err(if waited.is_err() { self.swarm.late(Error::new(Kind::Timeout, why)) } else { of_whom(why) })
    }
}

fn has_ended(state: Option<TaskState>) -> bool {
    use TaskState::{COMPLETE, FAILED, ORPHANED, REJECTED, REMOVE, SHUTDOWN};
    matches!(state, Some(COMPLETE | FAILED | ORPHANED | REJECTED | REMOVE | SHUTDOWN))
}

fn described(status: &TaskStatus) -> String {
    let state = status.state.map_or_else(|| "not there".to_owned(), |state| state.to_string());
    match status.err.as_deref().or(status.message.as_deref()) {
        Some(why) => format!("{state}: {why}"),
        None => state,
    }
}

/// A task of a service.
struct Serviced {
    services: Services,
    node: String,
    volume: String,
    name: String,
    hearing: Hearing,
}

impl Serviced {
    fn status(&self) -> Result<Option<TaskStatus>> {
        let task = self.services.swarm.task(&self.name, Instant::now() + GLANCE)?;
        Ok(task.map(|task| task.status.unwrap_or_default()))
    }
}

impl Process for Serviced {
    fn ending(&self) -> TaskEnding {
        match self.status() {
            Ok(Some(status)) if has_ended(status.state) => TaskEnding::Ended(described(&status)),
            Ok(None) => TaskEnding::Ended("its service was removed".to_owned()),
            Ok(Some(_)) | Err(_) => TaskEnding::Running,
        }
    }

    fn id(&self) -> String {
        let container = || self.status().ok()??.container_status?.container_id;
        container().unwrap_or_else(|| self.name.clone())
    }

    fn pid(&self) -> Option<u32> {
        let pid = self.status().ok()??.container_status?.pid?;
        u32::try_from(pid).ok().filter(|pid| *pid > 0)
    }

    fn stop(&self, kill: bool, deadline: Instant) -> Result<()> {
        self.hearing.close();
        if !kill {
            wait_until(deadline, "the end of a task", || matches!(self.ending(), TaskEnding::Ended(_)))?;
        }
        self.services.clear(&self.node, &self.volume, Some(&self.name), deadline)
    }
}

impl Nodes for Services {
    fn names(&self) -> Vec<String> {
        self.containers.names()
    }

    fn start(&self, node: &str, spec: Spec, deadline: Instant) -> Result<Box<dyn Process>> {
        let hearing = self.containers.listen(node, &spec)?;
        self.swarm.create(self.service(node, &spec, &hearing.address), deadline)?;
        let (node, volume, name) = (node.to_owned(), spec.volume, spec.task);
        match self.wait_running(&name, deadline) {
            // it ran, and was over before anybody looked: it has told why
            Err(_) if hearing.has_ended() => {}
            Err(error) => {
                let _ = self.swarm.remove(&name, Instant::now() + GLANCE); // clear finds it again
                return Err(error);
            }
            Ok(()) => {}
        }
        Ok(Box::new(Serviced { services: self.clone(), node, volume, name, hearing }))
    }

    fn look(&self, node: &str, mount: &Mount, task: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look> {
        self.containers.look(node, mount, task, judge, deadline)
    }

    fn leftovers(&self, node: &str, volumes: &[String]) -> Result<Vec<Leftover>> {
        self.containers.leftovers(node, volumes)
    }

    /// The services first: the Swarm removes their containers, and this sees to it that it did.
    fn clear(&self, node: &str, volume: &str, task: Option<&str>, deadline: Instant) -> Result<()> {
        let mut labels = vec![format!("{NODE_LABEL}={node}"), format!("{VOLUME_LABEL}={volume}")];
        labels.extend(task.map(|task| format!("{TASK_LABEL}={task}")));
        for service in self.swarm.labelled(&labels, deadline)? {
            let task = self.swarm.task(&service, deadline)?;
            self.swarm.remove(&service, deadline)?;
            let container = task.and_then(|task| task.status?.container_status?.container_id);
            if let Some(container) = container.filter(|id| !id.is_empty()) {
                wait_until(deadline, "the removal of a task's container", || {
                    matches!(
                        self.containers.engine(node).and_then(|engine| engine.container(&container, deadline)),
                        Ok(None)
                    )
                })
                .map_err(|error| self.swarm.late(error))?;
            }
        }
        self.containers.clear(node, volume, task, deadline)
    }

    fn see(&self, node: &str, mount: &Path, deadline: Instant) -> Result<bool> {
        self.containers.see(node, mount, deadline)
    }

    fn is_mounted(&self, node: &str, path: &Path) -> Result<Option<bool>> {
        self.containers.is_mounted(node, path)
    }

    fn mountpoint(&self, node: &str, volume: &str, deadline: Instant) -> Result<Option<PathBuf>> {
        self.containers.mountpoint(node, volume, deadline)
    }

    fn copy_out(&self, node: &str, task: &str, deadline: Instant) -> Result<bool> {
        self.containers.copy_out(node, task, deadline)
    }

    fn await_plugin(&self, node: &str, deadline: Instant) -> Result<()> {
        self.containers.await_plugin(node, deadline)
    }

    fn plugin_end(&self, node: &str) -> Option<Error> {
        self.containers.plugin_end(node)
    }

    fn trouble(&self, node: &str, deadline: Instant) -> Option<Error> {
        self.containers.trouble(node, deadline)
    }

    fn wait_lost(&self, node: &str, deadline: Instant) -> Result<()> {
        self.swarm.wait_ready(node, false, deadline)
    }
}
