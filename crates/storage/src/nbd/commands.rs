//! Running the tools that the driver is made of.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::tools;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For what serves a volume to do so.
const START: Duration = Duration::from_secs(5);

/// What a tool printed, in time; an error says what it said.
pub fn run(words: &[&str], deadline: Instant) -> Result<String> {
    let (name, arguments) = words.split_first().ok_or_else(|| Error::invalid("no command"))?;
    let mut command = Command::new(name);
    command.args(arguments);
    Ok(tools::run(command, &words.join(" "), deadline)?.trim().to_owned())
}

/// Waits until a process of a tool serves; one that does not is ended.
pub fn wait_serving(process: &mut Child, name: &str, deadline: Instant, serves: impl Fn() -> bool) -> Result<()> {
    let mut ended = None;
    let waited = wait_until(deadline.min(Instant::now() + START), name, || {
        ended = process.try_wait().ok().flatten();
        ended.is_some() || serves()
    });
    let Some(why) = ended.map(|status| format!("{name} ended: {status}")).or(waited.err().map(|late| late.message))
    else {
        return Ok(());
    };
    let _ = process.kill(); // it may have ended
    let _ = process.wait();
    Err(Error::lab(why))
}
