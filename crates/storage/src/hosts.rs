//! The user's own hosts. Harm is done to them by commands of the user's: ssh, ipmitool, a cloud's.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::command;
use super::faults::{Fault, Faults, Network, Part};
use super::mask::Mask;
use holdfast_net::error::{Error, Result};

/// How much of what a command printed is shown, in bytes from its end.
const SHOWN: usize = 400;

/// Hosts, and the commands that harm them.
pub struct Hosts {
    /// By node: what {address} is in a command.
    addresses: BTreeMap<String, String>,
    /// By name.
    commands: BTreeMap<String, String>,
    /// Networks that are cut, by node.
    cuts: Mutex<BTreeSet<(String, &'static str)>>,
    /// Nodes whose power was switched off.
    off: Mutex<BTreeSet<String>>,
    /// What no error may tell of them and of what they print.
    mask: Mask,
}

/// The names of the commands for a fault: one that does it, one that undoes it. A fault without its undo is none.
fn names(fault: Fault) -> (&'static str, &'static str) {
    match fault {
        Fault::PowerOff | Fault::PowerOn => ("power_off", "power_on"),
        Fault::Cut(Network::All) | Fault::Heal => ("cut", "heal"),
        Fault::Cut(Network::Storage) => ("cut_storage", "heal_storage"),
        Fault::Cut(Network::Control) => ("cut_control", "heal_control"),
        Fault::Stop(Part::Plugin) => ("stop_plugin", "start_plugin"),
        Fault::Kill(Part::Plugin) => ("kill_plugin", "start_plugin"),
        Fault::Hang(Part::Plugin) | Fault::Start(Part::Plugin) => ("hang_plugin", "start_plugin"),
        Fault::Stop(Part::Server) => ("stop_server", "start_server"),
        Fault::Kill(Part::Server) => ("kill_server", "start_server"),
        Fault::Hang(Part::Server) | Fault::Start(Part::Server) => ("hang_server", "start_server"),
        Fault::Stop(Part::Runtime) => ("stop_runtime", "start_runtime"),
        Fault::Kill(Part::Runtime) => ("kill_runtime", "start_runtime"),
        Fault::Hang(Part::Runtime) | Fault::Start(Part::Runtime) => ("hang_runtime", "start_runtime"),
        Fault::Stop(Part::Kubelet) => ("stop_kubelet", "start_kubelet"),
        Fault::Kill(Part::Kubelet) => ("kill_kubelet", "start_kubelet"),
        Fault::Hang(Part::Kubelet) | Fault::Start(Part::Kubelet) => ("hang_kubelet", "start_kubelet"),
        Fault::Stop(Part::ApiServer) => ("stop_api_server", "start_api_server"),
        Fault::Kill(Part::ApiServer) => ("kill_api_server", "start_api_server"),
        Fault::Hang(Part::ApiServer) | Fault::Start(Part::ApiServer) => ("hang_api_server", "start_api_server"),
        Fault::Stop(Part::Etcd) => ("stop_etcd", "start_etcd"),
        Fault::Kill(Part::Etcd) => ("kill_etcd", "start_etcd"),
        Fault::Hang(Part::Etcd) | Fault::Start(Part::Etcd) => ("hang_etcd", "start_etcd"),
        Fault::LiveRestore(_) => ("live_restore_on", "live_restore_off"),
        Fault::Drain | Fault::Uncordon => ("drain", "uncordon"),
    }
}

fn undoes(fault: Fault) -> bool {
    matches!(fault, Fault::PowerOn | Fault::Heal | Fault::Start(_) | Fault::LiveRestore(false) | Fault::Uncordon)
}

/// The last bytes of a text, so many at most.
fn end_of(text: &str, bytes: usize) -> &str {
    let from = (text.len().saturating_sub(bytes)..=text.len()).find(|from| text.is_char_boundary(*from));
    text.get(from.unwrap_or(text.len())..).unwrap_or_default()
}

impl Hosts {
    /// With the address of each, and commands with {node} and {address} in them.
    pub fn new(addresses: BTreeMap<String, String>, commands: BTreeMap<String, String>, mask: Mask) -> Self {
        Self { addresses, commands, cuts: Mutex::default(), off: Mutex::default(), mask }
    }

    /// Whether the power of a node was switched off here, and not on again.
    pub fn is_off(&self, node: &str) -> bool {
        self.off.lock().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    /// What is known of the power of a node once a fault took.
    fn note_power(&self, node: &str, fault: Fault) {
        let mut off = self.off.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Fault::PowerOff => drop(off.insert(node.to_owned())),
            Fault::PowerOn => drop(off.remove(node)),
            _ => {}
        }
    }

