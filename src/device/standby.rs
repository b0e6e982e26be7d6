//! The standby: whether it is in step, by switchover-ready, or by what the device tells in its place.

use std::time::Duration;

use tokio::time::Instant;

use super::Device;
use super::changes::Changes;
use super::deadlines::LAST_LOOK;
use super::evidence::{Unchecked, or_late};
use super::roles::{Pair, is_displaced, pair_of};
use super::standing::Standing;
use super::switchover::{BUSY_PAUSE, fault, reversal};
use crate::dial::{Call, EventKind};
use crate::error::{Error, Remedy, Result, SwitchoverFault};
use crate::waiting::next_look;

/// From one look at the standby to the next.
const LOOK: Duration = Duration::from_millis(40);

impl Device {
    /// Waits for a pair whose standby is ready, and refuses where it never gets so.
    ///
    /// A standby that only its oper-status calls down is waited for as long; then the device decides, if it can refuse
    /// (`asks`): by its own word nobody can tell.
    pub(super) async fn ready_pair(&self, deadline: Instant, asks: bool) -> Result<Pair> {
        let mut changes = Changes::of(self);
        loop {
            let known = Self::soon(deadline + LAST_LOOK, self.deadlines().roles);
            let pair = self.pair(Call::read("gNMI.Subscribe", known)).await?;
            let standing = self.standby_ways.standing(pair.ready(), pair.secondary.up);
            if matches!(standing, Standing::InStep | Standing::Untold) {
                return Ok(pair);
            }
            if !changes.next_look(deadline, BUSY_PAUSE / 2).await {
                let name = &pair.secondary.name;
                if standing == Standing::Down && asks {
                    let what =
                        format!("oper-status of {name} is not ACTIVE, and no switchover-ready tells more; asking");
                    self.note(EventKind::Note, what);
                    return Ok(pair);
                }
                let what = format!("{name} never became ready for a switchover, so none was asked for");
                return Err(Error::new(fault(SwitchoverFault::NotReady), what)
                    .hint("look at the standby's state, or give it longer")
                    .remedy(Remedy::ReadyDeadline));
            }
        }
    }

    /// Where the device does not say whether its standby is ready: it is there, and has been for a while.
    pub(super) async fn standby_settled(&self, deadline: Instant) -> Result<Pair> {
        let settle = self.deadlines().settle;
        let mut up_since = None;
        loop {
            let pair = self.pair(Call::read("gNMI.Subscribe", deadline + LAST_LOOK)).await?;
            let now = Instant::now();
            let since = *up_since.get_or_insert(now);
            if matches!(self.standby_ways.standing(pair.ready(), pair.secondary.up), Standing::Behind | Standing::Down)
            {
                up_since = None;
            } else if now >= since + settle {
                return Ok(pair);
            }
            if !next_look(deadline, LOOK).await {
                let what = format!("{} never stayed up, so the active was not failed", pair.secondary.name);
                return Err(Error::new(fault(SwitchoverFault::NotReady), what)
                    .hint("look at the standby's state, or give it longer")
                    .remedy(Remedy::ReadyDeadline));
            }
        }
    }

    /// Waits until `primary` has a standby that is in step; it must stay primary meanwhile. Some where the standby is
    /// there, and the device gives no means to tell whether it is in step.
    pub async fn redundant(&self, primary: &str) -> Result<Option<Unchecked>> {
        let began = Instant::now();
        let deadline = began + self.known_deadlines().await.redundant;
        let reversed = || reversal(primary).during(self.name(), "switchover", began.elapsed());
        let mut changes = Changes::of(self);
        let mut untold_since = None;
        loop {
            let look = Call::read("gNMI.Subscribe", deadline + BUSY_PAUSE * 10);
            let roles = self.roles_so_far(look).await;
            let roles = or_late(roles, fault(SwitchoverFault::NeverRedundant), "the device does not answer")?;
            let mut standing = None;
            if let Ok(pair) = pair_of(&roles) {
                if pair.primary.name != primary {
                    return Err(reversed());
                }
                let found = self.standby_ways.standing(pair.ready(), pair.secondary.up);
                if found == Standing::InStep {
                    self.note(EventKind::Switchover, format!("{} is in step as the standby", pair.secondary.name));
                    return Ok(None);
                }
                standing = Some((found, pair.secondary.name));
            } else if is_displaced(primary, &roles) {
                return Err(reversed());
            }
            let untold = standing.as_ref().is_some_and(|(found, _)| *found == Standing::Untold);
            untold_since = untold.then(|| untold_since.unwrap_or_else(Instant::now));
            let settled = untold_since.is_some_and(|since| since.elapsed() >= self.deadlines().settle);
            if settled || !changes.next_look(deadline, BUSY_PAUSE / 4).await {
                if let Some((Standing::Untold | Standing::Down, name)) = standing {
                    let what = format!("whether {name} is in step as the standby");
                    self.note(EventKind::Switchover, format!("the device does not tell {what}"));
                    return Ok(Some(Unchecked::not_reported(what)));
                }
                let what = "the old primary did not come back in step in time";
                let late = Error::new(fault(SwitchoverFault::NeverRedundant), what);
                return Err(late.during(self.name(), "switchover", began.elapsed()));
            }
        }
    }
}
