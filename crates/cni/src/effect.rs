//! What an action does in this plugin.

use std::io::Write;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::NAME;
use super::answer::{Answer, CniError};
use super::failpoint_file::{FailpointFile, Fired, Point};
use super::hit_log::HitLog;
use super::place::{Place, Refusal};
use super::runtime_watch::{RuntimeEnded, RuntimeWatch};
use holdfast_failpoint::{Action, Code, LONGEST_PAUSE, Length, Text};

/// How the point was passed.
pub enum Passed {
    GoOn,
    Answer(Answer),
}

/// Passes `point`. `data` is what bridge is given before it, and what bridge gave after it.
pub fn pass(
    fired: Option<Fired>,
    point: Point,
    file: &FailpointFile,
    data: &mut Vec<u8>,
    watch: &RuntimeWatch,
    log: &mut HitLog,
) -> Result<Passed, CniError> {
    let Some(fired) = fired else { return Ok(Passed::GoOn) };
    for action in &fired.actions {
        let waited = match action {
            Action::Delay { shortest, .. } => watch.wait(Some(shortest.duration())),
            Action::Drop | Action::Hang => watch.wait(None),
            Action::Pause(length) => {
                let longest = length.map_or(LONGEST_PAUSE, Length::duration);
                pause(point, file, longest, watch)?
            }
            _ => Ok(()),
        };
        if let Err(RuntimeEnded) = waited {
            return Ok(Passed::Answer(Answer::RuntimeEnded));
        }
        match action {
            Action::Off | Action::Delay { .. } | Action::Pause(_) | Action::Drop | Action::Hang => {}
            Action::Print(words) => {
                eprintln!("{NAME}: {}: {words}", point.key());
                log.printed(words);
            }
            Action::Error { code, message } => return Err(error(*code, message)),
            Action::Panic { message, .. } => return Ok(Passed::Answer(Answer::Panic(message.text().into_owned()))),
            Action::Crash => return Ok(Passed::Answer(Answer::Crash)),
            Action::Exit(code) => return Ok(Passed::Answer(Answer::Exit(*code))),
            Action::Corrupt(how) => how.apply(data, fired.draw),
            Action::Return(object) if point.is_after() => *data = object.clone().into_bytes(),
            Action::Return(object) => return Ok(Passed::Answer(Answer::Result(object.clone().into_bytes()))),
        }
    }
    Ok(Passed::GoOn)
}

/// A code of another world is named in the message.
fn error(code: Option<Code>, message: &Text) -> CniError {
    match code {
        None => CniError::internal(message.text()),
        Some(Code::Cni(code)) => CniError::new(code, message.text()),
        Some(foreign) => CniError::internal(format!("{foreign}: {}", message.text())),
    }
}

/// Says that it is reached by a file beside the failpoint file, and waits until somebody removes that.
fn pause(
    point: Point,
    file: &FailpointFile,
    longest: Duration,
    watch: &RuntimeWatch,
) -> Result<Result<(), RuntimeEnded>, CniError> {
    let announced = format!("{}.{}.{}.reached", file.path, point.key(), std::process::id());
    let cannot = |why: Refusal| CniError::internal(format!("a pause cannot be announced at {announced}: {why}"));
    let place = Place::find_itself(&announced).map_err(cannot)?;
    let _ = place.folder.remove(&place.name); // an earlier process of this number was killed in a pause
    let mut written = place.create(OFlags::WRONLY, 0o644).map_err(cannot)?;
    let words = written.write_all(b"remove this file to let the plugin go on\n");
    words.map_err(|error| cannot(error.into()))?;
    let waited = watch.wait_until(longest, || place.folder.look(&place.name).err() == Some(Errno::NOENT));
    let _ = place.folder.remove(&place.name); // it was released
    Ok(waited.map(drop))
}
