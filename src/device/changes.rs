//! Changes of roles as gNMI tells of them: who waits for one need not ask all the time.

use std::time::Duration;

use tokio::time::Instant;

use super::Device;
use crate::error::{Kind, Result};
use crate::gnmi::request::Subscribe;
use crate::gnmi::{Form, Received, StreamMode, Subscription};
use crate::waiting;
use crate::wire::gnmi::subscription_list::Mode;

/// What tells that a control processor's part in the pair is another.
const LEAVES: [&str; 2] = ["redundant-role", "switchover-ready"];
/// How long a device may take to begin to tell.
const BEGINNING: Duration = Duration::from_secs(1);
/// From one look to the next of a device that tells, should it forget to.
const SELDOM: Duration = Duration::from_millis(500);

/// Where the device stands with telling.
enum Telling {
    /// It was not asked yet.
    Unasked,
    /// It tells.
    Yes(Box<Subscription>),
    /// It does not, or no more.
    No,
}

/// Looks at a device's roles: when they change, where the device tells (gNMI Subscribe ON_CHANGE); else often.
pub struct Changes<'a> {
    device: &'a Device,
    telling: Telling,
}

impl<'a> Changes<'a> {
    /// Asks nothing of the device before it is waited for.
    pub fn of(device: &'a Device) -> Self {
        Self { device, telling: Telling::Unasked }
    }

    /// As [`waiting::next_look`]; where the device tells, sooner than after `look`, or later.
    pub async fn next_look(&mut self, deadline: Instant, look: Duration) -> bool {
        if Instant::now() >= deadline {
            return false;
        }
        match &mut self.telling {
            Telling::Unasked => {
                let asked = self.device.subscribe_to_roles(Device::soon(deadline, BEGINNING)).await;
                self.telling = asked.map_or(Telling::No, |stream| Telling::Yes(Box::new(stream))); // what changed meanwhile, the next look finds
            }
            Telling::Yes(subscription) => match subscription.next(Device::soon(deadline, SELDOM)).await {
                Ok(Some(_)) => {}
                Err(error) if error.kind == Kind::Timeout => {}
                Ok(None) | Err(_) => self.telling = Telling::No,
            },
            Telling::No => return waiting::next_look(deadline, look).await,
        }
        true
    }
}

impl Device {
    /// A subscription that has told what there is, and goes on to tell what changes.
    async fn subscribe_to_roles(&self, deadline: Instant) -> Result<Subscription> {
        let paths = self.reading.paths(&LEAVES);
        let envelope = self.reading.form().map(Form::envelope).unwrap_or_default();
        let subscribe = Subscribe { envelope, ..Subscribe::to(&paths, StreamMode::OnChange) };
        let mut subscription = self.gnmi.subscribe(Mode::Stream, subscribe, deadline).await?;
        while subscription.next(deadline).await?.is_some_and(|received| received != Received::Synced) {}
        Ok(subscription)
    }
}
