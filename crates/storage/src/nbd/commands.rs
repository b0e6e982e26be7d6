//! Running the tools that the driver is made of.

use std::process::{Command, Stdio};

use holdfast_net::error::{Error, Kind, Result};

/// What a tool printed; an error says what it said.
pub fn run(words: &[&str]) -> Result<String> {
    let (name, arguments) = words.split_first().ok_or_else(|| Error::invalid("no command"))?;
    let done = Command::new(name).args(arguments).stdin(Stdio::null()).output();
    let done = done.map_err(|error| Error::new(Kind::Expectation, format!("{name}: {error}")))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.trim().lines().last().unwrap_or_default();
    Err(Error::new(Kind::Expectation, format!("{}: {}: {last}", words.join(" "), done.status)))
}
