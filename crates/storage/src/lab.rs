//! The three seams together, and the judge: what every task on a volume acknowledged against what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tonic::Code;

use super::busy::Busy;
use super::cut::{Cut, Cuts};
use super::faults::{Fault, Faults, Network, Part};
use super::mask::Mask;
use super::nodes::{Leftover, LeftoverKind, Nodes, Process};
use super::runner::Runner;
use super::task::{Stage, Task};
use super::volumes::{Volume, VolumeRequest, Volumes};
use holdfast_ledger::{Finding, Judge, Receipt};
use holdfast_net::dial::{EventKind, Timeline};
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking;

/// The clock of tasks in this process.
pub static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A provider, who runs tasks on it, and who does harm.
pub struct Lab {
    volumes: Arc<dyn Volumes>,
    runner: Arc<dyn Runner>,
    nodes: Arc<dyn Nodes>,
    faults: Arc<dyn Faults>,
    timeline: Timeline,
    pub(super) run: u128,
    pub(super) pace: Duration,
    ledgers: Mutex<BTreeMap<String, Ledger>>,
    /// Of snapshots.
    cuts: Mutex<Cuts>,
    /// Volumes that were made larger while nobody had them, and how large.
    grown: Mutex<BTreeMap<String, u64>>,
    /// Nodes that can be told nothing.
    lost: Mutex<BTreeSet<String>>,
    /// Nodes whose runtime was harmed, or their kubelet.
    stopped: Mutex<BTreeSet<String>>,
    /// Nodes whose plugin must not answer, and what it suffered.
    down: Mutex<BTreeMap<String, &'static str>>,
    /// What no text may tell.
    mask: Mask,
    /// How long others were waited for.
    busy: Arc<Busy>,
}

/// For a plugin that goes on to have come up, before what else may have become of it is asked.
const ATTEMPT: Duration = Duration::from_secs(5);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);

/// Who wrote on a volume so far.
#[derive(Default)]
pub struct Ledger {
    pub writer: u64,
    pub incarnation: u64,
    pub tasks: Vec<Arc<Task>>,
    /// What it held from its beginning on, where its volume is a copy.
    copied: Option<Cut>,
}

impl From<Cut> for Ledger {
    fn from(cut: Cut) -> Self {
        Self { writer: cut.writer, incarnation: cut.incarnation, tasks: Vec::new(), copied: Some(cut) }
    }
}

impl Ledger {
    /// Of a writer that has not begun.
    pub(super) fn of(writer: u64) -> Self {
        Self { writer, ..Self::default() }
    }

    /// All that was acknowledged and must be there.
    fn receipts(&self) -> Vec<Receipt> {
        let copied = self.copied.iter().flat_map(|cut| cut.receipts(self.found()));
        copied.chain(self.tasks.iter().flat_map(|task| task.receipts())).collect()
    }

    /// The last record that was there when its first task opened it.
    fn found(&self) -> Option<u64> {
        self.tasks.iter().find_map(|task| task.found())
    }
}

/// A task that was started.
pub struct Started {
    /// Unlike any other's.
    pub name: String,
    /// What it told.
    pub task: Arc<Task>,
    /// What runs.
    pub process: Box<dyn Process>,
    /// Its volume.
    pub volume: Volume,
    /// Where.
    pub node: String,
    /// What it does.
    pub stage: Stage,
    /// Which life of the volume's ledger it is.
    pub incarnation: u64,
}

/// What the judge found on a volume.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Acknowledged by all tasks there were.
    pub acknowledged: u64,
    /// What must not be.
    pub findings: Vec<Finding>,
    /// The volume's size, as far as the node can tell.
    pub bytes: Option<u64>,
    /// How much of that is in use, as far as the node can tell.
    pub used: Option<u64>,
    /// Its file system, as far as the node can tell.
    pub filesystem: Option<String>,
    /// What it is mounted with, as far as the node can tell.
    pub options: Option<Vec<String>>,
}

impl Verdict {
    /// Acknowledged and not there.
    pub fn lost(&self) -> u64 {
        self.findings.iter().map(Finding::lost).sum()
    }

