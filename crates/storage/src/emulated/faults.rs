//! What harms the emulated nodes, and undoes it.

use std::time::Instant;

use super::nodes::NOTICE;
use super::sites::Step;
use super::state::{EmulatedState, Health, Node};
use super::world::Emulated;
use crate::faults::{Fault, Faults, Network, Part};
use holdfast_net::error::{Error, Result};

impl Faults for Emulated {
    fn lacks(&self, fault: Fault) -> Option<String> {
        fault.is_of_kubernetes().then(|| "no Kubernetes is emulated".to_owned())
    }

    fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()> {
        self.world().node(node)?;
        if let Some(why) = self.lacks(fault) {
            return Err(Error::invalid(why));
        }
        match fault {
            Fault::PowerOff => self.power_off(node),
            Fault::PowerOn => self.with(node, |node| node.powered = true),
            Fault::Cut(network) => self.with(node, |node| {
                node.storage &= network == Network::Control;
                node.control &= network == Network::Storage;
            }),
            Fault::Heal => self.with(node, |node| (node.storage, node.control) = (true, true)),
            Fault::Stop(Part::Server) | Fault::Kill(Part::Server) => self.kill_server(),
            Fault::Hang(Part::Server) => self.change(|world| world.server.up = false),
            Fault::Start(Part::Server) => self.change(|world| world.server.up = true),
            Fault::Stop(Part::Plugin) | Fault::Kill(Part::Plugin) => self.kill_plugin(node),
            Fault::Hang(Part::Plugin) => self.with(node, |node| node.plugin = Health::Hung),
            Fault::Start(Part::Plugin) => self.start_plugin(node),
            Fault::Stop(Part::Runtime) | Fault::Kill(Part::Runtime) | Fault::Hang(Part::Runtime) => {
                self.kill_runtime(node);
            }
            Fault::Start(Part::Runtime) => self.start_runtime(node),
            Fault::LiveRestore(on) => self.with(node, |node| node.live_restore = on),
            Fault::Stop(_) | Fault::Kill(_) | Fault::Hang(_) | Fault::Start(_) | Fault::Drain | Fault::Uncordon => {} // refused
        }
        if matches!(fault, Fault::PowerOff | Fault::Stop(Part::Runtime) | Fault::Kill(Part::Runtime)) {
            let ended = |world: &EmulatedState| {
                let node = world.node(node)?;
                Ok(node.processes.values().all(|running| !running.killed || running.ended.is_some()))
            };
            self.wait(deadline.min(Instant::now() + NOTICE), "a task that was killed", ended).map(drop)?;
        }
        Ok(())
    }
}

impl Emulated {
    fn with(&self, node: &str, change: impl FnOnce(&mut Node)) {
        self.change(|world| world.nodes.get_mut(node).map(change));
    }

    fn power_off(&self, node: &str) {
        self.with(node, |node| {
            node.kill_processes();
            (node.powered, node.plugin, node.runtime) = (false, Health::Running, Health::Running);
            node.database = node.mounts.keys().cloned().collect();
            node.mounts.clear();
            node.elsewhere.clear();
            node.known.clear();
            node.published.clear();
            node.read_only.clear();
            node.repeats.clear();
        });
    }

    fn kill_server(&self) {
        self.change(|world| {
            world.server.up = false;
            self.defects().server_killed(&mut world.server);
        });
    }

    fn kill_plugin(&self, node: &str) {
        self.with(node, |node| {
            node.plugin = Health::Dead;
            node.plugin_deaths += 1;
            self.defects().plugin_killed(node);
        });
    }

    fn start_plugin(&self, node: &str) {
        self.with(node, |node| {
            let before = std::mem::replace(&mut node.plugin, Health::Running);
            self.defects().plugin_started(node, before);
        });
    }

    fn kill_runtime(&self, node: &str) {
        self.with(node, |node| {
            node.runtime = Health::Dead;
            if !node.live_restore && !self.defects().skips(Step::EndTasks) {
                node.kill_processes();
            }
            self.defects().runtime_died(node);
        });
    }

    fn start_runtime(&self, node: &str) {
        self.change(|world| {
            let number = world.number();
            let Some(node) = world.nodes.get_mut(node) else { return };
            node.runtime = Health::Running;
            self.defects().runtime_started(node, number);
        });
    }
}
