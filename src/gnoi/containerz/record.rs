//! What somebody makes on a device: labelled, and written down before it is asked for.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tonic::Code;

use super::Containerz;
use crate::dial::EventKind;
use crate::error::{Error, Result};

/// Something on a device, by what names it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// `container`, `image`, `volume`, `plugin` (an instance) or `plugin archive`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// An image's; else empty.
    pub tag: String,
}

impl Made {
    /// What has no tag.
    pub fn named(kind: &'static str, name: &str) -> Self {
        Self { kind, name: name.to_owned(), tag: String::new() }
    }

    /// An image under one of its names.
    pub fn image(name: &str, tag: &str) -> Self {
        Self { kind: "image", name: name.to_owned(), tag: tag.to_owned() }
    }
}

/// Keeps what a client made that was not there before, also where the device never answered.
#[derive(Debug, Default)]
pub struct CreationRecord {
    /// Whose it is.
    pub run: String,
    /// Where it is, `HOST:PORT` joined by commas.
    pub device: String,
    /// What all that can bear labels is given.
    pub labels: BTreeMap<String, String>,
    /// The label whose value is what its bearer was asked to be called, where it is given one.
    pub name_label: Option<String>,
    /// Lines of JSON, each written before what it tells of is made; none for memory alone.
    pub journal: Option<PathBuf>,
    /// Of what this one is a part.
    pub outer: Option<Arc<CreationRecord>>,
    made: Mutex<Vec<Made>>,
    /// What the device said of the labels, where it takes none; shared by all records on a device.
    labels_refused: Arc<OnceLock<String>>,
}

impl CreationRecord {
    /// One that has nothing in it.
    pub fn new(run: String, device: String, labels: BTreeMap<String, String>, journal: Option<PathBuf>) -> Self {
        Self { run, device, labels, journal, ..Self::default() }
    }

    /// What was made so far, oldest first; it may have been removed since.
    pub fn made(&self) -> Vec<Made> {
        self.entries().clone()
    }

    /// What the device said of the labels where it refused them: none are given since.
    pub fn labels_refused(&self) -> Option<&str> {
        self.labels_refused.get().map(String::as_str)
    }

    fn has(&self, made: &Made) -> bool {
        self.entries().contains(made) || self.outer.as_ref().is_some_and(|outer| outer.has(made))
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Written as Python's `holdfast.journal` reads it. A line that was cut short before it does not swallow this one.
    fn write(&self, made: &Made, gone: bool) -> io::Result<()> {
        let Some(path) = &self.journal else { return Ok(()) };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut entry = json!({
            "time": time, "run": self.run, "device": self.device, "kind": made.kind, "name": made.name, "tag": made.tag,
        });
        if gone {
            entry["gone"] = json!(true);
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(format!("\n{entry}\n").as_bytes())
    }
}

impl Containerz {
    /// The same client, which keeps a record of what it makes.
    #[must_use]
    pub fn recording(&self, record: CreationRecord) -> Self {
        let labels_refused = self.record.as_ref().map(|outer| outer.labels_refused.clone()).unwrap_or_default();
        let record = CreationRecord { outer: self.record.clone(), labels_refused, ..record };
        Self { record: Some(Arc::new(record)), ..self.clone() }
    }

    /// The record that it keeps.
    pub fn record(&self) -> Option<&Arc<CreationRecord>> {
        self.record.as_ref()
    }

    /// Asks with `labels` and the record's own for a thing called `name`.
    ///
    /// Nobody asked for the record's labels, and a device may take none: refused with them, it is asked without, and
    /// told none again if that goes. If it does not, they were not why, and the first refusal stands.
    pub(super) async fn with_labels<T, F>(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        ask: impl Fn(BTreeMap<String, String>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let usable = |record: &&Arc<CreationRecord>| record.labels_refused().is_none() && !record.labels.is_empty();
        let Some(record) = self.record.as_ref().filter(usable) else { return ask(labels.clone()).await };
        let named = record.name_label.iter().map(|label| (label.clone(), name.to_owned()));
        let own = record.labels.clone().into_iter().chain(named);
        let refused = match ask(own.chain(labels.clone()).collect()).await {
            Err(error) if may_refuse_labels(&error) => error,
            answer => return answer,
        };
        let Ok(answer) = ask(labels.clone()).await else { return Err(refused) };
        if record.labels_refused.set(refused.to_string()).is_ok() {
            let text = format!("the device takes no labels, and is given none from here on: {refused}");
            self.session.timeline().record(EventKind::Note, text);
        }
        Ok(answer)
    }

    /// Whether the record has it.
    pub(super) fn made(&self, made: &Made) -> bool {
        self.record.as_ref().is_some_and(|record| record.has(made))
    }

    /// Asks for what is not there yet, and has it on record before. It comes off again if somebody else was quicker.
    pub(super) async fn making<T>(&self, made: Made, asked: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(record) = self.record.as_ref().filter(|record| !record.has(&made)) else { return asked.await };
        self.noted(record.write(&made, false));
        record.entries().push(made.clone());
        let outcome = asked.await;
        if outcome.as_ref().is_err_and(|error| error.code() == Some(Code::AlreadyExists)) {
            record.entries().retain(|entry| *entry != made);
            self.noted(record.write(&made, true));
        }
        outcome
    }

    /// A journal that takes no more lines stops nobody: what was made is in memory, and labelled.
    fn noted(&self, written: io::Result<()>) {
        if let Err(error) = written {
            self.session.timeline().record(EventKind::Note, format!("the journal could not be written: {error}"));
        }
    }
}

/// Whether a request was refused for what is in it, as far as anybody can tell.
fn may_refuse_labels(error: &Error) -> bool {
    match error.code() {
        Some(Code::InvalidArgument | Code::Unimplemented) => true,
        Some(Code::Unknown | Code::Internal | Code::FailedPrecondition) => error.message.contains("label"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_after_one_that_was_cut_short() {
        let folder = tempfile::tempdir().expect("written and read");
        let journal = folder.path().join("device.jsonl");
        std::fs::write(&journal, "{\"time\": 1").expect("written and read");
        let record = CreationRecord::new("run".into(), "there:1".into(), BTreeMap::new(), Some(journal.clone()));
        record.write(&Made::image("web", "v1"), false).expect("written and read");
        record.write(&Made::image("web", "v1"), true).expect("written and read");
        let text = std::fs::read_to_string(&journal).expect("written and read");
        let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
        let [_, made, gone] = lines[..] else { panic!("{text}") };
        let made: serde_json::Value = serde_json::from_str(made).expect("written and read");
        assert_eq!((&made["kind"], &made["name"], &made["tag"]), (&json!("image"), &json!("web"), &json!("v1")));
        assert_eq!(serde_json::from_str::<serde_json::Value>(gone).expect("written and read")["gone"], json!(true));
    }

    #[test]
    fn what_an_outer_record_has_is_known_to_the_inner() {
        let outer = CreationRecord::default();
        outer.entries().push(Made::named("container", "web"));
        let inner = CreationRecord { outer: Some(Arc::new(outer)), ..CreationRecord::default() };
        assert!(inner.has(&Made::named("container", "web")));
        assert!(!inner.has(&Made::named("volume", "web")));
        assert!(inner.made().is_empty());
    }
}
