//! The failpoints of a chassis, from outside.

use std::sync::Arc;
use std::time::Duration;

use super::message_sites::check;
use holdfast_failpoint::{Armed, ParseError, Registry, Terms, Unknown};
use holdfast_net::error::{Error, Kind, Result};

/// Arms, disarms and counts.
#[derive(Debug, Clone)]
pub struct Failpoints(Arc<Registry>);

impl Failpoints {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }

    /// Arms a failpoint, or arms it anew.
    pub fn arm(&self, name: &str, terms: &str) -> Result<()> {
        let wrong = |error: String| {
            Error::invalid(format!("failpoint {name}: {error}"))
                .hint("terms are such as 1*error[UNAVAILABLE](busy)->delay(1s); docs/failpoints.md has them all")
        };
        let terms: Terms = terms.parse().map_err(|error: ParseError| wrong(error.to_string()))?;
        check(name, &terms).map_err(wrong)?;
        self.0.arm(name, terms).map_err(unknown)
    }

    /// Disarms a failpoint, releases who waits there, and says how often it was hit.
    pub fn disarm(&self, name: &str) -> Result<u64> {
        self.0.disarm(name).map_err(unknown)
    }

    /// Lets go on who waits at a failpoint.
    pub fn release(&self, name: &str) -> Result<()> {
        self.0.release(name).map_err(unknown)
    }

    /// How often a failpoint acted since it was armed.
    pub fn hits(&self, name: &str) -> Result<u64> {
        self.0.hits(name).map_err(unknown)
    }

    /// Waits until a failpoint acted `times` times.
    pub async fn reached(&self, name: &str, times: u64, patience: Duration) -> Result<()> {
        if let Ok(reached) = tokio::time::timeout(patience, self.0.reached(name, times)).await {
            return reached.map_err(unknown);
        }
        let hits = self.hits(name)?;
        Err(Error::new(Kind::Timeout, format!("failpoint {name} was hit {hits} of {times} times within {patience:?}")))
    }

    /// All that are armed.
    pub fn armed(&self) -> Vec<Armed> {
        self.0.armed()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unknown(error: Unknown) -> Error {
    Error::invalid(error.to_string())
}
