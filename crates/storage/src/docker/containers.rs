//! Tasks as containers of the engine on their node.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::models::{
    ContainerCreateBody, ContainerState, HostConfig, Mount as EngineMount, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig,
};

use super::engine::{EXECUTABLE, Engine};
use super::hearing::{Channels, Hearing, WITHIN};
use crate::csi::Folders;
use crate::executable::{LEDGER, arguments};
use crate::nodes::{Leftover, LeftoverKind, Look, Mount, Nodes, Process, Spec, TaskEnding};
use holdfast_ledger::Judge;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// Where a container has its volume.
const VOLUME: &str = "/volume";
/// What every container of ours is labelled with: its task,
pub const TASK_LABEL: &str = "holdfast.task";
/// and its volume.
pub const VOLUME_LABEL: &str = "holdfast.volume";
/// For a glance at a container, whose engine may be dead.
const GLANCE: Duration = Duration::from_secs(2);

/// One engine on each node.
#[derive(Clone)]
pub struct Containers {
    engines: Arc<BTreeMap<String, Engine>>,
    /// How the tasks of a node reach the tester.
    channels: Arc<BTreeMap<String, Channels>>,
    image: String,
    /// What else the nodes are, where it is ours to see.
    beneath: Option<Arc<dyn Nodes>>,
}

impl Containers {
    /// Over engines, by node; each gets the image of tasks, made of the executable at `ledger`.
    pub fn new(
        engines: BTreeMap<String, Engine>,
        channels: BTreeMap<String, Channels>,
        ledger: &Path,
        beneath: Option<Arc<dyn Nodes>>,
        deadline: Instant,
    ) -> Result<Self> {
        for channels in channels.values() {
            channels.prepare()?;
        }
        let mut image = String::new();
        for engine in engines.values() {
            image = engine.image(ledger, deadline)?;
        }
        Ok(Self { engines: Arc::new(engines), channels: Arc::new(channels), image, beneath })
    }

    /// The engine on a node.
    pub fn engine(&self, node: &str) -> Result<&Engine> {
        self.engines.get(node).ok_or_else(|| {
            let known: Vec<&str> = self.engines.keys().map(String::as_str).collect();
            Error::invalid(format!("there is no engine on {node:?}")).hint(format!("one of: {}", known.join(", ")))
        })
    }

    /// The image of tasks.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The tester's end for a task on a node.
    pub fn listen(&self, node: &str, spec: &Spec) -> Result<Hearing> {
        let channels = self.channels.get(node).ok_or_else(|| Error::invalid(format!("there is no node {node:?}")))?;
        channels.listen(&spec.task, spec.tell.clone(), self.engine(node)?.runtime())
    }

    /// All that a task's container has mounted.
    pub fn mounts(&self, node: &str, volume: &Mount) -> Vec<EngineMount> {
        let mut mounts = vec![as_engine_mount(volume)];
        if let Some(Channels::Folder(folder)) = self.channels.get(node) {
            mounts.push(bound(folder, WITHIN));
        }
        mounts
    }

    /// The container of a task, whoever named it.
    fn container_of(&self, node: &str, task: &str, deadline: Instant) -> Result<Option<String>> {
        let named = self.engine(node)?.labelled(&[format!("{TASK_LABEL}={task}")], deadline)?;
        Ok(named.into_iter().next())
    }

    fn body(&self, node: &str, volume: &str, task: &str, mount: &Mount, command: Vec<String>) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![EXECUTABLE.to_owned()]),
            cmd: Some(command),
            labels: Some(labels(volume, task)),
            stop_timeout: Some(1),
            host_config: Some(HostConfig {
                // the acknowledgements' network is the node's own
                network_mode: Some("host".to_owned()),
                mounts: Some(self.mounts(node, mount)),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }

    /// Holds a volume mounted for a container that does nothing on it.
    pub fn hold(&self, node: &str, volume: &str, task: &str, mount: &Mount, deadline: Instant) -> Result<()> {
        if self.engine(node)?.container(task, deadline)?.is_some() {
            return Ok(());
        }
        let command = ["write", "/elsewhere", "--records=0", "--acknowledge=-"].map(str::to_owned).to_vec();
        self.engine(node)?.run(task, self.body(node, volume, task, mount, command), true, deadline)
    }
}

