//! The lives of a volume's task, each after the other: a run starts them, or whoever keeps the task does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::lab::{Lab, Ledger, Started};
use super::nodes::{Mount, Process, Spec};
use super::runner::TaskRequest;
use super::task::{Stage, Task};
use super::volumes::Volume;
use holdfast_ledger::Opening;
use holdfast_net::error::Result;

/// A task that is to be started.
struct NextLife {
    task: Arc<Task>,
    request: TaskRequest,
    stage: Stage,
    incarnation: u64,
}

impl NextLife {
    fn started(self, process: Box<dyn Process>) -> Started {
        let Self { task, request: TaskRequest { volume, node, spec, .. }, stage, incarnation } = self;
        Started { name: spec.task, task, process, volume, node, stage, incarnation }
    }
}

impl Lab {
    /// The next incarnation of a volume's task.
    fn next_life(&self, volume: &Volume, node: &str, stage: Stage, is_kept: bool) -> NextLife {
        let task = Arc::new(Task::default());
        let mut ledgers = self.ledgers();
        let writer = ledgers.len() as u64 + 1;
        let ledger = ledgers.entry(volume.id.clone()).or_insert(Ledger::of(writer));
        ledger.incarnation += 1;
        ledger.tasks.push(task.clone());
        let incarnation = ledger.incarnation;
        let opening = Opening {
            run: self.run,
            writer: ledger.writer,
            incarnation: Some(incarnation),
            places: stage.places(),
            is_new: false,
        };
        let heard = task.clone();
        let spec = Spec {
            task: format!("{}-{}-{incarnation}", self.run_name(), ledger.writer),
            volume: volume.id.clone(),
            mount: Mount::Path(PathBuf::new()),
            opening,
            work: stage.work(self.pace, volume.bytes),
            tell: Arc::new(move |message| heard.hear(message)),
        };
        let request = TaskRequest { volume: volume.clone(), node: node.to_owned(), spec, is_kept };
        NextLife { task, request, stage, incarnation }
    }

    /// Runs the next incarnation of a volume's task; one that is kept can be handed over.
    pub fn run(&self, volume: &Volume, node: &str, stage: Stage, is_kept: bool, deadline: Instant) -> Result<Started> {
        let life = self.next_life(volume, node, stage, is_kept);
        let process = self.note(&format!("run {} with {} on {node}", life.request.spec.task, volume.name), || {
            self.runner().run(&life.request, deadline).map_err(|error| life.task.explain(error))
        })?;
        let started = life.started(process);
        self.expand_if_grown(&started, deadline)?;
        Ok(started)
    }

    /// Says what the next incarnation of a task is that its runner keeps: it runs on `node` once that task is gone.
    pub fn hand_over(&self, from: &Started, node: &str, deadline: Instant) -> Result<Started> {
        let life = self.next_life(&from.volume, node, from.stage, true);
        let is_lost = self.lost().contains(&from.node);
        let process = self.note(&format!("hand {} over to {} on {node}", from.name, life.request.spec.task), || {
            self.runner().hand_over(&from.name, &life.request, is_lost, deadline)
        })?;
        Ok(life.started(process))
    }
}
