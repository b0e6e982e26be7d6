//! What a test does to a device: roles, switchover, reboot, outage, expectations.

mod changes;
mod container;
pub mod deadlines;
mod device_time;
mod evidence;
pub mod expect;
mod naming;
mod path_form;
mod reading;
mod reboot;
mod role_reading;
mod roles;
mod standby;
mod standing;
mod switchover;
mod trigger;
mod ways;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub use container::{ContainerAnswer, ContainerQuestion};
use deadlines::DeviceKind;
pub use deadlines::{Deadlines, Limits};
pub use evidence::{Outage, Unchecked};
pub use reboot::Reboot;
pub use roles::{ControlProcessor, Role};
pub use switchover::{Switchover, SwitchoverOptions};
pub use trigger::Trigger;
pub use ways::Ways;

use path_form::PathForm;
use reading::Reading;
use standing::StandbyWays;

use crate::dial::{EventKind, OnLoss, ResumeLimits, Session, Settings, Target, Tcp};
use crate::error::Result;
use crate::gnmi::Gnmi;
use crate::gnoi::containerz::CreationRecord;
use crate::gnoi::{Containerz, File, Healthz, System};

/// A device under test. Clones share its session.
#[derive(Clone)]
pub struct Device {
    /// gNMI's; it is the witness of a device's absence.
    session: Session,
    limits: Limits,
    ways: Ways,
    /// What gNMI last said of the control processors.
    seen: Arc<Mutex<Vec<ControlProcessor>>>,
    /// What the device says that it is; None until it was asked.
    kind: Arc<Mutex<Option<DeviceKind>>>,
    /// How gNMI is asked for roles.
    reading: Arc<Reading>,
    /// What its standby is known to say of itself.
    standby_ways: Arc<StandbyWays>,
    /// The form of a control processor's path that gNOI took.
    path_form: Arc<Mutex<Option<PathForm>>>,
    /// gNMI.
    pub gnmi: Gnmi,
    /// gNOI System.
    pub system: System,
    /// gNOI Containerz.
    pub containerz: Containerz,
    /// gNOI File.
    pub file: File,
    /// gNOI Healthz.
    pub healthz: Healthz,
}

impl Device {
    /// Reaches `target`.
    pub async fn connect(target: Target, settings: Settings, limits: impl Into<Limits>) -> Result<Self> {
        Ok(Self::over(Session::connect(target, settings).await?, limits))
    }

    /// Reaches a device whose gNOI is elsewhere than its gNMI.
    pub async fn connect_apart(
        gnmi: Target,
        gnoi: Target,
        settings: Settings,
        limits: impl Into<Limits>,
    ) -> Result<Self> {
        let session = Session::connect(gnmi, settings).await?;
        let timeline = session.timeline().clone();
        let services = Session::connect_with(Arc::new(Tcp), gnoi, settings, timeline).await?;
        Ok(Self {
            system: System::new(services.clone()),
            file: File::new(services.clone()),
            healthz: Healthz::new(services.clone()),
            containerz: Containerz::new(services),
            ..Self::over(session, limits)
        })
    }

    /// Over a session that is there already.
    pub fn over(session: Session, limits: impl Into<Limits>) -> Self {
        Self {
            gnmi: Gnmi::new(session.clone()),
            system: System::new(session.clone()),
            containerz: Containerz::new(session.clone()),
            file: File::new(session.clone()),
            healthz: Healthz::new(session.clone()),
            session,
            limits: limits.into(),
            ways: Ways::default(),
            seen: Arc::default(),
            kind: Arc::default(),
            reading: Arc::default(),
            standby_ways: Arc::default(),
            path_form: Arc::default(),
        }
    }

    /// A device with ways of its own.
    #[must_use]
    pub fn with_ways(mut self, ways: Ways) -> Self {
        self.ways = ways;
        self
    }

    /// The same device, over the same session, with a record of what is made on it by this one.
    #[must_use]
    pub fn recording(&self, record: CreationRecord) -> Self {
        Self { containerz: self.containerz.recording(record), ..self.clone() }
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Ends its sessions: calls under way and to come fail.
    pub fn close(&self) {
        self.session.close();
        self.containerz.session().close();
    }

    /// How long each step may take, by what is known of the device: a real one's limits until it was asked.
    pub fn deadlines(&self) -> &Deadlines {
        self.limits.of(*self.kind.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What becomes of a stream of this device that breaks off: it is made again, for as long as a reboot may take, or
    /// it ends.
    pub fn on_loss(&self, resume: bool) -> OnLoss {
        if !resume {
            return OnLoss::End;
        }
        let device = self.clone();
        OnLoss::Resume(Arc::new(move || {
            let limits = device.deadlines();
            ResumeLimits { away: limits.reboot, refused: limits.start }
        }))
    }

    fn name(&self) -> &str {
        self.session.name()
    }

    fn note(&self, kind: EventKind, text: impl Into<String>) {
        self.session.timeline().record(kind, text);
    }

    /// The sooner of `deadline` and `limit` from now.
    fn soon(deadline: Instant, limit: Duration) -> Instant {
        deadline.min(Instant::now() + limit)
    }
}
