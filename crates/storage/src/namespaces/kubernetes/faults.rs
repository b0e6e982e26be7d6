//! What harms the kubelet and the containerd on a node, and brings them back.

use std::time::{Duration, Instant};

use super::control_plane::{API, ETCD};
use crate::faults::Part;
use crate::namespaces::nodes::{Namespaces, NodeState};
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For a containerd that must not answer to do so.
const GLANCE: Duration = Duration::from_millis(500);
/// Kills all that the pods of a node run, and what holds them: as if their runtime had taken them along.
const KILL_PODS: &str = r#"for each in /proc/[0-9]*; do
  if grep -q kubepods "$each/cgroup" 2>/dev/null || grep -q containerd-shim "$each/comm" 2>/dev/null; then
    kill -KILL "${each#/proc/}" 2>/dev/null
  fi
done; true"#;

impl Namespaces {
    /// Kills the kubelet on a node, or a part of the control plane.
    pub(in crate::namespaces) fn kill_of_kubernetes(&self, node: &str, part: Part, deadline: Instant) -> Result<()> {
        if part == Part::Kubelet {
            return self.end_part(node, &format!("{node}/kubelet"), "-KILL", deadline);
        }
        self.end_part_of_server(&format!("server/{}", control_plane_name(part)), "-KILL", deadline)
    }

    /// Starts one that was killed.
    pub(in crate::namespaces) fn start_of_kubernetes(&self, node: &str, part: Part) -> Result<()> {
        if part != Part::Kubelet {
            return self.start_control_plane_part(control_plane_name(part));
        }
        let state = self.state();
        let Some(namespace) = &state.known(node)?.namespace else {
            return Err(Error::lab(format!("{node} is powered off")));
        };
        self.launch_kubelet_of(namespace, node, &state)
    }

    /// Kills the containerd on a node: with all that it runs, or, where tasks outlive their runtime, with the kubelet.
    pub(in crate::namespaces) fn end_worker(&self, node: &str, signal: &str, deadline: Instant) -> Result<()> {
        let outlive = self.state().known(node)?.tasks_outlive_runtime;
        self.end_part(node, &format!("{node}/runtime"), signal, deadline)?;
        if outlive {
            self.end_part(node, &format!("{node}/kubelet"), signal, deadline)?;
        } else {
            self.within(node, |namespace| namespace.run(&["sh", "-c", KILL_PODS], deadline))?;
        }
        if self.containerd_answers(node, deadline.min(Instant::now() + GLANCE)) {
            return Err(Error::lab(format!("containerd on {node} ended by kill {signal}, and one answers")));
        }
        Ok(())
    }

    /// Starts what of a worker was killed, and waits until it answers.
    pub(in crate::namespaces) fn start_worker(&self, node: &str, deadline: Instant) -> Result<()> {
        let state = self.state();
        let NodeState { namespace, tasks_outlive_runtime: outlived, .. } = state.known(node)?;
        let Some(namespace) = namespace else {
            return Err(Error::lab(format!("{node} is powered off")));
        };
        let outlived = *outlived;
        self.launch_containerd(namespace, node)?;
        drop(state);
        wait_until(deadline, "containerd", || self.containerd_answers(node, deadline)).map_err(Error::of_lab)?;
        // a kubelet ends at once where no containerd answers, and here nobody starts it again
        if outlived { self.start_of_kubernetes(node, Part::Kubelet) } else { Ok(()) }
    }

    fn containerd_answers(&self, node: &str, deadline: Instant) -> bool {
        self.within(node, |namespace| namespace.run(super::worker::ASK_CONTAINERD, deadline)).is_ok()
    }

    /// Whether tasks outlive the next death of their runtime.
    pub(in crate::namespaces) fn let_tasks_outlive(&self, node: &str, outlive: bool) {
        if let Some(held) = self.state().nodes.get_mut(node) {
            held.tasks_outlive_runtime = outlive;
        }
    }
}

/// What a part of the control plane is called in the lab.
fn control_plane_name(part: Part) -> &'static str {
    if part == Part::Etcd { ETCD } else { API }
}
