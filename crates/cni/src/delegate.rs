//! The plugin that does the work.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use super::answer::CniError;
use super::environment::Command;
use super::object::Object;

/// The file `name` in one of the folders.
pub fn find(name: &str, path: &[PathBuf]) -> Result<PathBuf, CniError> {
    let found = path.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| {
        let folders: Vec<_> = path.iter().map(|folder| folder.display().to_string()).collect();
        CniError::internal(format!("failed to find plugin \"{name}\" in path [{}]", folders.join(" ")))
    })
}

/// Runs it with our environment and `stdin`; what it prints for `command`. Its standard error is ours.
pub fn run(plugin: &Path, stdin: &[u8], command: Command) -> Result<Vec<u8>, CniError> {
    let cannot = |error: std::io::Error| CniError::internal(format!("failed to run {}: {error}", plugin.display()));
    let output = std::process::Command::new(absolute(plugin))
        .stdin(in_memory(stdin).map_err(cannot)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(cannot)?;
    if !output.status.success() {
        return Err(failure(plugin, &output));
    }
    if command != Command::Add {
        return Ok(Vec::new());
    }
    match Object::read(&output.stdout) {
        Ok(_) if !output.stdout.trim_ascii().is_empty() => Ok(output.stdout),
        Ok(_) => Err(undecodable(plugin, "it printed nothing", &output.stdout)),
        Err(why) => Err(undecodable(plugin, &why, &output.stdout)),
    }
}

/// A path that is not looked up in PATH.
fn absolute(plugin: &Path) -> PathBuf {
    std::path::absolute(plugin).unwrap_or_else(|_| plugin.to_owned())
}

/// A file that both can hold whole: no pipe that two may block each other on.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("network configuration", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// The plugin's own error, or what can be said of its end.
fn failure(plugin: &Path, output: &Output) -> CniError {
    if let Some(error) = CniError::read(&output.stdout) {
        return error;
    }
    let end = match output.status.signal() {
        Some(signal) => format!("was killed by signal {signal}"),
        None => format!("ended with exit code {}", output.status.code().unwrap_or_default()),
    };
    let printed = String::from_utf8_lossy(&output.stdout);
    let words = match printed.trim() {
        "" => "no error message".to_owned(),
        words => format!("{:?}", words.chars().take(500).collect::<String>()),
    };
    CniError::internal(format!("{} {end}: {words}", plugin.display()))
}

fn undecodable(plugin: &Path, why: &str, printed: &[u8]) -> CniError {
    let shown: String = String::from_utf8_lossy(printed).chars().take(500).collect();
    let message = format!("the result of {} is no JSON object: {why}", plugin.display());
    CniError { details: shown, ..CniError::new(CniError::DECODING, message) }
}
