//! The nodes of a lab and its server, wired together; and the processes of tasks on them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::namespace::Namespace;
use crate::executable::{LEDGER, arguments};
use crate::nodes::{Leftover, LeftoverKind, Look, Mount, Nodes, Process, Spec, TaskEnding};
use holdfast_ledger::{BLOCK, Place};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking::wait_until;

/// What a lab is made of.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// A folder of its own.
    pub folder: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// What serves the volumes, with {control}, {storage} and {folder} in it; nothing, where the driver brings its own.
    pub server: Option<String>,
    /// The plugin on a node, with {socket} (or {socket_path}), {node}, {folder} and {control} (the server's address) in it.
    pub plugin: String,
    /// What the plugin's environment has beside this process's own.
    pub environment: Vec<(String, String)>,
    /// A command on a node, with the same in it, that ends well once its plugin is up; none, where only it is asked.
    pub ready: Option<String>,
    /// The executable of the ledger.
    pub ledger: PathBuf,
    /// The engines on the nodes, if they have some.
    pub runtime: Option<RuntimeOptions>,
}

/// Where a lab's nodes have engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// The provider's plugin on each node is one of its engine's.
    pub plugin: bool,
    /// The server has an engine too, to manage a Swarm.
    pub manager: bool,
}

/// For a process to start within a node, which is the lab's affair.
const START: Duration = Duration::from_secs(5);

/// The lab.
#[derive(Clone)]
pub struct Namespaces {
    pub(super) options: LabOptions,
    pub(super) state: Arc<Mutex<State>>,
}

pub struct State {
    /// None once the lab is closed.
    pub server: Option<Namespace>,
    pub nodes: BTreeMap<String, NodeState>,
}

pub struct NodeState {
    pub number: usize,
    /// None while its power is off.
    pub namespace: Option<Namespace>,
    pub hung: bool,
    /// The process outside that waits for the plugin's end.
    pub waiting: Option<u32>,
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
        if let Some(pid) = self.waiting.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT); // it may have ended
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
        let server = Namespace::create(deadline)?;
        let mut wiring = vec!["link set lo up".to_owned()];
        for ((network, prefix), last) in NETWORKS.iter().zip(1..) {
            // else a bridge has the address of one of its ports, and another once that port is gone
            wiring.push(format!("link add {network} address 02:00:00:00:77:{last:02} type bridge"));
            wiring.push(format!("addr add {prefix}.1/24 dev {network}"));
            wiring.push(format!("link set {network} up"));
        }
        server.wire(&wiring, deadline)?;
        let numbers = 1..=options.nodes;
        let empty =
            |number| (format!("node{number}"), NodeState { number, namespace: None, hung: false, waiting: None });
        let state = State { server: Some(server), nodes: numbers.map(empty).collect() };
        let lab = Self { options, state: Arc::new(Mutex::new(state)) };
        lab.show_links(deadline)?;
        if let Some(command) = &lab.options.server {
            let command = lab.filled(command, "server");
            lab.on_server(|server| lab.start_in(server, "server", &command).map(drop))?;
        }
        if let Some(runtime) = lab.options.runtime.filter(|runtime| runtime.manager) {
            lab.on_server(|server| lab.install_runtime(server, "server", runtime, deadline))?;
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

    fn filled(&self, command: &str, node: &str) -> String {
        let folder = self.options.folder.join(node);
        command
            .replace("{socket}", &format!("unix://{}", self.socket(node).display()))
            .replace("{socket_path}", &self.socket(node).display().to_string())
            .replace("{node}", node)
            .replace("{folder}", &folder.display().to_string())
            .replace("{control}", "10.77.0.1")
            .replace("{storage}", "10.78.0.1")
    }

    pub(super) fn plugin_command(&self, node: &str) -> String {
        self.filled(&self.options.plugin, node)
    }

    /// A node comes up: its namespaces, its two networks, its plugin.
    pub(super) fn boot(&self, node: &str, deadline: Instant) -> Result<()> {
        let namespace = Namespace::create(deadline)?;
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
        let waiting = self.start_in(&namespace, node, &self.plugin_command(node))?;
        if let Some(held) = self.state().nodes.get_mut(node) {
            (held.namespace, held.hung, held.waiting) = (Some(namespace), false, Some(waiting));
        }
        Ok(())
    }

    /// Starts a plugin or the server; what it prints goes into a log, its process id into a file. The process outside
    /// that waits for its end.
    pub(super) fn start_in(&self, namespace: &Namespace, name: &str, command: &str) -> Result<u32> {
        let folder = self.options.folder.join(name);
        let disk = |error: std::io::Error| Error::lab_io(folder.display(), error);
        std::fs::create_dir_all(&folder).map_err(disk)?;
        let pid = folder.join("pid");
        let _ = std::fs::remove_file(&pid); // of one that is no more
        let log = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("log")).map_err(disk)?;
        let script = format!("echo $$ > {}; exec {}{command}", pid.display(), environment(command));
        let mut started = namespace.command(&["sh", "-c", &script]);
        started.stdout(log.try_clone().map_err(disk)?).stderr(log);
        let mut child = started.spawn().map_err(|error| Error::lab_io("nsenter", error))?;
        wait_started(&mut child, &pid, name)?;
        let waiting = child.id();
        std::thread::spawn(move || child.wait()); // so that it does not stay as a zombie
        Ok(waiting)
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
        drop((nodes, state.server.take()));
    }

    pub(super) fn within<T>(&self, node: &str, work: impl FnOnce(&Namespace) -> Result<T>) -> Result<T> {
        let state = self.state();
        match &state.known(node)?.namespace {
            Some(namespace) => work(namespace),
            None => Err(Error::lab(format!("{node} is powered off"))),
        }
    }
}

