//! The second seam: who runs tasks. Our own runner is the orchestrator itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::nodes::{Look, Mount, Nodes, Process, Spec};
use super::volumes::{Attachment, Volume, Volumes};
use holdfast_ledger::Judge;
use holdfast_net::error::{Error, Kind, Result};

/// A task to run.
#[derive(Clone)]
pub struct TaskRequest {
    /// Its volume.
    pub volume: Volume,
    /// On which node.
    pub node: String,
    /// What it does; where its volume is mounted is the runner's to say.
    pub spec: Spec,
    /// Whether the runner itself shall run its next life once it is gone, as [`Runner::hand_over`] says.
    pub is_kept: bool,
}

/// Who runs tasks.
pub trait Runner: Send + Sync {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Whether it asks the provider itself to unmount, and tells what came of it. An engine keeps that to itself.
    fn tells_unmounts(&self) -> bool;

    /// Runs a task; what a failed start had made is undone.
    fn run(&self, request: &TaskRequest, deadline: Instant) -> Result<Box<dyn Process>>;

    /// Whether it keeps every task that it runs: its next life runs by itself once it is gone.
    fn keeps_tasks(&self) -> bool {
        false
    }

    /// Says what the next life of a task is that the runner keeps; it runs once that is gone. The task's node may be lost.
    fn hand_over(&self, from: &str, _: &TaskRequest, _is_lost: bool, _: Instant) -> Result<Box<dyn Process>> {
        Err(Error::invalid(format!("the runner {} does not keep {from}", self.name())))
    }

