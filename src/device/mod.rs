//! What a test does to a device: roles, switchover, reboot, outage, expectations.

mod container;
pub mod deadlines;
mod evidence;
pub mod expect;
mod reboot;
mod roles;
mod switchover;

use std::time::Duration;

use tokio::time::Instant;

pub use deadlines::Deadlines;
pub use evidence::Outage;
pub use reboot::Reboot;
pub use roles::{ControlProcessor, Role};
pub use switchover::{Switchover, SwitchoverOptions};

use crate::dial::{Session, Settings, Target};
use crate::error::Result;
use crate::gnmi::Gnmi;
use crate::gnoi::{Containerz, System};

/// A device under test. Clones share its session.
#[derive(Clone)]
pub struct Device {
    session: Session,
    deadlines: Deadlines,
    /// gNMI.
    pub gnmi: Gnmi,
    /// gNOI System.
    pub system: System,
    /// gNOI Containerz.
    pub containerz: Containerz,
}

impl Device {
    /// Reaches `target`.
    pub async fn connect(target: Target, settings: Settings, deadlines: Deadlines) -> Result<Self> {
        Ok(Self::over(Session::connect(target, settings).await?, deadlines))
    }

    /// Over a session that is there already.
    pub fn over(session: Session, deadlines: Deadlines) -> Self {
        Self {
            gnmi: Gnmi::new(session.clone()),
            system: System::new(session.clone()),
            containerz: Containerz::new(session.clone()),
            session,
            deadlines,
        }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// How long each step may take.
    pub fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    fn name(&self) -> &str {
        self.session.name()
    }

    fn note(&self, kind: &'static str, text: impl Into<String>) {
        self.session.timeline().record(kind, text);
    }

    /// The sooner of `deadline` and `limit` from now.
    fn soon(deadline: Instant, limit: Duration) -> Instant {
        deadline.min(Instant::now() + limit)
    }
}
