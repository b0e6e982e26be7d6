//! What harms the emulated nodes, and undoes it.

use std::time::Instant;

use super::nodes::{NOTICE, kill};
use super::world::{Emulated, Health, Node, Pages, World};
use crate::faults::{Fault, Faults, Network, Part};
use holdfast_net::error::Result;

impl Faults for Emulated {
    fn lacks(&self, _: Fault) -> Option<String> {
        None
    }

    fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()> {
        self.world().node(node)?;
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
        }
        if matches!(fault, Fault::PowerOff | Fault::Stop(Part::Runtime) | Fault::Kill(Part::Runtime)) {
            let ended = |world: &World| {
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
        self.change(|world| {
            kill(world, node, |_| true);
            if let Some(node) = world.nodes.get_mut(node) {
                (node.powered, node.plugin, node.runtime) = (false, Health::Running, Health::Running);
                node.mounts.clear();
                node.known.clear();
                node.published.clear();
            }
        });
    }

    fn kill_server(&self) {
        self.change(|world| {
            world.server.up = false;
            let mut lost = self.fires("storage.server.volume_lost");
            world.server.volumes.retain(|_, disk| !std::mem::take(&mut lost) || disk.attached.is_empty());
            for disk in world.server.volumes.values_mut() {
                disk.cache.clear();
            }
        });
    }

    fn kill_plugin(&self, node: &str) {
        let lost = self.fires("storage.plugin.cached");
        self.with(node, |node| {
            node.plugin = Health::Dead;
            if lost {
                node.mounts.values_mut().for_each(|mount| mount.cached = Pages::new());
            }
        });
    }

    fn start_plugin(&self, node: &str) {
        let [drops, forgets, stuck] = ["restart_drops_mounts", "restart_forgets_mounts", "stuck"]
            .map(|name| self.fires(&format!("storage.plugin.{name}")));
        self.with(node, |node| {
            let restarted = node.plugin == Health::Dead;
            node.stuck = stuck && node.plugin == Health::Hung;
            node.plugin = Health::Running;
            if restarted && drops {
                node.mounts.clear();
            }
            if restarted && forgets {
                node.known.clear();
            }
        });
    }

    fn kill_runtime(&self, node: &str) {
        let [kept, mounted, stalls] = ["runtime.task_kept", "runtime.volume_kept", "live_restore.stalls"]
            .map(|name| self.fires(&format!("storage.{name}")));
        self.change(|world| {
            let live = world.nodes.get(node).is_some_and(|node| node.live_restore);
            if !live && !kept {
                kill(world, node, |_| true);
            }
            let Some(node) = world.nodes.get_mut(node) else { return };
            node.runtime = Health::Dead;
            if live {
                node.processes.values_mut().for_each(|running| running.stalled = stalls);
            } else if mounted {
                for tasks in node.known.values_mut() {
                    tasks.insert("the runtime".to_owned(), 1);
                }
            }
        });
    }

    fn start_runtime(&self, node: &str) {
        let [restarts, remounts] =
            ["restarts", "remounts"].map(|name| self.fires(&format!("storage.live_restore.{name}")));
        self.change(|world| {
            let live = world.nodes.get(node).is_some_and(|node| node.live_restore);
            if live && restarts {
                kill(world, node, |_| true);
            }
            let serial = world.number();
            let Some(node) = world.nodes.get_mut(node) else { return };
            node.runtime = Health::Running;
            node.processes.values_mut().for_each(|running| running.stalled = false);
            if live && remounts {
                node.mounts.values_mut().for_each(|mount| mount.serial = serial);
            }
        });
    }
}
