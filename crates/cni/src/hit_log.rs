//! The hit log: a line of JSON for each invocation, where the network configuration names a file for it.

use std::fs::File;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::NAME;
use super::answer::Answer;
use super::environment::{Command, Environment};
use super::failpoint_file::{FailpointFile, Fired, Point};
use super::object::quoted;
use super::place::{Place, Refusal, is_trusted};

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
        let written = open(path).and_then(|mut file| Ok(file.write_all(line.as_bytes())?));
        if let Err(refusal) = written {
            eprintln!("{NAME}: the hit log {path} cannot be written: {refusal}");
        }
    }
}

/// To append to it. The administrator names it, but others may write the folder that it lies in.
fn open(path: &str) -> Result<File, Refusal> {
    const HOW: OFlags = OFlags::WRONLY.union(OFlags::APPEND);
    let path = std::path::absolute(path)?;
    let place = Place::find(path.to_str().ok_or(Errno::ILSEQ)?, &[])?;
    let (file, stat) = match place.open(HOW) {
        Err(Refusal::System(Errno::NOENT)) => match place.create(HOW, 0o644) {
            Err(Refusal::System(Errno::EXIST)) => place.open(HOW)?, // another invocation was faster
            created => return created,
        },
        opened => opened?,
    };
    // A line is put into the file itself, so that it must not be one that somebody has only linked there.
    let belongs_there = is_trusted(stat.st_uid) || stat.st_uid == place.folder.stat.st_uid;
    if place.folder.is_ours_alone() || (belongs_there && stat.st_nlink == 1) {
        return Ok(file);
    }
    let why = "others may write its folder, and it is a hard link, or belongs to neither root nor the folder's owner";
    Err(Refusal::Rule(why.to_owned()))
}
