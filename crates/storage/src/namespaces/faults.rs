//! What harms the nodes of a lab, and undoes it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::control_groups;
use super::namespace::{Namespace, reaches};
use super::nodes::{NETWORKS, Namespaces, NodeState};
use super::starting::Started;
use crate::faults::{Fault, Faults, Network, Part};
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For a plugin that was asked to end, and for what goes with the power.
const GRACE: Duration = Duration::from_secs(5);

impl Faults for Namespaces {
    fn lacks(&self, fault: Fault) -> Option<String> {
        match (fault, self.options.runtime) {
            (Fault::Kill(part) | Fault::Start(part), _) if part.is_of_kubernetes() => {
                let none = self.options.kubernetes.is_none();
                none.then(|| "the lab has no Kubernetes: give the runner kubernetes".to_owned())
            }
            (Fault::Drain | Fault::Uncordon, _) => {
                Some("nobody here drains a node: give the runner kubernetes".to_owned())
            }
            (Fault::Stop(part) | Fault::Hang(part), _) if part.is_of_kubernetes() => {
                Some("the lab kills the parts of a Kubernetes, and does nothing else to them".to_owned())
            }
            (Fault::Stop(Part::Runtime) | Fault::Hang(Part::Runtime), None) if self.options.kubernetes.is_some() => {
                Some("the lab kills the runtime of a Kubernetes, and does nothing else to it".to_owned())
            }
            (Fault::Kill(Part::Runtime) | Fault::Start(Part::Runtime) | Fault::LiveRestore(_), None)
                if self.options.kubernetes.is_some() =>
            {
                None
            }
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
            Fault::PowerOff => self.power_off(node, deadline),
            Fault::PowerOn => self.power_on(node, deadline),
            Fault::Cut(network) => self.wire(node, |name| cut(network, name), false, deadline),
            Fault::Heal => self.wire(node, |_| true, true, deadline),
            Fault::Kill(part) if part.is_of_kubernetes() => self.kill_of_kubernetes(node, part, deadline),
            Fault::Start(part) if part.is_of_kubernetes() => self.start_of_kubernetes(node, part),
            Fault::Kill(Part::Runtime) if self.options.kubernetes.is_some() => self.end_worker(node, "-KILL", deadline),
            Fault::Start(Part::Runtime) if self.options.kubernetes.is_some() => self.start_worker(node, deadline),
            Fault::LiveRestore(on) if self.options.kubernetes.is_some() => {
                self.let_tasks_outlive(node, on);
                Ok(())
            }
            Fault::Stop(Part::Runtime) => self.end_runtime(node, "-TERM", deadline),
            Fault::Kill(Part::Runtime) => self.end_runtime(node, "-KILL", deadline),
            Fault::Start(Part::Runtime) => self.start_runtime(node, deadline),
            Fault::LiveRestore(on) if self.options.runtime.is_some_and(|runtime| !runtime.manager) => {
                self.live_restore(node, on, deadline)
            }
            Fault::LiveRestore(_) => Ok(()), // there is none, which is all that is ever asked for
            Fault::Drain | Fault::Uncordon => Err(Error::invalid("nobody here drains a node")),
            Fault::Stop(_) => self.stop_plugin(node, deadline),
            Fault::Kill(_) => self.kill_plugin(node, deadline),
            Fault::Hang(_) => self.hang_plugin(node, deadline),
            Fault::Start(_) => self.start_plugin(node, deadline),
        }
    }
}

/// Ends a process by a signal, and sees that it has ended.
pub(super) fn end_process(namespace: &Namespace, pid: &str, signal: &str, deadline: Instant) -> Result<()> {
    namespace.run(&["kill", signal, pid], deadline)?;
    let what = format!("the end of a process by kill {signal}");
    wait_until(deadline, &what, || namespace.process(pid).is_none_or(|state| state == 'Z')).map_err(Error::of_lab)
}

fn cut(network: Network, name: &str) -> bool {
    match network {
        Network::All => true,
        Network::Storage => name == "storage",
        Network::Control => name == "control",
    }
}

impl Namespaces {
    fn links(&self, node: &str, which: impl Fn(&str) -> bool, up: bool, deadline: Instant) -> Result<()> {
        let number = self.state().known(node)?.number;
        let networks: Vec<(&str, &str)> = NETWORKS.into_iter().filter(|(network, _)| which(network)).collect();
        let links: Vec<String> = networks.iter().map(|(network, _)| format!("{network}{number}")).collect();
        let to = if up { "up" } else { "down" };
        let lines: Vec<String> = links.iter().map(|link| format!("link set {link} {to}")).collect();
        self.on_server(|server| {
            server.wire(&lines, deadline)?;
            match links.iter().find(|link| self.is_up(server, link) != Some(up)) {
                Some(link) => Err(Error::lab(format!("ip ended well, and {link} is not {to}"))),
                None => Ok(()),
            }
        })?;
        Ok(())
    }

