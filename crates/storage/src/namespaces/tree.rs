//! The processes of a part on a node: all that its command started, however far that went away from it.
//!
//! A control group of version 2 holds them where this machine has those. Elsewhere they are known by a variable of their
//! environment, which goes on to whatever they start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// In the environment of each process of a part: whose it is.
pub const MARK: &str = "HOLDFAST_PART";
/// Where hierarchies of control groups are, the one of version 2 among others or alone.
const HIERARCHIES: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
/// Whoever has this open serves a file system of its own.
const FUSE: &str = "/dev/fuse";

/// The processes of a part.
pub struct Tree {
    /// What their environment says.
    mark: String,
    /// Their control group, where there are such.
    group: Option<PathBuf>,
}

/// What is known of a process, as this machine counts.
struct Stat {
    state: char,
    parent: i32,
    group: i32,
}

impl Tree {
    /// Of a part of a node of a lab.
    pub fn of(lab: &Path, node: &str) -> Self {
        let lab = lab.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let root = HIERARCHIES.into_iter().find(|root| Path::new(root).join("cgroup.controllers").exists());
        let group = root.map(|root| Path::new(root).join(&lab).join(node).join("plugin"));
        Self { mark: format!("{lab}/{node}"), group }
    }

    /// Makes the control group, where there can be one; where.
    pub fn prepare(&mut self) -> Option<PathBuf> {
        let made = self.group.as_ref().is_some_and(|group| std::fs::create_dir_all(group).is_ok());
        if !made {
            self.group = None;
        }
        self.group.clone()
    }

    /// What its processes have in their environment.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Those that live.
    pub fn processes(&self) -> BTreeSet<i32> {
        let held = self.group.as_ref().map(|group| within(group)).unwrap_or_default();
        // a group that could not be joined holds nobody
        let pids = if held.is_empty() { marked(&self.mark) } else { held };
        pids.into_iter().filter(|pid| stat(*pid).is_some_and(|stat| !"ZX".contains(stat.state))).collect()
    }

    /// Those that a death of the part takes along. What serves a mount, and left the process group `leader` for that,
    /// outlives it, as it does on a machine where the part is a service.
    pub fn mortal(&self, leader: i32) -> BTreeSet<i32> {
        let serves_a_mount_alone = |pid: i32| {
            stat(pid).is_some_and(|stat| stat.group != leader) && open(pid).any(|file| file == FUSE) && !listens(pid)
        };
        self.processes().into_iter().filter(|pid| !serves_a_mount_alone(*pid)).collect()
    }

    /// Those that serve a mount, and are not the part itself.
    pub fn serving_mounts(&self, leader: i32) -> BTreeSet<i32> {
        let mortal = self.mortal(leader);
        self.processes().into_iter().filter(|pid| !mortal.contains(pid)).collect()
    }

    /// Sends a signal to each that is mortal.
    pub fn signal(&self, leader: i32, signal: Signal) {
        for pid in self.mortal(leader).into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal); // it may have ended
        }
    }

    /// Asks all to end, and waits until they did.
    pub fn end(&self, leader: i32, signal: Signal, deadline: Instant) -> Result<()> {
        if self.mortal(leader).is_empty() {
            return Err(Error::lab("no process of the plugin was left to be ended: it ended by itself"));
        }
        let kills = signal == Signal::KILL;
        if !kills {
            self.signal(leader, signal);
        }
        let what = format!("the end of the plugin's processes by {signal:?}");
        let gone = || {
            if kills {
                self.signal(leader, signal); // again: they may start others meanwhile
            }
            self.mortal(leader).is_empty()
        };
        wait_until(deadline, &what, gone).map_err(Error::of_lab)
    }

    /// Stops all, and waits until they are stopped.
    pub fn stop(&self, leader: i32, deadline: Instant) -> Result<()> {
        if self.mortal(leader).is_empty() {
            return Err(Error::lab("no process of the plugin was left to be stopped: it ended by itself"));
        }
        let stopped = || {
            let running: Vec<i32> = self.mortal(leader).into_iter().filter(|pid| !is_stopped(*pid)).collect();
            for pid in running.iter().copied().filter_map(Pid::from_raw) {
                let _ = kill_process(pid, Signal::STOP); // it may have ended
            }
            self.let_begin(&running);
            running.is_empty()
        };
        wait_until(deadline, "the plugin's processes, stopped", stopped).map_err(Error::of_lab)
    }

    /// Lets those go on for now that were stopped between vfork and exec: whoever starts them cannot be stopped before.
    fn let_begin(&self, starting: &[i32]) {
        let waited_for = |pid: &i32| stat(*pid).is_some_and(|stat| starting.contains(&stat.parent) && is_stopped(*pid));
        for pid in self.processes().into_iter().filter(waited_for).filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::CONT); // it is stopped again, once it has begun
        }
    }

    /// Lets all go on.
    pub fn go_on(&self) {
        for pid in self.processes().into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::CONT); // it may have ended
        }
    }
}

