//! What a cluster says of a pod: whether it runs, or how it ended.

use k8s_openapi::api::core::v1::Pod;

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