    /// There, and not what was acknowledged.
    pub fn altered(&self) -> u64 {
        let altered = |finding: &&Finding| {
            use Finding::{Altered, BitFlip, Damaged, Foreign, Misplaced, Torn};
            matches!(finding, Altered(_) | BitFlip(_) | Damaged(_) | Foreign(_) | Misplaced(_) | Torn(_))
        };
        self.findings.iter().filter(altered).count() as u64
    }

    /// Of writers that another had followed.
    pub fn stale(&self) -> u64 {
        let stale = |finding: &&Finding| matches!(finding, Finding::Stale(..) | Finding::TwoWriters(..));
        self.findings.iter().filter(stale).count() as u64
    }
}

impl Lab {
    /// Of these parts. `run` is unlike that of any other run; `pace` is from one write of a task to the next.
    pub fn new(
        volumes: Arc<dyn Volumes>,
        runner: Arc<dyn Runner>,
        nodes: Arc<dyn Nodes>,
        faults: Arc<dyn Faults>,
        run: u128,
        pace: Duration,
        mask: Mask,
    ) -> Self {
        Self {
            volumes,
            runner,
            nodes,
            faults,
            timeline: Timeline::default(),
            run,
            pace,
            ledgers: Mutex::default(),
            cuts: Mutex::default(),
            grown: Mutex::default(),
            lost: Mutex::default(),
            stopped: Mutex::default(),
            down: Mutex::default(),
            mask,
            busy: Arc::default(),
        }
    }

    /// The provider.
    pub fn volumes(&self) -> &dyn Volumes {
        &*self.volumes
    }

    /// Who runs tasks.
    pub fn runner(&self) -> &dyn Runner {
        &*self.runner
    }

    /// Where tasks run.
    pub fn nodes(&self) -> &dyn Nodes {
        &*self.nodes
    }

    /// Who does harm.
    pub fn faults(&self) -> &dyn Faults {
        &*self.faults
    }

    /// How long others were waited for; whoever asks them for something does so within it.
    pub fn busy(&self) -> &Arc<Busy> {
        &self.busy
    }

    /// What no text of it may tell.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// What is wrong with the lab itself, or with a provider that is the lab's own: then nothing can be said of anybody.
    /// What was harmed on purpose is not asked.
    pub fn trouble(&self, deadline: Instant) -> Option<Error> {
        let harmed: BTreeSet<String> = self.lost().union(&self.stopped()).cloned().collect();
        let mut whole = self.nodes.names().into_iter().filter(|node| !harmed.contains(node));
        let risen = || {
            let down: Vec<String> = self.down().keys().cloned().collect();
            down.iter().find_map(|node| self.is_down(node, deadline).err())
        };
        let trouble = whole.find_map(|node| self.nodes.trouble(&node, deadline)).or_else(risen);
        trouble.or_else(|| self.volumes.trouble(deadline)).map(|error| self.mask.error(error))
    }

    /// What was done and seen.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What begins the names of this run's volumes and tasks.
    pub fn run_name(&self) -> String {
        format!("holdfast-{}", &format!("{:032x}", self.run)[..8])
    }

