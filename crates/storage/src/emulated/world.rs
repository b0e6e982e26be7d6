//! The one lock on all there is, and waiting for it to change.

#![expect(clippy::disallowed_methods, reason = "it is woken by each change of its world")]

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::defects::GROUPS;
use super::sites::Defects;
use super::state::{EmulatedState, Health, Node};
use crate::csi::Ways;
use holdfast_failpoint::Registry;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// A sync, from a node to the server and back.
    pub sync: Duration,
    /// An attach, and a detach.
    pub attach: Duration,
    /// How long input and output wait for the storage network before they fail.
    pub patience: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            sync: Duration::from_micros(200),
            attach: Duration::from_millis(20),
            patience: Duration::from_millis(500),
        }
    }
}

/// The emulated provider and its nodes.
#[derive(Clone)]
pub struct Emulated {
    shared: Arc<SharedWorld>,
}

struct SharedWorld {
    world: Mutex<EmulatedState>,
    changed: Condvar,
    /// As `changed`, for tasks of a runtime.
    changes: tokio::sync::watch::Sender<u64>,
    defects: Defects,
    timings: Timings,
    ways: Ways,
}

impl Emulated {
    /// With nodes of these names.
    pub fn new(nodes: &[String], failpoints: Arc<Registry>, timings: Timings) -> Self {
        Self::with_ways(nodes, failpoints, timings, Ways::default())
    }

    /// The same, in healthy ways of its own.
    pub fn with_ways(nodes: &[String], failpoints: Arc<Registry>, timings: Timings, ways: Ways) -> Self {
        let shared = SharedWorld {
            world: Mutex::new(EmulatedState::new(nodes)),
            changed: Condvar::new(),
            changes: tokio::sync::watch::Sender::new(0),
            defects: Defects::new(failpoints, GROUPS),
            timings,
            ways,
        };
        Self { shared: Arc::new(shared) }
    }

    /// How long things take.
    pub fn timings(&self) -> Timings {
        self.shared.timings
    }

    /// Its healthy ways.
    pub fn ways(&self) -> &Ways {
        &self.shared.ways
    }

    pub(super) fn defects(&self) -> &Defects {
        &self.shared.defects
    }

    pub(super) fn world(&self) -> MutexGuard<'_, EmulatedState> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes who waits for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut EmulatedState) -> T) -> T {
        let changed = change(&mut self.world());
        self.tell();
        changed
    }

    fn tell(&self) {
        self.shared.changed.notify_all();
        self.shared.changes.send_modify(|count| *count += 1);
    }

    /// Lets go of the world for a while; something may have changed when this returns.
    pub(super) fn pause<'a>(
        &self,
        world: MutexGuard<'a, EmulatedState>,
        limit: Duration,
    ) -> MutexGuard<'a, EmulatedState> {
        self.shared.changed.wait_timeout(world, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until `ready` says so; an error of `refusal` at once, or a timeout that says `what` did not answer.
    pub(super) fn wait<'a>(
        &'a self,
        deadline: Instant,
        what: &str,
        mut ready: impl FnMut(&EmulatedState) -> Result<bool>,
    ) -> Result<MutexGuard<'a, EmulatedState>> {
        let mut world = self.world();
        while !ready(&world)? {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return Err(Error::new(Kind::Timeout, format!("{what} did not answer in time")));
            };
            world = self.pause(world, left);
        }
        Ok(world)
    }

    /// How the plugin on a node is, and how often it died; one of a node without power says nothing.
    pub(super) fn plugin_life(&self, node: &str) -> (Health, u64) {
        let world = self.world();
        let life = |node: &Node| (if node.powered { node.plugin } else { Health::Hung }, node.plugin_deaths);
        world.nodes.get(node).map_or((Health::Dead, 0), life)
    }

    /// Waits until the life of the plugin on a node is otherwise than `before`.
    pub(super) async fn changes_life(&self, node: &str, before: (Health, u64)) {
        let mut changes = self.shared.changes.subscribe();
        while self.plugin_life(node) == before && changes.changed().await.is_ok() {}
    }

    /// Waits until the plugin on `node` takes calls.
    pub(super) fn plugin(&self, node: &str, deadline: Instant) -> Result<MutexGuard<'_, EmulatedState>> {
        self.wait(deadline, &format!("the plugin on {node}"), |world| world.plugin_takes_calls(node))
    }

    /// Waits until the plugin on `node` takes calls; the controller of all nodes, where none is named.
    pub(super) fn controller(&self, node: &str, deadline: Instant) -> Result<MutexGuard<'_, EmulatedState>> {
        if node.is_empty() { self.server(deadline) } else { self.plugin(node, deadline) }
    }

    /// Waits until the server takes calls.
    pub(super) fn server(&self, deadline: Instant) -> Result<MutexGuard<'_, EmulatedState>> {
        self.wait(deadline, "the server", |world| Ok(world.server.up))
    }

    /// What the plugin on `node` does once it takes calls, under the same lock.
    pub(super) fn by_plugin<T>(
        &self,
        node: &str,
        deadline: Instant,
        act: impl FnOnce(&mut EmulatedState) -> Result<T>,
    ) -> Result<T> {
        self.and_tell(self.plugin(node, deadline)?, act)
    }

    /// The same of the controller.
    pub(super) fn by_controller<T>(
        &self,
        node: &str,
        deadline: Instant,
        act: impl FnOnce(&mut EmulatedState) -> Result<T>,
    ) -> Result<T> {
        self.and_tell(self.controller(node, deadline)?, act)
    }

    /// The same of the server, after the time that the way to it takes.
    pub(super) fn by_server<T>(
        &self,
        deadline: Instant,
        act: impl FnOnce(&mut EmulatedState) -> Result<T>,
    ) -> Result<T> {
        drop(self.server(deadline)?);
        blocking::pause(self.timings().attach);
        self.and_tell(self.server(deadline)?, act)
    }

    /// The same of both, for a call to the plugin that goes to the server `times` times.
    pub(super) fn by_both<T>(
        &self,
        node: &str,
        times: u32,
        deadline: Instant,
        act: impl FnOnce(&mut EmulatedState) -> Result<T>,
    ) -> Result<T> {
        let what = format!("the plugin on {node}, or the server,");
        let ready = |world: &EmulatedState| Ok(world.plugin_takes_calls(node)? && world.server.up);
        drop(self.wait(deadline, &what, ready)?);
        blocking::pause(self.timings().attach * times);
        self.and_tell(self.wait(deadline, &what, ready)?, act)
    }

    fn and_tell<T>(&self, mut world: MutexGuard<'_, EmulatedState>, act: impl FnOnce(&mut EmulatedState) -> T) -> T {
        let done = act(&mut world);
        drop(world);
        self.tell();
        done
    }
}
