//! Each RPC and its messages as lines of a log, without secrets.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError, RwLock};

use pyo3::prelude::*;

use crate::dial::calls::{Observed, Seen, observe};
use crate::error::code_name;
use crate::reflection;
use crate::storage::Mask;

/// What is shown of one message, in characters.
const LONGEST: usize = 16_000;

/// The secrets that this process was given, in no line wherever they occur.
static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// What hides them; None while there are none.
static MASK: RwLock<Option<Mask>> = RwLock::new(None);

/// Keeps a secret out of all lines from now on.
pub fn conceal(secret: &str) {
    let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    if secrets.insert(secret.to_owned()) {
        *MASK.write().unwrap_or_else(PoisonError::into_inner) = Some(Mask::new(secrets.iter().cloned()));
    }
}

fn without_secrets(text: String) -> String {
    MASK.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(text.clone(), |mask| mask.hide(&text))
}

/// From now on, all calls of this process are written to `logging.getLogger("holdfast.calls")`, at level DEBUG.
#[pyfunction]
pub fn log_calls() {
    observe(log);
}

fn log(call: &Observed, seen: Seen<'_>) {
    let Observed { number, address, path } = call;
    let what = match seen {
        Seen::Began([]) => format!("{path} to {address}, without metadata"),
        Seen::Began(names) => format!("{path} to {address}, metadata (values hidden): {}", names.join(", ")),
        Seen::Sent(bytes, length) => format!("-> {}", message(path, true, bytes, length)),
        Seen::Received(bytes, length) => format!("<- {}", message(path, false, bytes, length)),
        Seen::Ended(Some(code), "") => format!("ended: {}", code_name(code)),
        Seen::Ended(Some(code), words) => format!("ended: {}: {}", code_name(code), words.escape_debug()),
        Seen::Ended(None, why) => format!("broke: {}", why.escape_debug()),
    };
    tracing::debug!(target: "holdfast.calls", "#{number} {}", without_secrets(what));
}

fn message(path: &str, request: bool, bytes: &[u8], length: usize) -> String {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let Some(name) = reflection::message_of(service, method, request).filter(|_| length == bytes.len()) else {
        return format!("{length} bytes");
    };
    let text = reflection::shown(&name, bytes);
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}… ({length} bytes)", &text[..at]),
        None => text,
    }
}
