//! One set of namespaces, and processes in it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::mounts::{self, Mounted};
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
/// nobody reaped would still be running. First of all it gives the node a host name of its own.
const INIT: &str = r#"echo "$0" > /proc/sys/kernel/hostname; cat; exit"#;

/// A port that nobody listens on: that of the protocol discard.
const UNUSED: u16 = 9;
/// For a refusal by a server that can be reached.
const ANSWER: Duration = Duration::from_millis(500);
/// For a namespace to go.
const LONGEST_END: Duration = Duration::from_secs(30);

/// A set of namespaces; its processes and mounts go with it.
pub struct Namespace {
    first: Child,
    /// Of its first process, as this machine counts.
    pub pid: u32,
    /// What was mounted on this machine when it was born, and so in it.
    born_with: Vec<Mounted>,
}

impl Namespace {
    /// A new one, whose host has this name.
    pub fn create(name: &str, deadline: Instant) -> Result<Self> {
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
                name,
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
            // it has its own /proc once the file system of processes is its own, and a name once it waits
            pid.is_some_and(|pid: u32| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                let started = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
                name.trim() == "sh" && !started.is_empty()
            })
        });
        match (born, pid) {
            (Ok(()), Some(pid)) => {
                let mut born = Self { first, pid, born_with: Vec::new() };
                born.born_with = born.mounts()?;
                Ok(born)
            }
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

    /// What it has mounted.
    pub fn mounts(&self) -> Result<Vec<Mounted>> {
        let file = format!("/proc/{}/mountinfo", self.pid);
        let table = std::fs::read_to_string(&file).map_err(|error| Error::lab_io(file, error))?;
        Ok(mounts::parse(&table))
    }

    /// The same without what was there before it: that is somebody else's, wherever it is by now.
    pub fn own_mounts(&self) -> Result<Vec<Mounted>> {
        let is_own = |mount: &Mounted| !self.born_with.iter().any(|before| mount.is(before));
        Ok(self.mounts()?.into_iter().filter(is_own).collect())
    }

    /// Ends it: once this returns, all within is gone.
    pub fn end(mut self, deadline: Instant) -> Result<()> {
        self.kill();
        let ended = wait_until(deadline, "the end of a namespace", || self.ended().is_some());
        ended.map_err(Error::of_lab)
    }

    fn kill(&self) {
        let first = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = first {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL); // it may have ended
        }
    }

    /// A path within, as this machine sees it.
    pub fn seen(&self, path: &Path) -> std::path::PathBuf {
        let root = format!("/proc/{}/root", self.pid);
        Path::new(&root).join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Whether a server takes connections from the network of a process; none, where nobody can tell. It refuses them, which
/// is an answer.
pub fn reaches(pid: u32, address: &str) -> Option<bool> {
    let network = std::fs::File::open(format!("/proc/{pid}/ns/net")).ok()?;
    let address: SocketAddr = format!("{address}:{UNUSED}").parse().ok()?;
    let asking = std::thread::spawn(move || {
        // of this thread alone, which ends with that
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).ok()?;
        let answer = TcpStream::connect_timeout(&address, ANSWER);
        Some(answer.map_or_else(|error| error.kind() == ErrorKind::ConnectionRefused, |_| true))
    });
    asking.join().ok().flatten()
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.kill();
        // all within is gone then; a process that the kernel does not let go of must not keep us
        let _ = wait_until(Instant::now() + LONGEST_END, "the end of a namespace", || self.ended().is_some());
    }
}
