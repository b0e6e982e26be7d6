//! Starting what runs on a node from then on: a plugin, the server, an engine. And what it printed.

use std::io::{PipeReader, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::namespace::Namespace;
use super::nodes::Namespaces;
use super::tree::{MARK, Tree};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking;
use holdfast_net::waiting::blocking::wait_until;

/// For a process to start within a node, which is the lab's affair.
const START: Duration = Duration::from_secs(5);
/// What is kept of what a part prints, in bytes: twice that at times.
const KEPT: usize = 512 << 10;
/// The last lines that are told of that.
const TOLD: usize = 5;
/// For a plugin that ends at once to have ended.
const AT_ONCE: Duration = Duration::from_secs(1);
/// From one look whether a plugin is ready to the next.
const LOOK: Duration = Duration::from_millis(50);
/// Tells where the process is, joins its control group where there is one, and becomes the command's shell: the line is
/// its own affair, whatever is in it.
const BEGIN: &str = r#"[ -z "$1" ] || echo 0 > "$1/cgroup.procs"
[ -z "$2" ] || export "$2"
echo $$ > "$0"; exec sh -c "$3""#;

/// A part that was started.
#[derive(Clone)]
pub struct Started {
    /// The process outside that waits for its end, and leads its process group.
    pub waiting: u32,
    ended: Arc<Mutex<Option<ExitStatus>>>,
}

impl Started {
    /// The process group that its command began in.
    pub fn group(&self) -> i32 {
        i32::try_from(self.waiting).unwrap_or_default()
    }

    /// How its command ended, where it did; what that started may live on.
    pub fn ended(&self) -> Option<ExitStatus> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets who waits for its end go on: it was stopped with it, and would never see it.
    pub fn wake(&self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.group()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT); // it may have ended
        }
    }
}

impl Namespaces {
    /// Starts a part by a shell's line; what it prints goes into a log, its process id into a file. In a tree it can be
    /// found again with all that it starts.
    pub(super) fn start_in(
        &self,
        namespace: &Namespace,
        name: &str,
        command: &str,
        tree: Option<Tree>,
    ) -> Result<Started> {
        let folder = self.options.folder.join(name);
        let disk = |error: std::io::Error| Error::lab_io(folder.display(), error);
        std::fs::create_dir_all(&folder).map_err(disk)?;
        let pid = folder.join("pid");
        let _ = std::fs::remove_file(&pid); // of one that is no more
        let (group, mark) = match tree {
            Some(mut tree) => {
                let group = tree.prepare().map(|group| group.display().to_string());
                (group.unwrap_or_default(), format!("{MARK}={}", tree.mark()))
            }
            None => (String::new(), String::new()),
        };
        let (printed, printer) = std::io::pipe().map_err(disk)?;
        let mut starting = namespace.command(&["sh", "-c", BEGIN, &pid.display().to_string(), &group, &mark, command]);
        starting.stdout(printer.try_clone().map_err(disk)?).stderr(printer).process_group(0);
        starting.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        let mut child = starting.spawn().map_err(|error| Error::lab_io("nsenter", error))?;
        drop(starting); // which holds the pipe open
        let log = folder.join("log");
        let keeping = std::thread::spawn(move || keep(printed, &log));
        wait_started(&mut child, &pid, name)?;
        let ended = Arc::new(Mutex::new(None));
        let started = Started { waiting: child.id(), ended: ended.clone() };
        std::thread::spawn(move || {
            let status = child.wait().ok(); // so that it does not stay as a zombie
            // what it printed is told with its end; what it started may hold the pipe for longer
            let _ = wait_until(Instant::now() + AT_ONCE, "what it printed", || keeping.is_finished());
            *ended.lock().unwrap_or_else(PoisonError::into_inner) = status;
        });
        Ok(started)
    }

