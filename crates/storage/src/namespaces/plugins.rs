//! The plugins on the nodes, and what else a node runs from then on: their starts, their ends, what they printed.

use std::os::unix::process::CommandExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::namespace::Namespace;
use super::nodes::{CONTROLLER, Namespaces};
use super::starting::{Started, keep, plain, wait_started};
use super::tree::{MARK, Tree};
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking;
use holdfast_net::waiting::blocking::wait_until;

/// The last lines that are told of that.
const SHOWN: usize = 5;
/// From one look whether a plugin is ready to the next.
const LOOK: Duration = Duration::from_millis(50);
/// Tells where the process is, joins its control group where there is one, and becomes the command's shell: the line is
/// its own affair, whatever is in it.
const BEGIN: &str = r#"[ -z "$1" ] || echo 0 > "$1/cgroup.procs"
[ -z "$2" ] || export "$2"
echo $$ > "$0"; exec sh -c "$3""#;
/// For a command that does nothing.
const ASKED: Duration = Duration::from_secs(5);
/// For a plugin that ends at once to have ended.
const AT_ONCE: Duration = Duration::from_secs(1);

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
        let last = &lines[lines.len().saturating_sub(SHOWN)..];
        last.iter().map(|line| plain(line)).collect::<Vec<_>>().join(" | ")
    }

    /// That nothing of a plugin lives any more, and how it ended. One that ended well may have been started elsewhere.
    pub(super) fn plugin_end(&self, node: &str) -> Option<(ExitStatus, Error)> {
        let started = self.state().nodes.get(node)?.plugin.clone()?;
        let status = started.ended()?;
        if !self.tree(node).mortal(started.group()).is_empty() {
            return None;
        }
        let hint = "`start` is a shell's line; the plugin must stay there, or start what stays";
        Some((status, self.ended(node, &format!("the plugin on {node}"), status, hint)))
    }

    /// How the one controller of all nodes ended, where it did not end well: it may have been started elsewhere.
    pub(super) fn controller_end(&self) -> Option<Error> {
        let status = self.state().controller.clone()?.ended().filter(|status| !status.success())?;
        Some(self.ended(CONTROLLER, "the controller", status, "`controller: start` is a shell's line, as `start` is"))
    }

    fn ended(&self, part: &str, shown: &str, status: ExitStatus, hint: &str) -> Error {
        Error::new(Kind::Expectation, self.how_it_ended(part, shown, status)).hint(hint.to_owned())
    }

    /// That a part ended by itself, with what it printed last.
    pub(super) fn how_it_ended(&self, part: &str, shown: &str, status: ExitStatus) -> String {
        let printed = self.printed(part);
        let said = if printed.is_empty() { "it printed nothing".to_owned() } else { format!("it printed: {printed}") };
        format!("{shown} ended by itself: {status}; {said}")
    }

    /// That a plugin ended, and not well.
    pub(super) fn plugin_failure(&self, node: &str) -> Option<Error> {
        self.plugin_end(node).filter(|(status, _)| !status.success()).map(|(_, error)| error)
    }

    /// Waits until the plugin on a node is up, as its user can tell by a command; without one, until there is a socket. An
    /// error where it ended instead.
    pub(super) fn await_start(&self, node: &str, deadline: Instant) -> Result<()> {
        let Some(ready) = self.options.ready.as_ref().map(|ready| self.filled(ready, node)) else {
            let (soon, socket) = (deadline.min(Instant::now() + AT_ONCE), self.socket(node));
            // one that is late, or makes its socket elsewhere, is asked all the same
            let _ = wait_until(soon, "a socket", || socket.exists() || self.plugin_end(node).is_some());
            return self.plugin_failure(node).map_or(Ok(()), Err);
        };
        let look = || match self.plugin_failure(node) {
            Some(ended) => Ok(Err(ended)),
            None => self.within(node, |namespace| self.ask_ready(namespace, &ready, deadline)).map(Ok),
        };
        blocking::until(deadline, LOOK, look).map_err(|error: Error| {
            // what cannot be asked for anything has said nothing of the plugin
            let asked = self.within(node, |namespace| namespace.run(&["true"], Instant::now() + ASKED));
            if let Err(trouble) = asked {
                return trouble;
            }
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