/// What makes assignments that a command begins with those of its environment: a shell's `exec` takes none.
fn environment(command: &str) -> &'static str {
    let first = command.split(['=', ' ']).next().unwrap_or_default();
    let named = first.chars().all(|each| each.is_ascii_alphanumeric() || each == '_');
    if named && command[first.len()..].starts_with('=') { "env " } else { "" }
}

/// Waits until a shell within has told its process id: whoever did not get so far was never started.
fn wait_started(child: &mut Child, pid: &Path, what: &str) -> Result<()> {
    let (mut ended, mut started) = (None, false);
    let _ = wait_until(Instant::now() + START, "its start", || {
        ended = child.try_wait().ok().flatten();
        started = std::fs::read_to_string(pid).is_ok_and(|pid| pid.ends_with('\n')); // also of one that ended since
        started || ended.is_some()
    });
    if started {
        return Ok(());
    }
    let _ = child.kill(); // it may have ended
    let _ = child.wait();
    let why = ended.map_or_else(|| "not in time".to_owned(), |status| status.to_string());
    Err(Error::lab(format!("nsenter did not start {what}: {why}")))
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
        let arguments = arguments(&mount.path()?.join(LEDGER), opening, work, "-").join(" ");
        let script = format!("echo $$ > {}; exec {} {}", pid_file.display(), self.options.ledger.display(), arguments);
        let (mut child, life) = self.within(node, |namespace| {
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

    fn look(&self, node: &str, mount: &Mount, _: &str, _: Instant) -> Result<Look> {
        let mount = mount.path()?;
        let (path, line) = self.within(node, |namespace| {
            let wanted = mount.display().to_string();
            let line = namespace.mounts().into_iter().rev().find(|line| line.split(' ').nth(1) == Some(&wanted));
            Ok((namespace.seen(mount), line))
        })?;
        // what the volume itself answers
        let failed =
            |error: std::io::Error| Error::new(Kind::Expectation, format!("{} on {node}: {error}", mount.display()));
        let bytes = match std::fs::read(path.join(LEDGER)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let space = rustix::fs::statvfs(&path).map_err(|error| failed(error.into()))?;
        Ok(Look {
            places: bytes.chunks(BLOCK).map(Place::of).collect(),
            bytes: Some(space.f_blocks * space.f_frsize),
            used: Some((space.f_blocks - space.f_bfree) * space.f_frsize),
            filesystem: line.and_then(|line| line.split(' ').nth(2).map(str::to_owned)),
        })
    }

    fn trouble(&self, node: &str, _: Instant) -> Option<Error> {
        let mut state = self.state();
        let State { server, nodes } = &mut *state;
        let own = nodes.get_mut(node).and_then(|node| node.namespace.as_mut());
        let ended = [(node, own), ("the server", server.as_mut())].into_iter().find_map(|(name, namespace)| {
            namespace.and_then(Namespace::ended).map(|status| format!("the namespaces of {name} ended: {status}"))
        });
        ended.map(Error::lab)
    }

    fn leftovers(&self, node: &str, volumes: &[String]) -> Result<Vec<Leftover>> {
        let state = self.state();
        let Some(namespace) = &state.known(node)?.namespace else { return Ok(Vec::new()) };
        let folder = self.options.folder.join(node).display().to_string();
        let ours =
            |path: &str| path.starts_with(&folder) && volumes.iter().any(|volume| path.contains(volume.as_str()));
        let points = namespace.mounts().into_iter().filter_map(|line| line.split(' ').nth(1).map(str::to_owned));
        Ok(points.filter(|path| ours(path)).map(|path| Leftover::on(node, LeftoverKind::Mount, path)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_begin_with_its_environment() {
        assert_eq!(environment("LEVEL=debug ./driver --nodeid=node1"), "env ");
        assert_eq!(environment("./driver --nodeid=node1"), "");
        assert_eq!(environment("driver a=b"), "");
    }
}
