//! One set of namespaces, and processes in it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::tools;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// What the lab is made with, and Debian's package of each.
const TOOLS: [(&str, &str); 5] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("losetup", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
];

/// Why there can be no lab here; nothing, where there can.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the lab makes namespaces and mounts: it needs root".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).exists());
    let lacking = TOOLS.iter().find(|(tool, _)| !there(tool));
    lacking.map(|(tool, package)| format!("{tool} is missing: install Debian's {package}"))
}

/// The first process. A shell that waits reaps whatever was orphaned; to a dockerd that starts again, a containerd that
/// nobody reaped would still be running.
const INIT: &str = "cat; exit";

/// A set of namespaces; its processes and mounts go with it.
pub struct Namespace {
    first: Child,
    /// Of its first process, as this machine counts.
    pub pid: u32,
}

impl Namespace {
    /// A new one.
    pub fn create(deadline: Instant) -> Result<Self> {
        let mut first = Command::new("unshare")
            .args([
                "--fork",
                "--kill-child",
                "--pid",
                "--mount-proc",
                "--mount",
                "--net",
                "--uts",
                "--ipc",
                "--",
                "sh",
                "-c",
                INIT,
            ])
            .stdin(Stdio::piped()) // it lives until this is closed
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::lab_io("unshare", error))?;
        let children = format!("/proc/{0}/task/{0}/children", first.id());
        let mut pid = None;
        let born = wait_until(deadline, "a namespace by unshare", || {
            let listed = std::fs::read_to_string(&children).unwrap_or_default();
            pid = listed.split_whitespace().next().and_then(|pid| pid.parse().ok());
            // it has its own /proc once the file system of processes is its own
            pid.is_some_and(|pid: u32| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                name.trim() == "sh"
            })
        });
        match (born, pid) {
            (Ok(()), Some(pid)) => Ok(Self { first, pid }),
            (born, _) => {
                let _ = first.kill(); // it never became what it should
                let _ = first.wait();
                Err(born.err().map_or_else(|| Error::lab("unshare: a namespace has no process"), Error::of_lab))
            }
        }
    }

    /// How its first process ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.first.try_wait().ok().flatten()
    }

    /// A command that runs within.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--all", "--"]).args(words);
        command.stdin(Stdio::null());
        command
    }

    /// A command that runs on its network alone, where process ids are this machine's.
    pub fn on_network(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--net", "--"]).args(words);
        command
    }

    /// Runs a command within to its end, in time; what it printed.
    pub fn run(&self, words: &[&str], deadline: Instant) -> Result<String> {
        tools::run(self.command(words), &format!("nsenter: {}", words.join(" ")), deadline)
    }

    /// Does what `ip` shall do on its network, in one go.
    pub fn wire(&self, lines: &[String], deadline: Instant) -> Result<()> {
        let ip = self.on_network(&["ip", "-batch", "-"]);
        tools::run_with_input(ip, &lines.join("\n"), &format!("nsenter: ip {}", lines.join("; ")), deadline).map(drop)
    }

    /// Whether a process within is there, and its state as `ps` shows it.
    pub fn process(&self, pid: &str) -> Option<char> {
        let stat = std::fs::read_to_string(self.seen(&Path::new("/proc").join(pid).join("stat"))).ok()?;
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    }

    /// What it has mounted, a line each.
    pub fn mounts(&self) -> Vec<String> {
        let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", self.pid)).unwrap_or_default();
        mounts.lines().map(str::to_owned).collect()
    }

    /// A path within, as this machine sees it.
    pub fn seen(&self, path: &Path) -> std::path::PathBuf {
        let root = format!("/proc/{}/root", self.pid);
        Path::new(&root).join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let first = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = first {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL); // it may have ended
        }
        let _ = self.first.wait(); // all within is gone then
    }
}
