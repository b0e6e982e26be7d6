//! What a cluster says of a pod: whether it runs, or how it ended.

use k8s_openapi::api::core::v1::Pod;

use super::manifests::TASK;

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
    let ended = states.filter_map(|state| state.terminated.as_ref()).map(|ended| {
        let why = ended.reason.clone().or_else(|| ended.message.clone()).unwrap_or_default();
        format!("exit code {}{}{why}", ended.exit_code, if why.is_empty() { "" } else { ": " })
    });
    let said = ended.collect::<Vec<_>>().join("; ");
    Some(if said.is_empty() { status.reason.clone().unwrap_or_else(|| phase(pod).to_owned()) } else { said })
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
        object(json!({"metadata": {"name": "a"}, "spec": {"containers": []}, "status": status})).expect("a pod")
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
        let unpacking = failed(json!({"initContainerStatuses": [of("unpack", 127)]}));
        assert_eq!(not_begun(&unpacking).as_deref(), Some("unpack ended with exit code 127"));
        let evicted = failed(json!({"reason": "Evicted", "message": "The node was low on resource: memory."}));
        assert_eq!(not_begun(&evicted).as_deref(), Some("Evicted: The node was low on resource: memory."));
    }
}
