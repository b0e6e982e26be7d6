//! The hit log: a line of JSON for each invocation, where the network configuration names a file for it.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::NAME;
use super::answer::Answer;
use super::environment::{Command, Environment};
use super::failpoint_file::{FailpointFile, Fired, Point};
use super::object::quoted;

/// The line of this invocation, as far as it is known.
pub struct HitLog {
    path: Option<String>,
    fields: Vec<(&'static str, String)>,
    fired: Vec<String>,
    printed: Vec<String>,
}

impl HitLog {
    pub fn new(path: Option<&str>, command: Command, environment: &Environment) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let fields = vec![
            ("time", format!("{}.{:06}", since.as_secs(), since.subsec_micros())),
            ("pid", std::process::id().to_string()),
            ("command", quoted(command.name())),
            ("containerId", quoted(&environment.container_id)),
            ("interface", quoted(&environment.interface)),
        ];
        Self { path: path.map(str::to_owned), fields, fired: Vec::new(), printed: Vec::new() }
    }

    /// A point was passed, and this fired there.
    pub fn fired(&mut self, point: Point, file: &FailpointFile, fired: Option<&Fired>) {
        if !self.fields.iter().any(|(name, _)| *name == "confPath") {
            self.fields.push(("confPath", quoted(&file.path)));
        }
        if let Some(fired) = fired {
            let actions: Vec<_> = fired.actions.iter().map(ToString::to_string).collect();
            self.fired.push(format!("{}:{}", quoted(point.key()), quoted(&actions.join("+"))));
        }
    }

    /// `print(…)`
    pub fn printed(&mut self, words: &str) {
        self.printed.push(quoted(words));
    }

    /// Appends the line, whole; an answer does not depend on it.
    pub fn write(&self, answer: &Answer) {
        let Some(path) = &self.path else { return };
        let outcome = match answer {
            Answer::Result(_) => "success".to_owned(),
            Answer::Error(error) => format!("error {}: {}", error.code, error.message),
            Answer::Panic(_) => "panic".to_owned(),
            Answer::Exit(code) => format!("exit {code}"),
            Answer::Crash => "crash".to_owned(),
            Answer::RuntimeEnded => "the runtime ended".to_owned(),
            Answer::About => "nothing was asked".to_owned(),
        };
        let mut line: Vec<_> = self.fields.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        line.push(format!("\"fired\":{{{}}}", self.fired.join(",")));
        line.push(format!("\"printed\":[{}]", self.printed.join(",")));
        line.push(format!("\"outcome\":{}", quoted(&outcome)));
        let line = format!("{{{}}}\n", line.join(","));
        let opened = OpenOptions::new().append(true).create(true).open(path);
        if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("{NAME}: the hit log {path} cannot be written: {error}");
        }
    }
}