    /// What a part printed last, in one line: nothing in it acts on what shows it.
    pub(super) fn printed(&self, name: &str) -> String {
        let bytes = std::fs::read(self.options.folder.join(name).join("log")).unwrap_or_default();
        // hidden as a whole: a secret may be split over lines
        let text = self.options.mask.hide(&String::from_utf8_lossy(&bytes));
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(TOLD)..];
        last.iter().map(|line| plain(line)).collect::<Vec<_>>().join(" | ")
    }

    /// That nothing of a plugin lives any more, and how it ended.
    pub(super) fn plugin_end(&self, node: &str) -> Option<Error> {
        let started = self.state().nodes.get(node)?.plugin.clone()?;
        let status = started.ended()?;
        if !self.tree(node).mortal(started.group()).is_empty() {
            return None;
        }
        let printed = self.printed(node);
        let said = if printed.is_empty() { "it printed nothing".to_owned() } else { format!("it printed: {printed}") };
        let error = Error::new(Kind::Expectation, format!("the plugin on {node} ended by itself: {status}; {said}"));
        Some(error.hint("`start` is a shell's line; the plugin must stay there, or start what stays"))
    }

    /// Waits until the plugin on a node is up, as its user can tell by a command; without one, until there is a socket. An
    /// error where it ended instead.
    pub(super) fn await_start(&self, node: &str, deadline: Instant) -> Result<()> {
        let Some(ready) = self.options.ready.as_ref().map(|ready| self.filled(ready, node)) else {
            let (soon, socket) = (deadline.min(Instant::now() + AT_ONCE), self.socket(node));
            // one that is late, or makes its socket elsewhere, is asked all the same
            let _ = wait_until(soon, "a socket", || socket.exists() || self.plugin_end(node).is_some());
            return self.plugin_end(node).map_or(Ok(()), Err);
        };
        let look = || match self.plugin_end(node) {
            Some(ended) => Ok(Err(ended)),
            None => self.within(node, |namespace| self.ask_ready(namespace, &ready, deadline)).map(Ok),
        };
        blocking::until(deadline, LOOK, look).map_err(|error: Error| {
            let message = format!("the plugin on {node} did not get ready, as `ready` says: {}", plain(&error.message));
            Error::new(Kind::Timeout, message)
        })?
    }

    fn ask_ready(&self, namespace: &Namespace, ready: &str, deadline: Instant) -> Result<()> {
        let mut asking = namespace.command(&["sh", "-c", ready]);
        asking.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        crate::tools::run(asking, "ready", deadline).map(drop)
    }
}

/// A line of what somebody printed as it may be shown: what does not print is escaped.
fn plain(line: &str) -> String {
    line.chars().flat_map(|each| if each.is_control() { each.escape_default().collect() } else { vec![each] }).collect()
}

/// Keeps what comes in a file until nothing can come any more, and no more of it than its end.
fn keep(mut from: PipeReader, log: &Path) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            return;
        }
        let _ = append(log, &buffer[..count]); // a full disk is told by whoever needs it
    }
}

/// More than one may print into one log: who is started anew, and what the one before left.
static LOGS: Mutex<()> = Mutex::new(());

fn append(log: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let _alone = LOGS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = std::fs::OpenOptions::new().read(true).append(true).create(true).open(log)?;
    file.write_all(bytes)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length <= 2 * KEPT {
        return Ok(());
    }
    let mut all = Vec::with_capacity(length);
    file.rewind()?;
    file.read_to_end(&mut all)?;
    let last = &all[all.len() - KEPT..];
    // whole lines alone: half a secret is not known for one
    let whole = last.iter().position(|byte| *byte == b'\n').map_or(&last[last.len()..], |end| &last[end + 1..]);
    std::fs::write(log, whole)
}

/// Waits until a shell within has told its process id: whoever did not get so far was never started.
pub(super) fn wait_started(child: &mut Child, pid: &Path, what: &str) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_the_end_of_what_is_printed_in_whole_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let (printed, mut printer) = std::io::pipe().expect("a pipe");
        let (copy, to) = (log.clone(), folder.path().to_owned());
        let keeping = std::thread::spawn(move || keep(printed, &copy));
        for number in 0..400_000 {
            writeln!(printer, "line {number:08}").expect("written");
        }
        drop(printer);
        keeping.join().expect("no panic");
        let kept = std::fs::read_to_string(&log).expect("a log");
        assert!(kept.len() <= 2 * KEPT && kept.len() >= KEPT / 2, "{}", kept.len());
        assert!(kept.lines().all(|line| line.len() == 13), "{to:?}");
        assert!(kept.ends_with("line 00399999\n"));
    }

    #[test]
    fn what_a_plugin_prints_acts_on_no_terminal() {
        assert_eq!(plain("no\x1b[2J such\u{7} thing"), "no\\u{1b}[2J such\\u{7} thing");
    }
}
