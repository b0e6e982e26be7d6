//! Running the tools that a lab is made of. Whatever becomes of one of them is the lab's affair, never the provider's.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command::{Done, to_end};
use holdfast_net::error::{Error, Result};

/// No tool may take longer, so that whoever waits for what is made of it hears of it before it gives up itself.
const LONGEST: Duration = Duration::from_secs(5);

impl Done {
    /// What it printed, where it ended well.
    pub fn well(self, name: &str) -> Result<String> {
        let said = self.complaint.trim();
        match self.status {
            Some(status) if status.success() => Ok(self.printed),
            Some(status) => Err(Error::lab(format!("{name}: {status}: {said}"))),
            None => Err(Error::lab(format!("{name} did not end in time: {said}"))),
        }
    }
}

/// Runs a tool to its end, in time; what it printed. `name` is what an error calls it.
pub fn run(command: Command, name: &str, deadline: Instant) -> Result<String> {
    run_with_input(command, "", name, deadline)
}

/// The same, of a tool that is told what to do on its standard input.
pub fn run_with_input(command: Command, input: &str, name: &str, deadline: Instant) -> Result<String> {
    let done = to_end(command, input, deadline.min(Instant::now() + LONGEST));
    done.map_err(|error| Error::lab_io(name, error))?.well(name)
}

/// A path as a word of a shell's line.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_net::error::Kind;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_tool_is_told_and_heard() {
        assert_eq!(run_with_input(shell("cat; echo unheard >&2"), "said", "cat", soon()).expect("it ends"), "said");
    }

    #[test]
    fn whatever_becomes_of_a_tool_is_the_labs_and_named() {
        let absent = Command::new("/nowhere/tool");
        let brief = Instant::now() + Duration::from_millis(100);
        for (command, deadline, said) in [
            (shell("echo no such device >&2; exit 3"), soon(), "tool: exit status: 3: no such device"),
            (shell("kill -KILL $$"), soon(), "tool: signal: 9 (SIGKILL)"),
            (shell("echo so far >&2; sleep 600 & wait"), brief, "tool did not end in time"),
            (absent, soon(), "tool: No such file"),
        ] {
            let error = run(command, "tool", deadline).expect_err(said);
            assert_eq!(error.kind, Kind::Lab);
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
