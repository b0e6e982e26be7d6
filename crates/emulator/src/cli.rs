//! What the vendor's own command line configured, as far as the emulated device heeds it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long it takes from the configuration of Containerz until an agent serves it.
const AGENT: Duration = Duration::from_millis(250);

/// Of the whole device, and of each control processor's filter.
#[derive(Debug, Default)]
pub struct Cli(Mutex<Configured>);

#[derive(Debug, Default)]
struct Configured {
    /// Since when Containerz is configured.
    containerz: Option<Instant>,
    containerz_saved: bool,
    open: [Vec<String>; 2],
}

impl Cli {
    /// Takes lines that were sent to control processor `index`.
    pub fn take(&self, index: usize, text: &str) {
        let mut configured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines().map(str::trim) {
            if line.contains("containerz") || line.contains("docker") {
                configured.containerz.get_or_insert_with(Instant::now);
            } else if line.contains("--dport") || line.starts_with("permit tcp") {
                configured.open[index].extend(line.split_whitespace().map(str::to_owned));
            } else if line == "write memory" {
                configured.containerz_saved = configured.containerz.is_some();
            }
        }
    }

    /// Whether Containerz is configured, and what serves it has come up.
    pub fn has_containerz(&self) -> bool {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner).containerz;
        since.is_some_and(|since| since.elapsed() >= AGENT)
    }

    /// Whether control processor `index` lets connections to `port` in.
    pub fn has_opened(&self, index: usize, port: u16) -> bool {
        let port = port.to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open[index].contains(&port)
    }

    /// A reboot: what was not saved is gone.
    pub fn forget_unsaved(&self) {
        let mut configured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        configured.containerz = configured.containerz.filter(|_| configured.containerz_saved);
    }
}
