//! What harms the nodes of a lab, and undoes it.

use std::time::{Duration, Instant};

use super::nodes::{NETWORKS, Namespaces, NodeState, wire};
use crate::docker::Engine;
use crate::faults::{Fault, Faults, Network, Part};
use crate::waiting::wait_until;
use holdfast_net::error::Result;

/// For a plugin that was asked to end.
const GRACE: Duration = Duration::from_secs(5);

impl Faults for Namespaces {
    fn lacks(&self, fault: Fault) -> Option<String> {
        match (fault, self.options.runtime) {
            (
                Fault::Stop(Part::Runtime)
                | Fault::Kill(Part::Runtime)
                | Fault::Hang(Part::Runtime)
                | Fault::Start(Part::Runtime)
                | Fault::LiveRestore(_),
                None,
            ) => Some(
                "holdfast's own runner has no container runtime that could crash: give a runner that has".to_owned(),
            ),
            (Fault::LiveRestore(true), Some(runtime)) if runtime.manager => {
                Some("Swarm refuses live restore".to_owned())
            }
            (
                Fault::Stop(Part::Server)
                | Fault::Kill(Part::Server)
                | Fault::Hang(Part::Server)
                | Fault::Start(Part::Server),
                _,
            ) => Some("the lab cannot restart the provider's server".to_owned()),
            _ => None,
        }
    }

    fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()> {
        match fault {
            Fault::PowerOff => self.power_off(node),
            Fault::PowerOn => self.power_on(node, deadline),
            Fault::Cut(network) => self.links(node, |name| cut(network, name), "down"),
            Fault::Heal => self.links(node, |_| true, "up"),
            Fault::Stop(Part::Runtime) => self.end_runtime(node, "-TERM", deadline),
            Fault::Kill(Part::Runtime) => self.end_runtime(node, "-KILL", deadline),
            Fault::Start(Part::Runtime) => self.start_runtime(node, deadline),
            Fault::LiveRestore(on) if self.options.runtime.is_some_and(|runtime| !runtime.manager) => {
                self.live_restore(node, on, deadline)
            }
            Fault::LiveRestore(_) => Ok(()), // there is none, which is all that is ever asked for
            Fault::Stop(_) => self.stop_plugin(node, deadline),
            Fault::Kill(_) => self.end_part(node, node, "-KILL", deadline),
            Fault::Hang(_) => self.hang_plugin(node),
            Fault::Start(_) => self.start_plugin(node),
        }
    }
}

fn cut(network: Network, name: &str) -> bool {
    match network {
        Network::All => true,
        Network::Storage => name == "storage",
        Network::Control => name == "control",
    }
}

impl Namespaces {
    fn links(&self, node: &str, which: impl Fn(&str) -> bool, to: &str) -> Result<()> {
        let number = self.state().known(node)?.number;
        let networks = NETWORKS.iter().map(|(network, _)| network).filter(|network| which(network));
        let lines: Vec<String> = networks.map(|network| format!("link set {network}{number} {to}")).collect();
        self.on_server(|server| wire(server, &lines))
    }

    /// The links go first: else the kernel tells the peers of each connection that it is gone.
    fn power_off(&self, node: &str) -> Result<()> {
        self.links(node, |_| true, "down")?;
        self.state().nodes.get_mut(node).map(NodeState::wake);
        let gone = self.state().nodes.get_mut(node).and_then(|node| node.namespace.take());
        drop(gone);
        let number = self.state().known(node)?.number;
        for (network, _) in NETWORKS {
            // the kernel may have taken it with the other end already
            let _ = self.on_server(|server| wire(server, &[format!("link del {network}{number}")]));
        }
        Ok(())
    }

    fn power_on(&self, node: &str, deadline: Instant) -> Result<()> {
        self.boot(node, deadline)?;
        match self.options.runtime {
            Some(_) => Engine::connect(&self.engine(node), deadline).map(drop),
            None => Ok(()),
        }
    }

    /// As a supervisor stops a service: asked to end, and killed where it does not.
    fn stop_plugin(&self, node: &str, deadline: Instant) -> Result<()> {
        let asked = self.end_part(node, node, "-TERM", deadline.min(Instant::now() + GRACE));
        asked.or_else(|_| self.end_part(node, node, "-KILL", deadline))
    }

    /// Ends a part that has a folder of the lab by a signal.
    pub(super) fn end_part(&self, node: &str, folder: &str, signal: &str, deadline: Instant) -> Result<()> {
        let pid = self.pid_of(folder)?;
        self.within(node, |namespace| namespace.run(&["kill", signal, &pid]))?;
        wait_until(deadline, "the end of a process", || {
            let alive = self.within(node, |namespace| namespace.run(&["sh", "-c", &format!("test -d /proc/{pid}/fd")]));
            alive.is_err()
        })
    }

    fn hang_plugin(&self, node: &str) -> Result<()> {
        let pid = self.pid_of(node)?;
        self.within(node, |namespace| namespace.run(&["kill", "-STOP", &pid]))?;
        if let Some(node) = self.state().nodes.get_mut(node) {
            node.hung = true;
        }
        Ok(())
    }

    fn start_plugin(&self, node: &str) -> Result<()> {
        let hung = self.state().nodes.get_mut(node).filter(|node| node.hung).map(NodeState::wake);
        if hung.is_some() {
            let pid = self.pid_of(node)?;
            return self.within(node, |namespace| namespace.run(&["kill", "-CONT", &pid])).map(drop);
        }
        let command = self.plugin_command(node);
        let waiting = self.within(node, |namespace| self.start_in(namespace, node, &command))?;
        if let Some(node) = self.state().nodes.get_mut(node) {
            node.waiting = Some(waiting);
        }
        Ok(())
    }
}
