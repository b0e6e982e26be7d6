//! What a cluster says of a pod: whether it runs, or how it ended.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod};

use super::manifests::TASK;

/// Why the cluster ended a pod that nobody of ours told it to: its node had no room left, or was wanted for others.
pub fn taken_away(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let disrupted = status.conditions.iter().flatten().find(|condition| {
        let ours = matches!(condition.reason.as_deref(), Some("EvictionByEvictionAPI" | "DeletionByTaintManager"));
        condition.type_ == "DisruptionTarget" && condition.status == "True" && !ours
    });
    let of_node = (status.reason.as_deref() == Some("Evicted")).then(|| status.message.clone().unwrap_or_default());
    disrupted.map(|condition| condition.message.clone().unwrap_or_default()).or(of_node)
}

/// As whom a cluster runs a pod, where it is not as we asked for and nobody gives it the volume: OpenShift's constraints
/// write a user into each pod, and a group for its volumes, where that is one.
pub fn runs_as_another(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let whole = spec.security_context.as_ref();
    let of_task = spec.containers.iter().find(|container| container.name == TASK)?.security_context.as_ref();
    let user = of_task.and_then(|context| context.run_as_user).or_else(|| whole?.run_as_user)?;
    if user == 0 || whole.is_some_and(|context| context.fs_group.is_some()) {
        return None;
    }
    let by = pod.metadata.annotations.as_ref().and_then(|noted| noted.get("openshift.io/scc"));
    let by = by.map(|name| format!(" (openshift.io/scc: {name})")).unwrap_or_default();
    Some(format!("the cluster runs it as the user {user}{by}, and gives its volumes no group"))
}

/// Whether all that a pod does is done.
pub fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

/// What a cluster says that a pod is in; empty, where it says nothing.
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// How a pod's task ended, where it did.
pub fn ending(pod: &Pod) -> Option<String> {
    if !has_ended(pod) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let states = status.container_statuses.iter().flatten().filter_map(|container| container.state.as_ref());
    let ended = states.filter_map(|state| state.terminated.as_ref()).map(how);
    // such as Evicted, which the container knows nothing of
    let said = status.reason.clone().into_iter().chain(ended).collect::<Vec<_>>().join("; ");
    Some(if said.is_empty() { status.reason.clone().unwrap_or_else(|| phase(pod).to_owned()) } else { said })
}

/// How a pod's task ended that was started again, where it was: what was started is another.
pub fn started_again(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let task = containers.into_iter().find(|container| container.name == TASK)?;
    let of = |state: &Option<ContainerState>| state.as_ref().and_then(|state| state.terminated.as_ref().map(how));
    let ended = of(&task.state).or_else(|| of(&task.last_state));
    ended.or_else(|| (task.restart_count > 0).then(|| "it was started again".to_owned()))
}

/// How a container ended.
fn how(ended: &ContainerStateTerminated) -> String {
    let why = ended.reason.clone().or_else(|| ended.message.clone()).unwrap_or_default();
    format!("exit code {}{}{why}", ended.exit_code, if why.is_empty() { "" } else { ": " })
}

/// Why a pod ended before its task began, where it did: no image of ours, or no room on its node.
pub fn not_begun(pod: &Pod) -> Option<String> {
    if !has_ended(pod) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let of_task = status.container_statuses.iter().flatten().filter(|container| container.name == TASK);
    if of_task.filter_map(|container| container.state.as_ref()).any(|state| state.terminated.is_some()) {
        return None;
    }
    let before = status.init_container_statuses.iter().flatten();
    let failed = before.filter_map(|container| {
        let ended = container.state.as_ref()?.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
        Some(format!("{} ended with exit code {}", container.name, ended.exit_code))
    });
    let told = [status.reason.clone(), status.message.clone()].into_iter().flatten();
    let said = failed.chain(told).collect::<Vec<_>>().join(": ");
    Some(if said.is_empty() { "nobody says why".to_owned() } else { said })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::manifests::object;
    use serde_json::{Value, json};

    fn failed(status: Value) -> Pod {
        let mut status = status;
        status["phase"] = json!("Failed");
        object(&json!({"metadata": {"name": "a"}, "spec": {"containers": []}, "status": status})).expect("a pod")
    }

    #[test]
    fn a_pod_that_the_cluster_runs_as_somebody_who_cannot_write_is_known() {
        let of = |whole: Value, own: Value| -> Pod {
            let container = json!({"name": "task", "securityContext": own});
            let metadata = json!({"name": "a", "annotations": {"openshift.io/scc": "restricted-v2"}});
            object(&json!({"metadata": metadata, "spec": {"containers": [container], "securityContext": whole}}))
                .expect("a pod")
        };
        assert_eq!(runs_as_another(&of(json!({}), json!({}))), None);
        assert_eq!(runs_as_another(&of(json!({"runAsUser": 0}), json!({}))), None);
        let ranged = json!({"runAsUser": 1_000_650_000});
        let told = runs_as_another(&of(json!({}), ranged.clone())).expect("somebody else");
        assert!(told.contains("1000650000") && told.contains("restricted-v2"), "{told}");
        assert!(runs_as_another(&of(ranged.clone(), json!({}))).is_some());
        assert_eq!(runs_as_another(&of(json!({"fsGroup": 1_000_650_000}), ranged)), None, "its volumes have its group");
    }

    #[test]
    fn who_never_began_is_told_from_who_failed() {
        let of = |name: &str, code: i32| {
            let state = json!({"terminated": {"exitCode": code, "reason": "Error"}});
            json!({
                "name": name, "state": state, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            })
        };
        let task = failed(json!({"containerStatuses": [of("task", 1)]}));
        assert_eq!((not_begun(&task), ending(&task)), (None, Some("exit code 1: Error".to_owned())));
        assert_eq!(started_again(&task).as_deref(), Some("exit code 1: Error"));
        let waiting = json!({
            "name": "task", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": {"waiting": {}},
            "lastState": {"terminated": {"exitCode": 137}},
        });
        let again = |statuses: Value| {
            let pod = json!({"metadata": {"name": "a"}, "status": {"phase": "Running", "containerStatuses": statuses}});
            started_again(&object(&pod).expect("a pod"))
        };
        assert_eq!(again(json!([waiting])).as_deref(), Some("exit code 137"));
        let running = json!({
            "name": "task", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
        });
        assert_eq!(again(json!([running])), None);
        let unpacking = failed(json!({"initContainerStatuses": [of("unpack", 127)]}));
        assert_eq!(not_begun(&unpacking).as_deref(), Some("unpack ended with exit code 127"));
        let evicted = failed(json!({"reason": "Evicted", "message": "The node was low on resource: memory."}));
        assert_eq!(not_begun(&evicted).as_deref(), Some("Evicted: The node was low on resource: memory."));
        assert_eq!(taken_away(&evicted).as_deref(), Some("The node was low on resource: memory."));
        let target = |reason: &str| {
            let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"});
            failed(json!({"conditions": [condition]}))
        };
        assert_eq!(taken_away(&target("PreemptionByScheduler")).as_deref(), Some("m"));
        assert_eq!(taken_away(&target("EvictionByEvictionAPI")), None, "a drain of ours");
        assert_eq!(taken_away(&task), None);
    }
}
