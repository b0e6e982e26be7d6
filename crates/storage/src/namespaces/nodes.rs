//! The nodes of a lab and its server, wired together; and the processes of tasks on them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::credentials::Credentials;
use super::looking;
use super::mounts::{Mounted, counted, loop_devices};
use super::namespace::Namespace;
use super::options::LabOptions;
use super::parts::Parts;
use super::patience::in_time;
use super::relay::Relay;
use super::starting::{Started, wait_started};
use super::tree::Tree;
use crate::executable::{LEDGER, arguments};
use crate::nodes::{Leftover, LeftoverKind, Look, Mount, Nodes, Process, Spec, TaskEnding};
use holdfast_ledger::{BLOCK, Judge};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;

/// What a lab calls the one controller of all nodes.
pub const CONTROLLER: &str = "controller";

/// The lab.
#[derive(Clone)]
pub struct Namespaces {
    pub(super) options: LabOptions,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) parts: Parts,
}

pub struct State {
    /// None once the lab is closed.
    pub server: Option<Namespace>,
    /// The one controller of all nodes, where the lab starts it.
    pub controller: Option<Started>,
    pub nodes: BTreeMap<String, NodeState>,
    /// Who is who in its Kubernetes, where it has one.
    pub credentials: Option<Credentials>,
    /// What its Kubernetes calls the driver, once that is known.
    pub driver: Option<String>,
    /// The way to its API from outside.
    pub relay: Option<Relay>,
}

pub struct NodeState {
    pub number: usize,
    /// None while its power is off.
    pub namespace: Option<Namespace>,
    pub hung: bool,
    /// Its plugin, once it was started.
    pub plugin: Option<Started>,
    /// Whether tasks outlive their runtime there, where that is a Kubernetes'.
    pub tasks_outlive_runtime: bool,
    /// What it had before a scenario.
    pub before: Possessions,
}

/// What a node has beside volumes: whatever more is there after a scenario is left of it.
#[derive(Debug, Clone, Default)]
pub struct Possessions {
    /// How often something is mounted at each place.
    pub mounts: BTreeMap<PathBuf, usize>,
    /// Processes that serve mounts.
    pub serving: BTreeSet<i32>,
    /// Loop devices over files of its own.
    pub devices: BTreeSet<String>,
}

impl Possessions {
    /// With what it has beside that.
    fn and(mut self, other: Self) -> Self {
        for (place, count) in other.mounts {
            let held = self.mounts.entry(place).or_default();
            *held = count.max(*held);
        }
        self.serving.extend(other.serving);
        self.devices.extend(other.devices);
        self
    }
}

impl State {
    /// A node of this name.
    pub fn known(&self, node: &str) -> Result<&NodeState> {
        self.nodes.get(node).ok_or_else(|| {
            let known: Vec<&str> = self.nodes.keys().map(String::as_str).collect();
            Error::invalid(format!("there is no node {node:?}")).hint(format!("one of: {}", known.join(", ")))
        })
    }
}

impl NodeState {
    /// Lets a plugin that hangs go on. Who waits for it outside was stopped with it, and would never see its end.
    pub fn wake(&mut self) {
        self.hung = false;
        if let Some(plugin) = &self.plugin {
            plugin.wake();
        }
    }
}

/// The networks, by the name of a node's interface, and their addresses.
pub const NETWORKS: [(&str, &str); 2] = [("control", "10.77.0"), ("storage", "10.78.0")];

/// The address of a node on the control network, by its number; the server is 0.
pub fn address(number: usize) -> String {
    format!("{}.{}", NETWORKS[0].1, if number == 0 { 1 } else { number + 10 })
}

