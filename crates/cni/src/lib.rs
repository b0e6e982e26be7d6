//! `cni-bridge-fp`: evaluates a failpoint, then runs the bridge plugin. Source: the CNI specification, and the
//! behaviour of containerd's plugin of that name. Linux alone: elsewhere there is nothing in here.
#![cfg(target_os = "linux")]

mod answer;
mod delegate;
mod effect;
mod environment;
mod failpoint_file;
mod hit_log;
mod lock;
mod network_config;
mod object;
mod place;
mod runtime_watch;

use std::io::Read;
use std::process::ExitCode;

use answer::{Answer, CniError};
use effect::Passed;
use environment::{CONF_ROOT, Command, Environment};
use failpoint_file::{FailpointFile, Point};
use hit_log::HitLog;
use network_config::NetworkConfig;
use runtime_watch::RuntimeWatch;

/// What this plugin is called, and the process too.
pub const NAME: &str = "cni-bridge-fp";
/// The versions of the CNI specification that it takes; what bridge makes of one is bridge's own affair.
pub const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Every failpoint of the plugin, which are the keys of a failpoint file, with a line on each.
pub fn points() -> impl Iterator<Item = (&'static str, &'static str)> {
    Point::ALL.into_iter().map(|point| (point.key(), point.help()))
}

/// The plugin, from its environment and standard input to its exit code.
pub fn main() -> ExitCode {
    let _ = rustix::thread::set_name(c"cni-bridge-fp"); // whatever the file is called; a name is no reason to fail
    let watch = RuntimeWatch::begin();
    let command = match environment::command() {
        Ok(Some(Command::Version)) => return Answer::Result(answer::versions()).give(),
        Ok(Some(command)) => command,
        Ok(None) => return Answer::About.give(),
        Err(error) => return Answer::Error(error).give(),
    };
    run(command, &watch).unwrap_or_else(Answer::Error).give()
}

fn run(command: Command, watch: &RuntimeWatch) -> Result<Answer, CniError> {
    let environment = Environment::read(command)?;
    let mut stdin = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut stdin);
    read.map_err(|error| CniError::new(CniError::IO, format!("error reading from stdin: {error}")))?;
    let config = NetworkConfig::read(&stdin)?;
    let mut log = HitLog::new(config.hit_log.as_deref(), command, &environment);
    let answer = work(command, &environment, &config, stdin, watch, &mut log).unwrap_or_else(Answer::Error);
    log.write(&answer);
    Ok(answer)
}

fn work(
    command: Command,
    environment: &Environment,
    config: &NetworkConfig,
    mut stdin: Vec<u8>,
    watch: &RuntimeWatch,
    log: &mut HitLog,
) -> Result<Answer, CniError> {
    let roots = [(environment.conf_root.as_deref(), CONF_ROOT), (config.conf_root.as_deref(), "confRoot")];
    let roots: Vec<_> = roots.into_iter().filter_map(|(root, origin)| Some((root?, origin))).collect();
    let file = config.conf_path.as_deref().map(|path| FailpointFile::at(path, &roots)).transpose()?;
    let mut pass = |point: Option<Point>, data: &mut Vec<u8>| match (&file, point) {
        (Some(file), Some(point)) => {
            let fired = file.evaluate(point, watch)?;
            log.fired(point, file, fired.as_ref());
            effect::pass(fired, point, file, data, watch, log)
        }
        _ => Ok(Passed::GoOn),
    };
    if let Passed::Answer(answer) = pass(Point::before(command), &mut stdin)? {
        return Ok(answer);
    }
    let bridge = delegate::find("bridge", &environment.path)?;
    let mut result = delegate::run(&bridge, &stdin, command)?;
    if let Passed::Answer(answer) = pass(Point::after(command), &mut result)? {
        return Ok(answer);
    }
    Ok(Answer::Result(result))
}