/// What marks a container of ours.
pub fn labels(volume: &str, task: &str) -> HashMap<String, String> {
    HashMap::from([(TASK_LABEL.to_owned(), task.to_owned()), (VOLUME_LABEL.to_owned(), volume.to_owned())])
}

/// The command of a task's container.
pub fn command(spec: &Spec, acknowledge: &str) -> Vec<String> {
    arguments(&Path::new(VOLUME).join(LEDGER), spec.opening, spec.work, acknowledge)
}

fn bound(folder: &Path, target: &str) -> EngineMount {
    EngineMount {
        typ: Some(MountType::BIND),
        source: Some(folder.display().to_string()),
        target: Some(target.to_owned()),
        ..EngineMount::default()
    }
}

fn as_engine_mount(mount: &Mount) -> EngineMount {
    match mount {
        Mount::Path(path) | Mount::Device(path) => bound(path, VOLUME),
        Mount::Engine { name, driver, options } => EngineMount {
            typ: Some(MountType::VOLUME),
            source: Some(name.clone()),
            target: Some(VOLUME.to_owned()),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true), // what is on the volume is not the image's to say
                driver_config: Some(MountVolumeOptionsDriverConfig {
                    name: Some(driver.clone()),
                    options: Some(options.clone().into_iter().collect()),
                }),
                ..MountVolumeOptions::default()
            }),
            ..EngineMount::default()
        },
    }
}

/// A task in a container.
struct Contained {
    engine: Engine,
    name: String,
    hearing: Hearing,
}

impl Contained {
    fn state(&self) -> Result<Option<ContainerState>> {
        let found = self.engine.container(&self.name, Instant::now() + GLANCE)?;
        Ok(found.map(|container| container.state.unwrap_or_default()))
    }
}

impl Process for Contained {
    fn ending(&self) -> TaskEnding {
        match self.state() {
            Ok(Some(state)) if state.running == Some(true) || state.exit_code.is_none() => TaskEnding::Running,
            Ok(Some(state)) => {
                let why = state.error.filter(|why| !why.is_empty()).map(|why| format!(": {why}")).unwrap_or_default();
                TaskEnding::Ended(format!("exit code {}{why}", state.exit_code.unwrap_or_default()))
            }
            Ok(None) => TaskEnding::Ended("its container was removed".to_owned()),
            Err(_) => TaskEnding::Running, // nobody can tell
        }
    }

    fn id(&self) -> String {
        let found = self.engine.container(&self.name, Instant::now() + GLANCE).ok().flatten();
        found.and_then(|container| container.id).unwrap_or_else(|| self.name.clone())
    }

    fn pid(&self) -> Option<u32> {
        let pid = self.state().ok()??.pid?;
        u32::try_from(pid).ok().filter(|pid| *pid > 0)
    }

    fn stop(&self, kill: bool, deadline: Instant) -> Result<()> {
        self.hearing.close();
        if kill {
            self.engine.kill(&self.name, deadline)?;
        }
        wait_until(deadline, "the end of a task", || matches!(self.ending(), TaskEnding::Ended(_)))
    }
}

/// As an engine makes what a container shall see of its host.
impl Folders for Containers {
    fn make(&self, node: &str, path: &Path, deadline: Instant) -> Result<()> {
        let engine = self.engine(node)?;
        let name = format!("holdfast-folder-{}", &holdfast_image::digest(path.display().to_string().as_bytes())[..12]);
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![EXECUTABLE.to_owned()]),
            cmd: Some(vec!["--help".to_owned()]),
            host_config: Some(HostConfig {
                binds: Some(vec![format!("{}:/made", path.display())]),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let made = engine.run(&name, body, true, deadline);
        let removed = engine.remove(&name, deadline);
        made.and(removed)
    }
}

impl Nodes for Containers {
    fn names(&self) -> Vec<String> {
        self.engines.keys().cloned().collect()
    }

