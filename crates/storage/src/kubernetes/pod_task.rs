//! A task that is a pod's.

use std::time::{Duration, Instant};

use super::phases::{ending, started_again};
use super::pods::Pods;
use crate::docker::Hearing;
use crate::nodes::{Process, TaskEnding};
use holdfast_net::error::Result;
use holdfast_net::waiting::blocking::wait_until;

/// For a glance at a pod.
const GLANCE: Duration = Duration::from_secs(2);
/// For one that must be seen.
const GLANCES: usize = 5;

/// A task of a pod.
pub(super) struct PodTask {
    pub(super) pods: Pods,
    pub(super) name: String,
    pub(super) claim: String,
    pub(super) node: String,
    pub(super) hearing: Hearing,
    /// It ends by a signal alone, which it gets with its pod's end.
    pub(super) by_signal: bool,
}

impl Process for PodTask {
    fn ending(&self) -> TaskEnding {
        match self.pods.tasks().pod(&self.name, Instant::now() + GLANCE) {
            Ok(Some(pod)) => {
                ending(&pod).or_else(|| started_again(&pod)).map_or(TaskEnding::Running, TaskEnding::Ended)
            }
            // one that was removed by force may run on, where its node was not asked
            Ok(None) if self.hearing.has_ended() => TaskEnding::Ended("its pod was removed".to_owned()),
            Ok(None) | Err(_) => TaskEnding::Running, // nobody can tell
        }
    }

    fn id(&self) -> String {
        // an API that is slow or away for a moment makes no other container of it
        let asked = || self.pods.tasks().pod(&self.name, Instant::now() + GLANCE).ok();
        let pod = (0..GLANCES).find_map(|_| asked()).flatten();
        let container = pod.and_then(|pod| pod.status?.container_statuses?.into_iter().next()?.container_id);
        container.unwrap_or_else(|| self.name.clone())
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn wait_running(&self, deadline: Instant) -> Result<()> {
        self.pods.wait_running(&self.name, &self.claim, &self.node, true, deadline)
    }

    fn stop(&self, kill: bool, deadline: Instant) -> Result<()> {
        if self.by_signal {
            // whoever ends by itself would be started again, where the cluster keeps it
            let removed = self.pods.remove(&self.name, kill, deadline);
            self.hearing.close();
            return removed;
        }
        self.hearing.close();
        if !kill {
            wait_until(deadline, "the end of a task", || matches!(self.ending(), TaskEnding::Ended(_)))?;
        }
        self.pods.remove(&self.name, kill, deadline)
    }
}
