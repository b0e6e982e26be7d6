//! What makes the active control processor give up: politely, or not at all politely.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use super::Device;
use super::path_form::first_words;
use super::roles::Pair;
use crate::error::{Error, Kind, Result, SwitchoverFault};
use crate::gnmi::form::refuses_form;
use crate::wire::gnoi::system::RebootMethod;

/// How long a command may run before it counts as hung.
const COMMAND: Duration = Duration::from_secs(120);

/// What fails the active control processor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trigger {
    /// gNOI System.SwitchControlProcessor to the standby.
    #[default]
    Switch,
    /// gNOI System.Reboot of the active control processor.
    RebootActive,
    /// gNOI System.KillProcess of a process that the active cannot do without, with SIGKILL.
    Kill(String),
    /// A command of the user's, such as for a power socket; the shell reads it.
    Command(String),
}

impl Trigger {
    /// How it was that a device did nothing: it had `agreed`, or nobody knows.
    pub(super) fn came_to_nothing(&self, agreed: bool) -> &'static str {
        match (self, agreed) {
            (Self::Command(_), true) => "the command ended well, and the device did nothing",
            (_, true) => AGREED,
            (_, false) => UNANSWERED,
        }
    }
}

/// A device said that it would, and did not.
pub(super) const AGREED: &str = "the device agreed and did nothing";
/// A device said nothing, and did nothing.
pub(super) const UNANSWERED: &str = "the device gave no answer and did nothing";

impl FromStr for Trigger {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            None if text == "gnoi" => Ok(Self::Switch),
            None if text == "reboot-active" => Ok(Self::RebootActive),
            Some(("kill", process)) if !process.is_empty() => Ok(Self::Kill(process.to_owned())),
            Some(("command", command)) if !command.trim().is_empty() => Ok(Self::Command(command.to_owned())),
            _ => Err(Error::invalid(format!("there is no trigger {text:?}"))
                .hint("give gnoi, reboot-active, kill:PROCESS or command:…")),
        }
    }
}

impl Device {
    /// Fails the active in a way that it does not agree to. An answer may or may not come.
    pub(super) async fn fail_active(&self, trigger: &Trigger, before: &Pair, deadline: Instant) -> Result<bool> {
        let asked = match trigger {
            Trigger::Switch => Ok(()),
            Trigger::RebootActive => self.reboot_control_processor(&before.primary.name, deadline).await,
            Trigger::Kill(process) => self.system.kill_process(process, false, deadline).await,
            Trigger::Command(command) => self.run_command(command, before).await,
        };
        match asked {
            Err(error) if error.kind == Kind::OutcomeUnknown => Ok(false), // evidence will tell
            Err(error) => Err(refused(error)),
            Ok(()) => Ok(true),
        }
    }

    /// By the path that the device knows it by: in each form, as long as it is refused and nothing happened.
    async fn reboot_control_processor(&self, name: &str, deadline: Instant) -> Result<()> {
        let mut refusals = Vec::new();
        for form in self.path_forms(false) {
            if !refusals.is_empty() && !self.is_primary(name, deadline).await? {
                return Ok(()); // it fell after all; evidence will tell
            }
            let path = form.path(name);
            let message = "holdfast: fail the active";
            let control_processors = std::slice::from_ref(&path);
            match self.system.reboot(RebootMethod::Cold, control_processors, message, true, deadline).await {
                Ok(()) => {
                    self.took(form);
                    return Ok(());
                }
                Err(error) if refuses_form(&error) => refusals.push((form.describe(name), error)),
                Err(error) => return Err(error),
            }
        }
        Err(first_words(refusals))
    }

    async fn run_command(&self, command: &str, before: &Pair) -> Result<()> {
        let mut shell = tokio::process::Command::new("/bin/sh");
        shell
            .args(["-c", command])
            .env("HOLDFAST_ACTIVE", &before.primary.name)
            .env("HOLDFAST_STANDBY", &before.secondary.name)
            .env("HOLDFAST_DEVICE", self.name())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let ended = tokio::time::timeout(COMMAND, shell.output()).await;
        let output = ended
            .map_err(|_| Error::invalid(format!("the command did not end within {COMMAND:?}: {command}")))?
            .map_err(|error| {
                Error::invalid(format!("the command cannot be run: {error}: {command}")).caused_by(Arc::new(error))
            })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().last().unwrap_or_default().to_owned();
        Err(Error::invalid(format!("the command failed ({}): {command}: {said}", output.status))
            .hint("it must fail the active control processor and exit with 0"))
    }
}

fn refused(error: Error) -> Error {
    let fault = match error.code() {
        Some(Code::Unimplemented) => SwitchoverFault::Unimplemented,
        Some(_) => SwitchoverFault::Refused,
        None => return error,
    };
    let code = error.code().map_or("no status", crate::error::code_name);
    Error { kind: Kind::Switchover(fault), message: format!("{code}: {}", error.message), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_read_as_they_are_typed() {
        assert_eq!("gnoi".parse::<Trigger>().expect("known"), Trigger::Switch);
        assert_eq!("kill:sysdb".parse::<Trigger>().expect("known"), Trigger::Kill("sysdb".to_owned()));
        let command = "command:ssh pdu 'off: 7'";
        assert_eq!(command.parse::<Trigger>().expect("known"), Trigger::Command("ssh pdu 'off: 7'".to_owned()));
        for wrong in ["", "kill", "kill:", "command: ", "pull:7"] {
            assert!(wrong.parse::<Trigger>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_device_that_did_nothing_agreed_only_where_it_said_so() {
        let command = Trigger::Command("pdu off".to_owned());
        for (trigger, agreed, said) in [
            (Trigger::Switch, true, AGREED),
            (Trigger::Switch, false, UNANSWERED),
            (Trigger::RebootActive, true, AGREED),
            (command, true, "the command ended well, and the device did nothing"),
        ] {
            assert_eq!(trigger.came_to_nothing(agreed), said, "{trigger:?}");
        }
    }
}