    /// Cuts networks, or heals them; and sees that the server cannot be reached over them, or can.
    fn wire(&self, node: &str, which: impl Fn(&str) -> bool, up: bool, deadline: Instant) -> Result<()> {
        self.links(node, &which, up, deadline)?;
        let pid = self.within(node, |namespace| Ok(namespace.pid))?;
        for (network, prefix) in NETWORKS.into_iter().filter(|(network, _)| which(network)) {
            let server = format!("{prefix}.1");
            let what = if up { "cannot reach" } else { "still reaches" };
            let why = format!("ip ended well, and {node} {what} the server over the network {network}");
            wait_until(deadline.min(Instant::now() + GRACE), network, || reaches(pid, &server) == Some(up))
                .map_err(|_| Error::lab(why))?;
        }
        Ok(())
    }

    /// Lets the state of the server's links be seen, by the kernel itself.
    pub(super) fn show_links(&self, deadline: Instant) -> Result<()> {
        let folder = self.links_folder();
        std::fs::create_dir_all(&folder).map_err(|error| Error::lab_io(folder.display(), error))?;
        let folder = folder.display().to_string();
        self.on_server(|server| server.run(&["mount", "-t", "sysfs", "sysfs", &folder], deadline)).map(drop)
    }

    fn links_folder(&self) -> PathBuf {
        self.options.folder.join("server").join("links")
    }

    /// Whether a link of the server is up; none, where nobody can tell.
    fn is_up(&self, server: &Namespace, link: &str) -> Option<bool> {
        let flags = server.seen(&self.links_folder().join("class/net").join(link).join("flags"));
        let flags = std::fs::read_to_string(flags).ok()?;
        u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).ok().map(|flags| flags & 1 == 1)
    }

    /// The links go first: else the kernel tells the peers of each connection that it is gone.
    fn power_off(&self, node: &str, deadline: Instant) -> Result<()> {
        self.links(node, |_| true, false, deadline)?;
        self.parts.forget_in(node);
        self.state().nodes.get_mut(node).map(NodeState::wake);
        let gone = self.state().nodes.get_mut(node).and_then(|node| node.namespace.take());
        gone.map_or(Ok(()), |namespace| namespace.end(deadline))?;
        let number = self.state().known(node)?.number;
        for (network, _) in NETWORKS {
            // the kernel may have taken it with the other end already
            let _ = self.on_server(|server| server.wire(&[format!("link del {network}{number}")], deadline));
        }
        // what of them stays makes the next start slower, and no more
        let soon = deadline.min(Instant::now() + GRACE);
        let _ = control_groups::remove(Path::new(control_groups::ROOT), &self.options.folder, node, soon);
        Ok(())
    }

    fn power_on(&self, node: &str, deadline: Instant) -> Result<()> {
        self.boot(node, deadline)?;
        match self.options.runtime {
            Some(_) => self.connect(node, deadline).map(drop),
            None => Ok(()),
        }
    }

    /// As a supervisor stops a service: all its processes are asked to end, and killed where they do not.
    fn stop_plugin(&self, node: &str, deadline: Instant) -> Result<()> {
        let (tree, plugin) = (self.tree(node), self.started(node)?);
        let asked = tree.end(plugin.group(), Signal::TERM, deadline.min(Instant::now() + GRACE));
        asked.or_else(|_| tree.end(plugin.group(), Signal::KILL, deadline))
    }

    fn kill_plugin(&self, node: &str, deadline: Instant) -> Result<()> {
        self.tree(node).end(self.started(node)?.group(), Signal::KILL, deadline)
    }

    fn started(&self, node: &str) -> Result<Started> {
        let plugin = self.state().known(node)?.plugin.clone();
        plugin.ok_or_else(|| Error::lab(format!("no plugin was started on {node}")))
    }

    fn hang_plugin(&self, node: &str, deadline: Instant) -> Result<()> {
        self.tree(node).stop(self.started(node)?.group(), deadline)?;
        if let Some(node) = self.state().nodes.get_mut(node) {
            node.hung = true;
        }
        Ok(())
    }

    fn start_plugin(&self, node: &str, _: Instant) -> Result<()> {
        let hung = self.state().nodes.get_mut(node).filter(|node| node.hung).map(NodeState::wake);
        if hung.is_some() {
            self.tree(node).go_on();
            return Ok(());
        }
        let command = self.plugin_command(node);
        let started = self.within(node, |namespace| self.start_in(namespace, node, &command, Some(self.tree(node))))?;
        if let Some(node) = self.state().nodes.get_mut(node) {
            node.plugin = Some(started);
        }
        Ok(())
    }
}
