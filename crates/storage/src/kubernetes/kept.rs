//! The tasks that the cluster keeps: their next lives run on another node once they are gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::workloads::Workload;

/// What keeps a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeper {
    /// Its kind,
    pub workload: Workload,
    /// and its name, which was that of the first task.
    pub name: String,
}

/// The tasks that are kept, or were until their next life was said.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<BTreeMap<String, Option<Keeper>>>>);

impl Kept {
    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Option<Keeper>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a task's pod was made by the cluster, which names it as it likes.
    pub fn knows(&self, task: &str) -> bool {
        self.table().contains_key(task)
    }

    /// What keeps a task; none, where nothing does any more.
    pub fn of(&self, task: &str) -> Option<Keeper> {
        self.table().get(task).cloned().flatten()
    }

    pub fn add(&self, task: &str, workload: Workload) {
        let name = task.to_owned();
        self.table().insert(task.to_owned(), (workload != Workload::Pod).then_some(Keeper { workload, name }));
    }

    /// What keeps one task keeps the next from now on.
    pub fn hand_over(&self, from: &str, to: &str) -> Option<Keeper> {
        let mut table = self.table();
        let keeper = table.get_mut(from)?.take()?;
        table.insert(to.to_owned(), Some(keeper.clone()));
        Some(keeper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_task_keeps_its_next_life_alone_once_that_was_said() {
        let kept = Kept::default();
        assert!(!kept.knows("a-1"));
        kept.add("a-1", Workload::StatefulSet);
        let keeper = Keeper { workload: Workload::StatefulSet, name: "a-1".to_owned() };
        assert_eq!(kept.of("a-1"), Some(keeper.clone()));
        assert_eq!(kept.hand_over("a-1", "a-2"), Some(keeper.clone()));
        assert_eq!((kept.of("a-1"), kept.of("a-2")), (None, Some(keeper)));
        assert!(kept.knows("a-1"), "its pod is still one that the cluster named");
        assert_eq!(kept.hand_over("a-1", "a-3"), None);
    }
}
