//! The runs that a cluster has something of: whoever cleans up finds them, and no two of them have one node at a time.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::cluster::Cluster;
use super::manifests::{BEGUN, MACHINE_LABEL, NAMESPACE, NODES, PROCESS, RUN_LABEL};
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For one question to the API, which is asked again.
const QUESTION: Duration = Duration::from_secs(5);

/// A cluster dates by seconds: after one, whoever came in the same is seen.
const SAME_TIME: Duration = Duration::from_secs(1);

/// A run that a cluster has something of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRun {
    /// Its namespace.
    pub namespace: String,
    /// Itself.
    pub run: String,
    /// The machine that it was started on.
    pub machine: String,
    /// What that machine knows its process by.
    pub process: String,
    /// When, as the cluster says.
    pub since: String,
    /// The nodes that it wants for itself,
    pub nodes: Vec<String>,
    /// and whether it has them.
    pub has_begun: bool,
}

impl FoundRun {
    fn of(namespace: Namespace) -> Option<Self> {
        let name = namespace.metadata.name.clone()?;
        Self::owning(namespace.metadata, name)
    }

    /// That of a class, whose namespace may be gone by now.
    fn of_class(class: StorageClass) -> Option<Self> {
        let namespace = class.metadata.annotations.as_ref()?.get(NAMESPACE)?.clone();
        Self::owning(class.metadata, namespace)
    }

    fn owning(object: ObjectMeta, namespace: String) -> Option<Self> {
        let mut labels = object.labels?;
        let mut noted = object.annotations.unwrap_or_default();
        Some(Self {
            namespace,
            run: labels.remove(RUN_LABEL)?,
            machine: labels.remove(MACHINE_LABEL).unwrap_or_default(),
            process: noted.remove(PROCESS).unwrap_or_default(),
            since: object.creation_timestamp.map(|time| time.0.to_string()).unwrap_or_default(),
            nodes: noted.remove(NODES).unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            has_begun: noted.contains_key(BEGUN),
        })
    }

    fn is_of_process_of(&self, other: &Self) -> bool {
        (&self.machine, &self.process) == (&other.machine, &other.process)
    }

    /// Whether another run, which has not begun, must wait for it, as it wants some of its nodes. Of two that came in one
    /// second, one.
    fn is_before(&self, other: &Self) -> bool {
        let when = |run: &Self| (run.since.clone(), run.namespace.clone());
        let goes_first = self.has_begun || when(self) < when(other);
        self.run != other.run && goes_first && self.nodes.iter().any(|node| other.nodes.contains(node))
    }
}

impl Cluster {
    /// The runs that the cluster has something of.
    pub fn runs(&self, deadline: Instant) -> Result<Vec<FoundRun>> {
        let namespaces = self.list(&self.all::<Namespace>(), RUN_LABEL, deadline)?;
        let mut found: Vec<_> = namespaces.into_iter().filter_map(FoundRun::of).collect();
        let classes = self.list(&self.all::<StorageClass>(), RUN_LABEL, deadline)?;
        for run in classes.into_iter().filter_map(FoundRun::of_class) {
            if found.iter().all(|known| known.run != run.run) {
                found.push(run);
            }
        }
        Ok(found)
    }

    /// Waits until no run that came before has one of these nodes, and notes that this one has them from now on: what one
    /// does to a node, the other would be blamed for. The run's namespace has just been made.
    pub fn wait_alone(&self, nodes: &[String], deadline: Instant) -> Result<()> {
        if nodes.is_empty() {
            return Ok(());
        }
        let mut before = None;
        let all_seen = Instant::now() + SAME_TIME;
        let waited = wait_until(deadline.max(all_seen + SAME_TIME), "the end of another run", || {
            if Instant::now() < all_seen {
                return false;
            }
            let Ok(runs) = self.runs(Instant::now() + QUESTION) else { return false };
            let own = runs.iter().find(|found| found.run == self.run());
            before = own.and_then(|own| runs.iter().find(|found| found.is_before(own)).cloned());
            // who waits for its own process waits for ever: what is left of an earlier lab did not go in its time
            own.is_some_and(|own| before.as_ref().is_none_or(|before| before.is_of_process_of(own)))
        });
        let Some(FoundRun { namespace, machine, since, nodes: theirs, .. }) = before else {
            waited.map_err(Error::of_lab)?;
            return self.note(BEGUN, "true", deadline.max(Instant::now() + QUESTION));
        };
        let shared: Vec<_> = theirs.into_iter().filter(|node| nodes.contains(node)).collect();
        Err(Error::lab(format!("another run has {} since {since}: {namespace}, from {machine}", shared.join(", ")))
            .hint("wait for its end, or give other nodes; `holdfast lab clean --kubeconfig FILE` removes one that was killed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, since: &str, nodes: &[&str]) -> FoundRun {
        FoundRun {
            namespace: format!("holdfast-{name}"),
            run: name.to_owned(),
            machine: String::new(),
            process: String::new(),
            since: since.to_owned(),
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            has_begun: false,
        }
    }

    #[test]
    fn of_two_runs_that_want_a_node_exactly_one_goes_first() {
        let (early, late) = ("2026-11-30T04:00:00Z", "2026-11-30T04:00:01Z");
        let (a, b) = (run("a", late, &["n1", "n2"]), run("b", early, &["n2", "n3"]));
        assert!(b.is_before(&a) && !a.is_before(&b));
        let (c, d) = (run("c", early, &["n1"]), run("d", early, &["n1"]));
        assert!(c.is_before(&d) && !d.is_before(&c));
        assert!(!run("e", early, &["n1"]).is_before(&run("f", late, &["n2"])), "they share no node");
        assert!(!a.is_before(&a));
        let begun = FoundRun { has_begun: true, ..d.clone() };
        assert!(begun.is_before(&c) && !FoundRun { nodes: Vec::new(), ..begun.clone() }.is_before(&c));
    }
}