    fn start(&self, node: &str, spec: Spec, deadline: Instant) -> Result<Box<dyn Process>> {
        let engine = self.engine(node)?.clone();
        let hearing = self.listen(node, &spec)?;
        let body = self.body(node, &spec.volume, &spec.task, &spec.mount, command(&spec, &hearing.address));
        engine.run(&spec.task, body, true, deadline)?;
        Ok(Box::new(Contained { engine, name: spec.task, hearing }))
    }

    /// Where the node itself cannot be looked at, a container that is never started has the volume for that.
    fn look(&self, node: &str, mount: &Mount, task: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look> {
        if let (Some(beneath), Mount::Path(_)) = (&self.beneath, mount) {
            return beneath.look(node, mount, task, judge, deadline);
        }
        let engine = self.engine(node)?;
        // others may read other volumes on the same host
        let name = format!("{task}-{}", &holdfast_image::digest(format!("{mount:?}").as_bytes())[..12]);
        let volume = if let Mount::Engine { name, .. } = mount { name } else { &name };
        engine.run(&name, self.body(node, volume, task, mount, Vec::new()), false, deadline)?;
        let path = format!("{VOLUME}/{LEDGER}");
        let read = engine.read(&name, &path, deadline, |file| judge.read(file));
        let removed = engine.remove(&name, deadline);
        read.and(removed)?;
        Ok(Look::default())
    }

    fn leftovers(&self, node: &str, volumes: &[String]) -> Result<Vec<Leftover>> {
        let mut left = match &self.beneath {
            Some(beneath) => beneath.leftovers(node, volumes)?,
            None => Vec::new(),
        };
        for volume in volumes {
            let label = format!("{VOLUME_LABEL}={volume}");
            for name in self.engine(node)?.labelled(&[label], Instant::now() + GLANCE)? {
                left.push(Leftover::on(node, LeftoverKind::Container, name));
            }
        }
        Ok(left)
    }

    fn see(&self, node: &str, mount: &Path, deadline: Instant) -> Result<bool> {
        self.beneath.as_ref().map_or(Ok(false), |beneath| beneath.see(node, mount, deadline))
    }

    fn is_mounted(&self, node: &str, path: &Path) -> Result<Option<bool>> {
        self.beneath.as_ref().map_or(Ok(None), |beneath| beneath.is_mounted(node, path))
    }

    fn mountpoint(&self, node: &str, volume: &str, deadline: Instant) -> Result<Option<PathBuf>> {
        self.engine(node)?.mountpoint(volume, deadline)
    }

    fn copy_out(&self, node: &str, task: &str, deadline: Instant) -> Result<bool> {
        let Some(name) = self.container_of(node, task, deadline)? else { return Ok(false) };
        self.engine(node)?.read(&name, EXECUTABLE, deadline, |_| Ok(())).map(|()| true)
    }

    fn await_plugin(&self, node: &str, deadline: Instant) -> Result<()> {
        self.beneath.as_ref().map_or(Ok(()), |beneath| beneath.await_plugin(node, deadline))
    }

    fn plugin_end(&self, node: &str) -> Option<Error> {
        self.beneath.as_ref().and_then(|beneath| beneath.plugin_end(node))
    }

    fn trouble(&self, node: &str, deadline: Instant) -> Option<Error> {
        let beneath = self.beneath.as_ref().and_then(|beneath| beneath.trouble(node, deadline));
        beneath.or_else(|| self.engine(node).map_or_else(Some, |engine| engine.trouble(deadline)))
    }

    fn clear(&self, node: &str, volume: &str, task: Option<&str>, deadline: Instant) -> Result<()> {
        let mut labels = vec![format!("{VOLUME_LABEL}={volume}")];
        labels.extend(task.map(|task| format!("{TASK_LABEL}={task}")));
        let engine = self.engine(node)?;
        for name in engine.labelled(&labels, deadline)? {
            engine.remove(&name, deadline)?;
        }
        Ok(())
    }
}