/// Those of a control group and all below it.
fn within(group: &Path) -> BTreeSet<i32> {
    let listed = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut pids: BTreeSet<i32> = listed.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| *pid > 0).collect();
    for inner in std::fs::read_dir(group).into_iter().flatten().flatten().filter(|each| each.path().is_dir()) {
        pids.extend(within(&inner.path()));
    }
    pids
}

fn marked(mark: &str) -> BTreeSet<i32> {
    let wanted = format!("{MARK}={mark}");
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let carries = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes())
    };
    pids.filter(carries).collect()
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace(); // the name before may have anything in it
    let state = fields.next()?.chars().next()?;
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Stat { state, parent, group })
}

fn is_stopped(pid: i32) -> bool {
    stat(pid).is_none_or(|stat| "TtZX".contains(stat.state))
}

/// What a process has open.
fn open(pid: i32) -> impl Iterator<Item = String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).map(|file| file.to_string_lossy().into_owned())
}

/// Whether a process has a socket open that takes connections.
fn listens(pid: i32) -> bool {
    const ACCEPTS: &str = "00010000"; // of a unix socket's flags
    const LISTENS: &str = "0A"; // of a TCP socket's states
    let table = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let field = |line: &str, at: usize| line.split_whitespace().nth(at).map(str::to_owned).unwrap_or_default();
    let mut inodes: BTreeSet<String> = BTreeSet::new();
    inodes.extend(table("unix").lines().filter(|line| field(line, 3) == ACCEPTS).map(|line| field(line, 6)));
    for family in ["tcp", "tcp6"] {
        inodes.extend(table(family).lines().filter(|line| field(line, 3) == LISTENS).map(|line| field(line, 9)));
    }
    open(pid).any(|file| {
        file.strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
            .is_some_and(|inode| inodes.contains(inode))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    /// By the environment alone, as on a machine without control groups of version 2.
    fn by_mark(name: &str) -> Tree {
        Tree { mark: format!("test-{}/{name}", std::process::id()), group: None }
    }

    #[test]
    fn whatever_a_command_started_is_stopped_goes_on_and_ends_with_it() {
        let tree = by_mark("orphans");
        let mut command = Command::new("sh");
        command.args(["-c", "setsid sh -c 'sleep 600 & sleep 600' & sleep 600"]).env(MARK, tree.mark());
        let mut first = command.process_group(0).stdin(Stdio::null()).spawn().expect("sh");
        let leader = i32::try_from(first.id()).expect("a process id");
        wait_until(soon(), "all of them", || tree.processes().len() == 5).expect("they start");
        tree.stop(leader, soon()).expect("stopped");
        assert!(tree.processes().into_iter().all(is_stopped));
        tree.go_on();
        wait_until(soon(), "all to go on", || !tree.processes().into_iter().any(is_stopped)).expect("they go on");
        tree.end(leader, Signal::KILL, soon()).expect("killed");
        assert!(tree.processes().is_empty());
        first.wait().expect("it ended");
        assert!(tree.end(leader, Signal::KILL, soon()).expect_err("gone").to_string().contains("ended by itself"));
    }

    #[test]
    fn one_that_starts_others_all_the_time_is_stopped_too() {
        let tree = by_mark("busy");
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do /bin/true; done"]).env(MARK, tree.mark());
        let mut first = command.process_group(0).stdin(Stdio::null()).spawn().expect("sh");
        let leader = i32::try_from(first.id()).expect("a process id");
        wait_until(soon(), "it", || !tree.processes().is_empty()).expect("it starts");
        for round in 0..100 {
            tree.stop(leader, soon()).unwrap_or_else(|error| panic!("round {round}: {error}"));
            tree.go_on();
        }
        tree.end(leader, Signal::KILL, soon()).expect("killed");
        first.wait().expect("it ended");
    }
}