impl Namespaces {
    /// Makes the nodes, starts the server, and a plugin on each node.
    pub fn create(options: LabOptions, deadline: Instant) -> Result<Self> {
        let server = Namespace::create("server", deadline)?;
        let mut wiring = vec!["link set lo up".to_owned()];
        for ((network, prefix), last) in NETWORKS.iter().zip(1..) {
            // else a bridge has the address of one of its ports, and another once that port is gone
            wiring.push(format!("link add {network} address 02:00:00:00:77:{last:02} type bridge"));
            wiring.push(format!("addr add {prefix}.1/24 dev {network}"));
            wiring.push(format!("link set {network} up"));
        }
        server.wire(&wiring, deadline)?;
        let numbers = 1..=options.nodes;
        let empty = |number| {
            let state = NodeState {
                number,
                namespace: None,
                hung: false,
                plugin: None,
                tasks_outlive_runtime: false,
                before: Possessions::default(),
            };
            (format!("node{number}"), state)
        };
        let state = State {
            server: Some(server),
            controller: None,
            nodes: numbers.map(empty).collect(),
            credentials: None,
            driver: None,
            relay: None,
        };
        let lab = Self { options, state: Arc::new(Mutex::new(state)), parts: Parts::default() };
        lab.show_links(deadline)?;
        if let Some(command) = &lab.options.server {
            let command = lab.filled(command, "server");
            lab.on_server(|server| lab.start_in(server, "server", &command, None).map(drop))?;
        }
        if let Some(command) = lab.controller() {
            let command = lab.filled(command, CONTROLLER);
            let started = lab.on_server(|server| lab.start_in(server, CONTROLLER, &command, None))?;
            lab.state().controller = Some(started);
        }
        if let Some(runtime) = lab.options.runtime.filter(|runtime| runtime.manager) {
            lab.on_server(|server| lab.install_runtime(server, "server", runtime, deadline))?;
        }
        if let Some(kubernetes) = &lab.options.kubernetes {
            let credentials = lab.install_control_plane(kubernetes)?;
            lab.state().credentials = Some(credentials);
        }
        for node in lab.names() {
            lab.boot(&node, deadline)?;
        }
        Ok(lab)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket of the plugin on a node.
    pub fn socket(&self, node: &str) -> PathBuf {
        self.options.folder.join(node).join("plugin.sock")
    }

    pub(super) fn filled(&self, command: &str, node: &str) -> String {
        let folder = self.options.folder.join(node);
        command
            .replace("{socket}", &format!("unix://{}", self.socket(node).display()))
            .replace("{socket_path}", &self.socket(node).display().to_string())
            .replace("{node}", node)
            .replace("{folder}", &folder.display().to_string())
            .replace("{control}", "10.77.0.1")
            .replace("{storage}", "10.78.0.1")
    }

    /// What is run as the one controller. A Kubernetes asks one for all nodes, which dies with none of them.
    fn controller(&self) -> Option<&String> {
        let LabOptions { controller, kubernetes, plugin, .. } = &self.options;
        controller.as_ref().or_else(|| kubernetes.as_ref().map(|_| plugin))
    }

    pub(super) fn plugin_command(&self, node: &str) -> String {
        self.filled(&self.options.plugin, node)
    }

    /// A node comes up: its namespaces, its two networks, its plugin.
    pub(super) fn boot(&self, node: &str, deadline: Instant) -> Result<()> {
        let namespace = Namespace::create(node, deadline)?;
        let number = self.state().known(node)?.number;
        let ports = NETWORKS.map(|(network, _)| {
            format!("link add {network}{number} type veth peer name {network} netns {}", namespace.pid)
        });
        let joined = NETWORKS.map(|(network, _)| format!("link set {network}{number} master {network} up"));
        self.on_server(|server| server.wire(&[ports, joined].concat(), deadline))?;
        let mut wiring = vec!["link set lo up".to_owned()];
        for (network, prefix) in NETWORKS {
            wiring.push(format!("addr add {prefix}.{}/24 dev {network}", number + 10));
            wiring.push(format!("link set {network} up"));
        }
        namespace.wire(&wiring, deadline)?;
        if let Some(runtime) = self.options.runtime {
            self.install_runtime(&namespace, node, runtime, deadline)?;
        }
        self.install_worker(&namespace, node, deadline)?;
        let bare = self.possessions(node, &namespace, None)?;
        let plugin = self.start_in(&namespace, node, &self.plugin_command(node), Some(self.tree(node)))?;
        self.register_driver(&namespace, node, deadline)?;
        if let Some(held) = self.state().nodes.get_mut(node) {
            let before = std::mem::take(&mut held.before).and(bare);
            (held.namespace, held.hung, held.plugin, held.before) = (Some(namespace), false, Some(plugin), before);
        }
        Ok(())
    }

    /// The processes of the plugin on a node.
    pub(super) fn tree(&self, node: &str) -> Tree {
        Tree::of(&self.options.folder, node)
    }

    /// Waits until each plugin is up; an error where one ended instead.
    pub fn await_plugins(&self, deadline: Instant) -> Result<()> {
        self.names().iter().try_for_each(|node| self.await_start(node, deadline))
    }

    /// How a plugin ended that should not have, or the one controller of all.
    pub fn ended_plugin(&self) -> Option<Error> {
        let of_a_node = || self.names().iter().find_map(|node| self.plugin_end(node)).map(|(_, error)| error);
        self.controller_end().or_else(of_a_node)
    }

    /// A scenario begins: what the nodes have now is not left of it.
    pub fn begin(&self) -> Result<()> {
        for node in self.names() {
            let plugin = self.state().known(&node)?.plugin.clone();
            let before = self.within(&node, |namespace| self.possessions(&node, namespace, plugin.as_ref()))?;
            if let Some(held) = self.state().nodes.get_mut(&node) {
                held.before = std::mem::take(&mut held.before).and(before);
            }
        }
        Ok(())
    }

    fn possessions(&self, node: &str, namespace: &Namespace, plugin: Option<&Started>) -> Result<Possessions> {
        let engines = self.engine_folders(node);
        let ours =
            |mount: &Mounted| mount.may_hold_a_volume() && !engines.iter().any(|folder| mount.path.starts_with(folder));
        let mounts: Vec<Mounted> = namespace.own_mounts()?.into_iter().filter(ours).collect();
        let serving = plugin.map(|plugin| self.tree(node).serving_mounts(plugin.group())).unwrap_or_default();
        let devices = loop_devices(&self.options.folder.join(node)).into_iter().collect();
        Ok(Possessions { mounts: counted(&mounts), serving, devices })
    }

    /// Where the engine on a node mounts what is its own affair.
    fn engine_folders(&self, node: &str) -> Vec<PathBuf> {
        let own = ["/run/docker", "/run/containerd", "/var/run/docker"].map(PathBuf::from);
        let all = own.into_iter().chain([self.options.folder.join(node).join("runtime")]);
        let has_engine = self.options.runtime.is_some() || self.options.kubernetes.is_some();
        all.filter(|_| has_engine).collect()
    }

    /// Whether the power of a node is off.
    pub fn is_off(&self, node: &str) -> bool {
        self.state().nodes.get(node).is_some_and(|node| node.namespace.is_none())
    }

    /// The process id of a part on a node, within it.
    pub(super) fn pid_of(&self, name: &str) -> Result<String> {
        let file = self.options.folder.join(name).join("pid");
        let pid = std::fs::read_to_string(&file).map_err(|error| Error::lab_io(file.display(), error))?;
        Ok(pid.trim().to_owned())
    }

    pub(super) fn on_server<T>(&self, work: impl FnOnce(&Namespace) -> Result<T>) -> Result<T> {
        match &self.state().server {
            Some(server) => work(server),
            None => Err(Error::lab("the lab was closed")),
        }
    }

    /// Ends it: all namespaces, and with them what is mounted and runs in them.
    pub fn close(&self) {
        let mut state = self.state();
        state.nodes.values_mut().for_each(NodeState::wake);
        let nodes: Vec<_> = state.nodes.values_mut().filter_map(|node| node.namespace.take()).collect();
        drop((state.relay.take(), nodes, state.server.take()));
    }

    pub(super) fn within<T>(&self, node: &str, work: impl FnOnce(&Namespace) -> Result<T>) -> Result<T> {
        let state = self.state();
        match &state.known(node)?.namespace {
            Some(namespace) => work(namespace),
            None => Err(Error::lab(format!("{node} is powered off"))),
        }
    }
}

/// The process that `nsenter` runs.
fn forked_by(nsenter: u32) -> Option<rustix::process::Pid> {
    let children = std::fs::read_to_string(format!("/proc/{nsenter}/task/{nsenter}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().and_then(rustix::process::Pid::from_raw)
}

struct Writing {
    lab: Namespaces,
    node: String,
    task: String,
    running: Arc<Mutex<Running>>,
    pid: Mutex<Option<u32>>,
    /// Its process as this machine counts.
    outside: Option<rustix::process::Pid>,
}

struct Running {
    stdin: Option<ChildStdin>,
    /// It was told to end.
    stopping: bool,
    ended: Option<String>,
}

impl Nodes for Namespaces {
    fn names(&self) -> Vec<String> {
        self.state().nodes.keys().cloned().collect()
    }

    fn start(&self, node: &str, spec: Spec, _: Instant) -> Result<Box<dyn Process>> {
        let Spec { task, mount, opening, work, tell, .. } = spec;
        let pid_file = self.options.folder.join(node).join(format!("{task}.pid"));
        let arguments = arguments(&mount.ledger()?, opening, work, "-").join(" ");
        let script = format!("echo $$ > {}; exec {} {}", pid_file.display(), self.options.ledger.display(), arguments);
        let (mut child, life) = self.within(node, |namespace| {
            looking::check(&mount, &namespace.seen(mount.path()?), node)?;
            let mut command = namespace.command(&["sh", "-c", &script]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            let child = command.spawn().map_err(|error| Error::lab_io("nsenter", error))?;
            Ok((child, namespace.pid))
        })?;
        wait_started(&mut child, &pid_file, &task)?;
        let outside = forked_by(child.id());
        let running = Arc::new(Mutex::new(Running { stdin: child.stdin.take(), stopping: false, ended: None }));
        let (watched, stdout) = (running.clone(), child.stdout.take());
        let (lab, on) = (self.clone(), node.to_owned());
        std::thread::spawn(move || {
            for line in
                stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(std::result::Result::ok)
            {
                tell(line.parse());
            }
            let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            // who is powered off takes its tasks along
            let is_up = lab.within(&on, |namespace| Ok(namespace.pid == life)).unwrap_or(false);
            let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            if is_up && !watched.stopping {
                tell(Err(format!("its process ended by itself: {status}")));
            }
            watched.ended = Some(status);
        });
        Ok(Box::new(Writing {
            lab: self.clone(),
            node: node.to_owned(),
            task,
            running,
            pid: Mutex::new(None),
            outside,
        }))
    }

    fn look(&self, node: &str, mount: &Mount, _: &str, judge: &mut Judge<'_>, deadline: Instant) -> Result<Look> {
        let place = mount.path()?;
        let (path, mounted) = self.within(node, |namespace| {
            let mounted = namespace.mounts()?.into_iter().rev().find(|mounted| mounted.path == *place);
            Ok((namespace.seen(place), mounted))
        })?;
        looking::look(mount, &path, node, mounted, judge, deadline)
    }

    fn see(&self, node: &str, mount: &Path, deadline: Instant) -> Result<bool> {
        let file = mount.join(LEDGER);
        let seen = self.within(node, |namespace| Ok(namespace.seen(&file)))?;
        let opened = in_time(deadline, move || looking::open(&seen)?.read_exact(&mut [0; BLOCK]));
        let gone = |error| Error::new(Kind::Expectation, format!("{} on {node}: {error}", file.display()));
        opened.map(|()| true).map_err(gone)
    }

    fn is_mounted(&self, node: &str, path: &Path) -> Result<Option<bool>> {
        let state = self.state();
        let NodeState { namespace: Some(namespace), before, .. } = state.known(node)? else { return Ok(None) };
        let now = counted(&namespace.own_mounts()?);
        let had = |place: &PathBuf| before.mounts.get(place).copied().unwrap_or_default();
        Ok(Some(now.iter().any(|(place, count)| path.starts_with(place) && *count > had(place))))
    }

    fn trouble(&self, node: &str, _: Instant) -> Option<Error> {
        let mut state = self.state();
        let State { server, nodes, .. } = &mut *state;
        let own = nodes.get_mut(node).and_then(|node| node.namespace.as_mut());
        let ended = [(node, own), ("the server", server.as_mut())].into_iter().find_map(|(name, namespace)| {
            namespace.and_then(Namespace::ended).map(|status| format!("the namespaces of {name} ended: {status}"))
        });
        drop(state);
        ended.map(Error::lab).or_else(|| self.ended_part(node))
    }

    /// Whatever its volumes are called: all that it has now and did not have before.
    fn leftovers(&self, node: &str, _: &[String]) -> Result<Vec<Leftover>> {
        let state = self.state();
        let NodeState { namespace: Some(namespace), plugin, before, .. } = state.known(node)? else {
            return Ok(Vec::new());
        };
        let now = self.possessions(node, namespace, plugin.as_ref())?;
        let mut left = Vec::new();
        for (place, count) in &now.mounts {
            let more = count.saturating_sub(before.mounts.get(place).copied().unwrap_or_default());
            left.extend((0..more).map(|_| Leftover::on(node, LeftoverKind::Mount, place.display().to_string())));
        }
        for device in now.devices.difference(&before.devices) {
            left.push(Leftover::on(node, LeftoverKind::Device, device));
        }
        for pid in now.serving.difference(&before.serving) {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            left.push(Leftover::on(node, LeftoverKind::Process, format!("{} (process {pid})", name.trim())));
        }
        Ok(left)
    }

    fn await_plugin(&self, node: &str, deadline: Instant) -> Result<()> {
        self.await_start(node, deadline)
    }

    fn plugin_end(&self, node: &str) -> Option<Error> {
        self.plugin_failure(node)
    }
}

impl Writing {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process for Writing {
    fn ending(&self) -> TaskEnding {
        self.running().ended.clone().map_or(TaskEnding::Running, TaskEnding::Ended)
    }

    fn id(&self) -> String {
        self.task.clone()
    }

    fn pid(&self) -> Option<u32> {
        let mut pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if pid.is_none() {
            let file = self.lab.options.folder.join(&self.node).join(format!("{}.pid", self.task));
            *pid = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        }
        *pid
    }

    fn stop(&self, kill: bool, deadline: Instant) -> Result<()> {
        self.running().stopping = true;
        drop(self.running().stdin.take()); // its end is what the task waits for
        if kill
            && self.running().ended.is_none()
            && let Some(pid) = self.outside
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL); // it may have ended meanwhile
        }
        wait_until(deadline, "the end of a task", || self.running().ended.is_some())
    }
}
