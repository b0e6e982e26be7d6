//! Tasks that a controller of the cluster keeps: a StatefulSet or a Deployment of one pod, which makes another where that
//! one goes.

use std::str::FromStr;
use std::time::Instant;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tonic::Code;

use super::cluster::Cluster;
use super::events::{Obstacle, blame};
use super::manifests::{KEPT_LABEL, PodOf, RUN_LABEL, object, template};
use holdfast_net::error::{Error, Result};

/// What of a cluster makes the pods of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// The run itself.
    Pod,
    /// A Deployment, which makes the next pod once the last is gone.
    Deployment,
    /// A StatefulSet, which promises that there are no two.
    StatefulSet,
}

impl FromStr for Workload {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "pod" => Ok(Self::Pod),
            "deployment" => Ok(Self::Deployment),
            "statefulset" => Ok(Self::StatefulSet),
            _ => Err(Error::invalid(format!("workload: {word:?}")).hint("pod, deployment or statefulset")),
        }
    }
}

impl Workload {
    /// As the cluster calls it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }

    /// One of these that keeps a pod.
    fn manifest(self, run: &str, name: &str, of: &PodOf<'_>) -> Value {
        let mut spec = json!({
            "replicas": 1,
            "selector": {"matchLabels": {KEPT_LABEL: name}},
            "template": template(run, of),
        });
        // what its pod shall be next is changed under way, and the pod that runs is left alone
        match self {
            Self::StatefulSet => {
                spec["serviceName"] = json!(name);
                spec["updateStrategy"] = json!({"type": "OnDelete"});
            }
            Self::Deployment => {
                spec["strategy"] = json!({"type": "Recreate"});
                spec["revisionHistoryLimit"] = json!(0);
            }
            Self::Pod => {}
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": self.kind(),
            "metadata": {"name": name, "labels": {RUN_LABEL: run}},
            "spec": spec,
        })
    }
}

impl Cluster {
    /// Has a pod kept.
    pub fn keep(&self, workload: Workload, name: &str, of: &PodOf<'_>, deadline: Instant) -> Result<()> {
        let made = workload.manifest(self.run(), name, of);
        match workload {
            Workload::StatefulSet => self.create::<StatefulSet>(&self.own(), &object(&made)?, deadline),
            Workload::Deployment => self.create::<Deployment>(&self.own(), &object(&made)?, deadline),
            Workload::Pod => Err(Error::invalid("a pod is kept by nobody")),
        }
    }

    /// Says what the pod that is kept shall be from its next life on.
    pub fn keep_next(&self, workload: Workload, name: &str, of: &PodOf<'_>, deadline: Instant) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"template": template(self.run(), of)}}));
        let (params, what) = (PatchParams::default(), format!("patch a {}", workload.kind()));
        match workload {
            Workload::StatefulSet => self
                .call(&what, deadline, || async { self.own::<StatefulSet>().patch(name, &params, &patch).await })
                .map(drop),
            Workload::Deployment => self
                .call(&what, deadline, || async { self.own::<Deployment>().patch(name, &params, &patch).await })
                .map(drop),
            Workload::Pod => Err(Error::invalid("a pod is kept by nobody")),
        }
    }

    /// Has it kept no more: it goes once its pods are gone, and makes no more of them.
    pub fn keep_no_more(&self, workload: Workload, name: &str, deadline: Instant) -> Result<()> {
        let (params, what) = (DeleteParams::foreground(), format!("delete a {}", workload.kind()));
        let answered = match workload {
            Workload::StatefulSet => {
                self.call(&what, deadline, || async { self.own::<StatefulSet>().delete(name, &params).await }).map(drop)
            }
            Workload::Deployment => {
                self.call(&what, deadline, || async { self.own::<Deployment>().delete(name, &params).await }).map(drop)
            }
            Workload::Pod => Ok(()),
        };
        match answered {
            Err(error) if error.code() == Some(Code::NotFound) => Ok(()),
            answered => answered,
        }
    }

    /// Why what keeps a pod makes none, as the cluster says. What is told of a Deployment's pods is told to its
    /// ReplicaSet, and the Deployment has it as a condition.
    pub fn makes_none(&self, workload: Workload, name: &str, deadline: Instant) -> Result<Option<Obstacle>> {
        if workload != Workload::Deployment {
            return self.obstacle(workload.kind(), name, None, None, deadline);
        }
        let found = self.find(&self.own::<Deployment>(), name, deadline)?;
        let conditions = found.and_then(|found| found.status?.conditions).unwrap_or_default();
        let failed = conditions.into_iter().find(|each| each.type_ == "ReplicaFailure" && each.status == "True");
        Ok(failed.and_then(|failed| {
            let (reason, message) = (failed.reason.unwrap_or_default(), failed.message.unwrap_or_default());
            Some(Obstacle { blame: blame(&reason, &message)?, words: format!("{reason}: {message}") })
        }))
    }

    /// Whether what keeps a pod is there.
    pub fn is_kept(&self, workload: Workload, name: &str, deadline: Instant) -> Result<bool> {
        match workload {
            Workload::StatefulSet => Ok(self.find(&self.own::<StatefulSet>(), name, deadline)?.is_some()),
            Workload::Deployment => Ok(self.find(&self.own::<Deployment>(), name, deadline)?.is_some()),
            Workload::Pod => Ok(false),
        }
    }

    /// Why no task can be kept here, where the cluster does not allow it.
    pub fn keeps_nothing(&self, workload: Workload) -> Option<String> {
        let resource = match workload {
            Workload::Pod => return None,
            Workload::Deployment => "deployments",
            Workload::StatefulSet => "statefulsets",
        };
        self.forbids(&["get", "create", "patch", "delete"].map(|verb| ("apps", resource, verb)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_makes_its_next_pod_only_when_the_last_is_gone() {
        let of = PodOf {
            name: "run-1-1",
            claim: "data",
            node: "n1",
            image: "pause",
            command: vec!["/holdfast/ledger".to_owned()],
            program: super::super::program::Program::Packed.parts("pause"),
            sockets: None,
            block: false,
            read_only: false,
            ends: true,
            kept: Some("run-1-1"),
        };
        let made: StatefulSet = object(&Workload::StatefulSet.manifest("r", "run-1-1", &of)).expect("a StatefulSet");
        let spec = made.spec.expect("it has one");
        assert_eq!(spec.update_strategy.and_then(|strategy| strategy.type_).as_deref(), Some("OnDelete"));
        let pod = spec.template.spec.expect("a pod");
        assert_eq!(pod.restart_policy.as_deref(), Some("Always"), "the API takes no other");
        let waits: Vec<_> = pod.tolerations.into_iter().flatten().map(|each| each.toleration_seconds).collect();
        assert_eq!(waits, [Some(3), Some(3)]);
        let made: Deployment = object(&Workload::Deployment.manifest("r", "run-1-1", &of)).expect("a Deployment");
        let strategy = made.spec.and_then(|spec| spec.strategy).and_then(|strategy| strategy.type_);
        assert_eq!(strategy.as_deref(), Some("Recreate"), "else two pods would have one volume");
    }
}