    pub(super) fn cuts(&self) -> MutexGuard<'_, Cuts> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn grown(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ledgers(&self) -> MutexGuard<'_, BTreeMap<String, Ledger>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lost(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn down(&self) -> MutexGuard<'_, BTreeMap<String, &'static str>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A plugin that must not answer does not, or what was done to it did not take.
    fn is_down(&self, node: &str, deadline: Instant) -> Result<()> {
        let suffered = self.down().get(node).copied();
        match suffered {
            Some(what) if self.volumes.answers(node, deadline) => {
                Err(Error::lab(format!("the plugin on {node} {what}, and it answers")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn note<T>(&self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let (began, what) = (Instant::now(), self.mask.hide(what));
        let done = work().map_err(|error| self.mask.error(error));
        match &done {
            Ok(_) => self.timeline.record(EventKind::Storage, what.as_str()),
            Err(error) => self.timeline.record(EventKind::Storage, format!("{what}: {error}")),
        }
        let name = self.mask.hide(&self.volumes.provider().name);
        done.map_err(|error| error.during(&name, &what, began.elapsed()))
    }

    /// Makes a volume.
    pub fn create(&self, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<Volume> {
        let what = format!("create {} of {} bytes on {node}", request.name, request.bytes);
        self.create_copy(request, || self.note(&what, || self.volumes.create(node, request, deadline)))
    }

    /// Whether the provider knows a volume by itself; none, where it cannot be asked.
    pub fn has(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<Option<bool>> {
        self.note(&format!("ask for {}", volume.name), || self.volumes.has(node, volume, deadline))
    }

    /// Removes a volume.
    pub fn remove(&self, node: &str, volume: &Volume, deadline: Instant) -> Result<()> {
        self.note(&format!("remove {}", volume.name), || self.volumes.remove(node, volume, deadline))
    }

    /// Does harm, or undoes it.
    pub fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()> {
        match fault {
            Fault::PowerOff | Fault::Cut(Network::All | Network::Control) => {
                self.volumes.reaches(node, false);
                self.lost().insert(node.to_owned());
            }
            Fault::Stop(Part::Plugin) | Fault::Kill(Part::Plugin) | Fault::Hang(Part::Plugin) => {
                self.volumes.reaches(node, false);
            }
            Fault::PowerOn | Fault::Heal => {
                self.volumes.reaches(node, true);
                self.lost().remove(node);
            }
            Fault::Start(Part::Plugin) => self.volumes.reaches(node, true),
            Fault::Stop(part) | Fault::Kill(part) | Fault::Hang(part) if part.runs_tasks() => {
                self.stopped().insert(node.to_owned());
            }
            Fault::Start(part) if part.runs_tasks() => {
                self.stopped().remove(node);
            }
            _ => {}
        }
        if fault == Fault::Start(Part::Plugin) || fault == Fault::PowerOn {
            self.is_down(node, deadline)?; // else there was no fault
            self.down().remove(node);
        }
        self.note(&format!("{fault:?} on {node}"), || self.faults.inflict(node, fault, deadline))?;
        let suffered = match fault {
            Fault::PowerOff => "was powered off",
            Fault::Stop(Part::Plugin) => "was stopped",
            Fault::Kill(Part::Plugin) => "was killed",
            Fault::Hang(Part::Plugin) => "was made to hang",
            _ => return Ok(()),
        };
        self.down().insert(node.to_owned(), suffered);
        self.is_down(node, deadline)
    }

    /// Waits until the plugin on a node answers; an error at once where it failed.
    pub fn wait_ready(&self, node: &str, deadline: Instant) -> Result<()> {
        self.nodes.await_plugin(node, deadline)?;
        blocking::until(deadline, LOOK, || match self.volumes.ready(node, deadline.min(Instant::now() + ATTEMPT)) {
            Ok(()) => Ok(Ok(())),
            Err(error) => match self.nodes.plugin_end(node) {
                Some(end) => Ok(Err(end)),
                None if error.code().is_some_and(|code| code != Code::Unavailable) => Ok(Err(error)), // it answered
                None => Err(error),
            },
        })?
    }

    /// Mounts a volume that a task has for another, once more or for the first time. What its task wrote must be there: else
    /// it was mounted from somewhere that is not the volume.
    pub fn mount_beside(&self, volume: &Volume, node: &str, task: &str, deadline: Instant) -> Result<()> {
        let attachment = self.volumes.attach(volume, node, deadline)?;
        let path = self.volumes.mount(volume, &attachment, node, task, deadline)?;
        let written = self.ledgers().get(&volume.id).is_some_and(|ledger| !ledger.tasks.is_empty());
        if !written || volume.block || path.as_os_str().is_empty() {
            return Ok(()); // an empty path is an engine's, which keeps to itself where it mounts
        }
        self.nodes.see(node, &path, deadline).map(drop).map_err(|error| {
            let message = format!("mounted for {task} too, it does not hold what its task wrote: {}", error.message);
            Error { message, ..error }
        })
    }

    /// Mounts the volume of a task that runs once more for it, and takes that back; why not, where that cannot be had.
    pub fn mount_again(&self, started: &Started, deadline: Instant) -> Result<Option<String>> {
        let Started { volume, node, name, .. } = started;
        self.note(&format!("mount {} once more for {name} on {node}", volume.name), || {
            self.runner.mount_again(volume, node, name, deadline)
        })
    }

    /// Opens the ledger of a task that runs anew; false where nobody can.
    pub fn see(&self, started: &Started, deadline: Instant) -> Result<bool> {
        let Started { volume, node, name, .. } = started;
        self.runner.see(volume, node, name, deadline).map_err(|error| self.mask.error(error))
    }

    /// Lets go of the volume of a task that ended.
    pub fn release(&self, started: &Started, deadline: Instant) -> Result<()> {
        let Started { volume, node, name, .. } = started;
        self.note(&format!("release {} from {name} on {node}", volume.name), || {
            self.runner.release(volume, node, name, deadline)
        })
    }

    /// Takes a volume from a node that cannot be asked.
    pub fn evict(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        let lost = self.lost().contains(node);
        if lost {
            self.note(&format!("know that {node} is lost"), || self.nodes.wait_lost(node, deadline))?;
        }
        self.note(&format!("take {} from {node}", volume.name), || self.runner.evict(volume, node, deadline))
    }

    /// Brings a node in order that a volume was taken from.
    pub fn reconcile(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<()> {
        self.note(&format!("reconcile {} on {node}", volume.name), || self.runner.reconcile(volume, node, deadline))
    }

    /// Compares what all tasks on a volume acknowledged with what `node` finds there.
    pub fn verify(&self, volume: &Volume, node: &str, deadline: Instant) -> Result<Verdict> {
        let mut receipts = self.ledgers().get(&volume.id).map(Ledger::receipts).unwrap_or_default();
        receipts.sort_by_key(|receipt| receipt.at);
        let mut judge = Judge::new(&receipts);
        let look = self.note(&format!("read the ledger on {} on {node}", volume.name), || {
            self.runner.look(volume, node, &mut judge, deadline)
        })?;
        let later = {
            let ledgers = self.ledgers();
            ledgers.get(&volume.id).and_then(|ledger| ledger.copied.as_ref()?.later(ledger.found()))
        };
        let verdict = Verdict {
            acknowledged: receipts.len() as u64,
            findings: judge.findings().into_iter().chain(later).collect(),
            bytes: look.bytes,
            used: look.used,
            filesystem: look.filesystem,
            options: look.options,
        };
        let findings = verdict.findings.len();
        self.timeline.record(
            EventKind::Judge,
            format!("{}: {} acknowledged, {findings} findings", volume.name, verdict.acknowledged),
        );
        Ok(verdict)
    }

    /// What is left of `volumes`: on the nodes, and with the provider.
    pub fn leftovers(&self, volumes: &[Volume], deadline: Instant) -> Result<Vec<Leftover>> {
        let ids: Vec<String> = volumes.iter().map(|volume| volume.id.clone()).collect();
        let mut left = Vec::new();
        for node in self.nodes.names() {
            left.extend(self.nodes.leftovers(&node, &ids)?);
        }
        let mounted = |at: &Leftover| left.iter().any(|mount| (&mount.node, &mount.name) == (&at.node, &at.name));
        let behind = self.volumes.left_behind(&ids).into_iter();
        let behind = behind.map(|(node, path)| Leftover::on(&node, LeftoverKind::Path, path.display().to_string()));
        let behind: Vec<_> = behind.filter(|at| !mounted(at)).collect();
        left.extend(behind);
        let names = self.nodes.names();
        let node = names.first().ok_or_else(|| Error::invalid("there is no node"))?;
        for volume in self.volumes.attached(node, deadline)?.iter().filter(|volume| ids.contains(&volume.id)) {
            for node in volume.nodes.iter().flatten() {
                left.push(Leftover::on(node, LeftoverKind::Attachment, &volume.name));
            }
        }
        Ok(left)
    }
}