    fn run(&self, name: &str, node: &str, deadline: Instant) -> Result<()> {
        let command = self.commands.get(name).ok_or_else(|| Error::invalid(format!("there is no command {name}")))?;
        let address = self.addresses.get(node).ok_or_else(|| Error::invalid(format!("there is no host {node:?}")))?;
        let command = command.replace("{node}", node).replace("{address}", address);
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]);
        // hidden before it is cut: half a secret is not known for one
        let command = self.mask.hide(&command);
        let done = command::to_end(shell, "", deadline).map_err(|error| Error::lab_io(format!("{name}: sh"), error))?;
        let printed = self.mask.hide(&format!("{}\n{}", done.printed.trim(), done.complaint.trim()));
        let tail = end_of(printed.trim(), SHOWN);
        match done.status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(Error::lab(format!("{name}: {status}: {tail}: {command}"))),
            None => Err(Error::lab(format!("{name}: its end did not come in time: {tail}: {command}"))),
        }
    }

    /// Undoes each cut by the command that belongs to it.
    fn heal(&self, node: &str, deadline: Instant) -> Result<()> {
        let held = std::mem::take(&mut *self.cuts.lock().unwrap_or_else(PoisonError::into_inner));
        let (own, others): (BTreeSet<_>, BTreeSet<_>) = held.into_iter().partition(|(cut, _)| cut == node);
        *self.cuts.lock().unwrap_or_else(PoisonError::into_inner) = others;
        own.iter().try_for_each(|(_, undo)| self.run(undo, node, deadline))
    }
}

impl Faults for Hosts {
    fn lacks(&self, fault: Fault) -> Option<String> {
        if matches!(fault, Fault::Heal | Fault::LiveRestore(false)) {
            return None; // nothing to undo is nothing to lack
        }
        let (does, undo) = names(fault);
        let needed = if undoes(fault) { vec![undo] } else { vec![does, undo] };
        let lacking = needed.into_iter().find(|name| !self.commands.contains_key(*name))?;
        Some(format!("the provider file has no command faults: {lacking}"))
    }

    fn inflict(&self, node: &str, fault: Fault, deadline: Instant) -> Result<()> {
        let (does, undo) = names(fault);
        let took = match fault {
            Fault::Heal => self.heal(node, deadline),
            Fault::LiveRestore(false) if !self.commands.contains_key(undo) => Ok(()),
            _ if undoes(fault) => self.run(undo, node, deadline),
            _ => {
                if matches!(fault, Fault::Cut(_)) {
                    // whatever a command that failed did is undone as well
                    self.cuts.lock().unwrap_or_else(PoisonError::into_inner).insert((node.to_owned(), undo));
                }
                self.run(does, node, deadline)
            }
        };
        took.inspect(|()| self.note_power(node, fault))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hosts(commands: &[(&str, &str)]) -> Hosts {
        let texts = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Hosts::new(texts(&[("a", "192.0.2.1")]), texts(commands), Mask::default())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_fault_without_its_undo_is_none() {
        let hosts = hosts(&[("power_off", "true"), ("cut", "true"), ("heal", "true")]);
        let lacks = hosts.lacks(Fault::PowerOff).expect("no power_on");
        assert!(lacks.contains("power_on"), "{lacks}");
        assert_eq!(hosts.lacks(Fault::Cut(Network::All)), None);
        assert!(hosts.lacks(Fault::Cut(Network::Storage)).is_some());
    }

    #[test]
    fn what_was_cut_is_healed_by_its_own_command_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let note = |word: &str| format!("echo {word} {{node}} {{address}} >> {}", log.display());
        let (cut, heal) = (note("cut"), note("heal"));
        let hosts = hosts(&[("cut_storage", &cut), ("heal_storage", &heal)]);
        hosts.inflict("a", Fault::Cut(Network::Storage), soon()).expect("cut");
        hosts.inflict("a", Fault::Heal, soon()).expect("healed");
        hosts.inflict("a", Fault::Heal, soon()).expect("nothing to heal");
        assert_eq!(std::fs::read_to_string(log).expect("written"), "cut a 192.0.2.1\nheal a 192.0.2.1\n");
    }

    #[test]
    fn no_error_tells_a_secret_of_a_command() {
        let commands = [("kill_plugin", "P=hunter2; echo I am $P >&2; exit 1"), ("start_plugin", "true")];
        let Hosts { addresses, commands, .. } = hosts(&commands);
        let hosts = Hosts::new(addresses, commands, Mask::new(["hunter2".to_owned()]));
        let error = hosts.inflict("a", Fault::Kill(Part::Plugin), soon()).expect_err("it fails");
        assert_eq!(error.kind, holdfast_net::error::Kind::Lab);
        let said = error.to_string();
        assert!(said.contains("I am ***") && !said.contains("hunter2"), "{said}");
    }

    #[test]
    fn a_command_that_fails_or_does_not_end_says_so() {
        let hosts = hosts(&[("kill_plugin", "echo no route to host; exit 255"), ("start_plugin", "tail -f /dev/null")]);
        let refused = hosts.inflict("a", Fault::Kill(Part::Plugin), soon()).expect_err("it fails").to_string();
        assert!(refused.contains("kill_plugin") && refused.contains("255: no route to host"), "{refused}");
        let at = Instant::now() + Duration::from_millis(100);
        let late = hosts.inflict("a", Fault::Start(Part::Plugin), at).expect_err("it never ends").to_string();
        assert!(late.contains("did not come in time"), "{late}");
    }
}