    /// Lets go of a task's volume once the task ended: unmounts it, and with the last task of a node detaches it.
    fn release(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()>;

    /// Mounts the volume of a task that runs once more for it, and takes that back, as an engine does to copy a
    /// file. Why not, where that cannot be had.
    fn mount_again(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<Option<String>>;

    /// Looks where the volume of a task that runs is mounted, and opens its ledger anew. False where nobody can.
    fn see(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<bool>;

    /// What a node finds on a volume that it has, or gets for that; the ledger on it goes before the judge.
    fn look(&self, volume: &Volume, node: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look>;

    /// Takes a volume from a node that cannot be asked: nothing is unmounted there.
    fn evict(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()>;

    /// Brings a node that was given up back in order: what is mounted there for tasks that are no more goes.
    fn reconcile(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()>;
}

/// holdfast as the orchestrator, which follows the life cycle of CSI strictly. Whatever starts the processes gets a
/// volume that is mounted.
pub struct Own {
    name: &'static str,
    volumes: Arc<dyn Volumes>,
    nodes: Arc<dyn Nodes>,
    held: Mutex<BTreeMap<(String, String), Held>>,
    mounts: Mounts,
}

/// Whether a provider mounts volumes at all: there are those whose volumes are folders of one mount.
#[derive(Default)]
pub struct Mounts(AtomicBool);

impl Mounts {
    /// A provider that mounts its volumes has mounted this one: a path where nothing is may be on a disk that every node
    /// of a lab sees, and look as whole as a volume.
    pub fn expect(&self, nodes: &dyn Nodes, node: &str, path: &Path) -> Result<()> {
        match nodes.is_mounted(node, path)? {
            Some(true) => self.0.store(true, Ordering::Relaxed),
            Some(false) if self.0.load(Ordering::Relaxed) => {
                let path = path.display();
                let why =
                    format!("the plugin says that the volume is at {path} on {node}, and nothing is mounted there");
                return Err(Error::new(Kind::Expectation, why));
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a node has of a volume.
#[derive(Debug, Clone, Default)]
struct Held {
    attachment: Option<Attachment>,
    staged: bool,
    /// And where it is mounted for each.
    tasks: BTreeMap<String, PathBuf>,
    /// It was taken from the node behind its back.
    evicted: bool,
}

impl Own {
    /// Over a provider and nodes; `name` is what starts the processes there.
    pub fn new(name: &'static str, volumes: Arc<dyn Volumes>, nodes: Arc<dyn Nodes>) -> Self {
        Self { name, volumes, nodes, held: Mutex::default(), mounts: Mounts::default() }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<(String, String), Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, volume: &Volume, node: &str) -> Held {
        self.table().get(&key(volume, node)).cloned().unwrap_or_default()
    }

    fn note(&self, volume: &Volume, node: &str, change: impl FnOnce(&mut Held)) {
        change(self.table().entry(key(volume, node)).or_default());
    }

    fn start(&self, request: &TaskRequest, deadline: Instant) -> Result<Box<dyn Process>> {
        let TaskRequest { volume, node, spec, .. } = request;
        let mount = Mount::at(self.mount(volume, node, &spec.task, deadline)?, volume);
        self.nodes.start(node, Spec { mount, ..spec.clone() }, deadline)
    }

    fn mount(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<PathBuf> {
        let held = self.held(volume, node);
        let attachment = if let Some(attachment) = held.attachment.filter(|_| !held.evicted) {
            attachment
        } else {
            let attachment = self.volumes.attach(volume, node, deadline)?;
            let tasks = self.held(volume, node).tasks; // of before it was taken, which nobody has asked about yet
            let attached = Held { attachment: Some(attachment.clone()), tasks, ..Held::default() };
            self.note(volume, node, |held| *held = attached);
            attachment
        };
        if !self.held(volume, node).staged {
            self.note(volume, node, |held| held.staged = true); // a call that failed may have been carried out
            self.volumes.stage(volume, &attachment, node, deadline)?;
        }
        self.note(volume, node, |held| {
            held.tasks.entry(task.to_owned()).or_default();
        });
        let path = self.volumes.mount(volume, &attachment, node, task, deadline)?;
        self.note(volume, node, |held| held.tasks.extend([(task.to_owned(), path.clone())]));
        self.mounts.expect(&*self.nodes, node, &path)?;
        Ok(path)
    }
}

fn key(volume: &Volume, node: &str) -> (String, String) {
    (volume.id.clone(), node.to_owned())
}

impl Runner for Own {
    fn name(&self) -> &'static str {
        self.name
    }

    fn tells_unmounts(&self) -> bool {
        true
    }

    fn run(&self, request: &TaskRequest, deadline: Instant) -> Result<Box<dyn Process>> {
        let ran = self.start(request, deadline);
        if ran.is_err() {
            // what cannot be undone now, reconcile undoes once the node answers
            let _ = self.release(&request.volume, &request.node, &request.spec.task, deadline);
        }
        ran
    }

    fn release(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        self.nodes.clear(node, &volume.id, Some(task), deadline)?;
        let held = self.held(volume, node);
        if held.tasks.contains_key(task) {
            self.volumes.unmount(volume, node, task, deadline)?;
            self.note(volume, node, |held| drop(held.tasks.remove(task)));
        }
        let held = self.held(volume, node);
        if !held.tasks.is_empty() {
            return Ok(());
        }
        if held.staged {
            self.volumes.unstage(volume, node, deadline)?;
            self.note(volume, node, |held| held.staged = false);
        }
        if held.attachment.is_some() && !held.evicted {
            self.volumes.detach(volume, node, deadline)?;
        }
        self.table().remove(&key(volume, node));
        Ok(())
    }

    fn mount_again(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<Option<String>> {
        let attachment = self.held(volume, node).attachment.unwrap_or_default();
        self.volumes.mount_again(volume, &attachment, node, task, deadline)
    }

    fn see(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<bool> {
        let held = self.held(volume, node);
        held.tasks.get(task).map_or(Ok(false), |path| self.nodes.see(node, path, deadline))
    }

    fn look(&self, volume: &Volume, node: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look> {
        const READER: &str = "holdfast-reader";
        let mounted = self.mount(volume, node, READER, deadline);
        let mounted = mounted.map(|path| Mount::at(path, volume));
        let look = mounted.and_then(|mount| self.nodes.look(node, &mount, READER, judge, deadline));
        let released = self.release(volume, node, READER, deadline);
        look.and_then(|look| released.map(|()| look))
    }

    fn evict(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        self.volumes.detach(volume, node, deadline)?;
        self.note(volume, node, |held| held.evicted = true);
        Ok(())
    }

    fn reconcile(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        self.nodes.clear(node, &volume.id, None, deadline)?;
        for task in self.held(volume, node).tasks.into_keys() {
            self.release(volume, node, &task, deadline)?;
        }
        let left = self.held(volume, node);
        if left.staged || left.attachment.is_some() {
            self.release(volume, node, "", deadline)?;
        }
        Ok(())
    }
}
