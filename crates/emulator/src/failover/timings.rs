//! How long the emulated device takes for what: to the millisecond, on a clock that stands still until all wait for it.

use std::sync::Arc;
use std::time::Duration;

use holdfast_failpoint::LONGEST_PAUSE;
use tokio::time::Instant;
use tonic::Request;

use super::{LAST_WORDS, crash_now};
use crate::chassis::Chassis;
use crate::services::system::SystemService;
use crate::settings::{Settings, Timings};
use crate::shared::SharedChassis;
use crate::state::State;
use holdfast_net::waiting;
use holdfast_wire::gnoi::system::system_server::System;
use holdfast_wire::gnoi::system::{RebootRequest, SwitchControlProcessorRequest};
use holdfast_wire::path::Path;

/// No two of them, and no sum of them, are alike.
const TIMINGS: Timings = Timings { outage: ms(211), load: ms(83), boot: ms(307), reboot: ms(1009), replication: ms(5) };

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

struct Device {
    chassis: Chassis,
    shared: Arc<SharedChassis>,
    service: SystemService,
    began: Instant,
}

impl Device {
    async fn start() -> Self {
        let chassis = Chassis::start(Settings { timings: TIMINGS, ..Settings::default() }).await.expect("a chassis");
        let shared = chassis.shared().clone();
        let service = SystemService::new(shared.clone(), 0);
        Self { chassis, shared, service, began: Instant::now() }
    }

    /// How long after the start a condition came to hold.
    async fn when(&self, condition: impl FnMut(&State) -> bool) -> Duration {
        let mut states = self.shared.watch();
        let came = tokio::time::timeout(Duration::from_secs(3600), states.wait_for(condition)).await;
        came.expect("it comes within an hour of this clock").expect("a chassis");
        self.began.elapsed()
    }

    async fn switch(&self) {
        let control_processor = Some(Path::component("Supervisor2").to_gnoi());
        let request = Request::new(SwitchControlProcessorRequest { control_processor });
        self.service.switch_control_processor(request).await.expect("it is ready");
    }

    async fn reboot(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_nanos()).expect("a delay");
        let request = Request::new(RebootRequest { delay, ..RebootRequest::default() });
        self.service.reboot(request).await.expect("nothing is under way");
    }
}

#[tokio::test(start_paused = true)]
async fn a_switchover_takes_its_outage_then_the_load_then_the_boot_of_the_old_active() {
    let device = Device::start().await;
    device.switch().await;
    let away = device.when(|state| state.answering().is_none()).await;
    assert_eq!(away, LAST_WORDS, "its answer leaves first");
    assert_eq!(device.when(|state| state.answering() == Some(1)).await, away + TIMINGS.outage);
    let serving = device.when(State::is_serving).await;
    assert_eq!(serving, away + TIMINGS.outage + TIMINGS.load);
    assert_eq!(device.when(|state| state.is_up(0)).await, serving + TIMINGS.boot);
    assert_eq!(device.when(State::ready).await, serving + TIMINGS.boot, "there is nothing to copy");
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_active_leaves_no_time_for_last_words() {
    let device = Device::start().await;
    crash_now(&device.shared, 0);
    assert_eq!(device.when(|state| state.answering().is_none()).await, Duration::ZERO);
    let serving = device.when(|state| state.active() == 1 && state.is_serving()).await;
    assert_eq!(serving, TIMINGS.outage + TIMINGS.load);
    assert_eq!(device.when(State::ready).await, serving + TIMINGS.boot);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_standby_takes_its_boot_and_no_outage() {
    let device = Device::start().await;
    crash_now(&device.shared, 1);
    assert_eq!(device.when(|state| !state.is_up(1)).await, Duration::ZERO);
    assert!(device.shared.state().is_serving());
    assert_eq!(device.when(State::ready).await, TIMINGS.boot);
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_both_takes_a_reboot() {
    let device = Device::start().await;
    crash_now(&device.shared, 1);
    device.when(|state| !state.is_up(1)).await;
    crash_now(&device.shared, 0);
    device.when(|state| !state.is_up(0)).await;
    assert_eq!(device.when(State::ready).await, TIMINGS.reboot + TIMINGS.load, "the boot that was under way is over");
    assert_eq!(device.shared.state().reboots, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reboot_begins_after_its_delay_and_takes_its_time() {
    for delay in [Duration::ZERO, Duration::from_secs(90)] {
        let device = Device::start().await;
        device.reboot(delay).await;
        let away = device.when(|state| state.answering().is_none()).await;
        assert_eq!(away, delay + LAST_WORDS);
        assert_eq!(device.when(|state| state.answering() == Some(0)).await, away + TIMINGS.reboot);
        assert_eq!(device.when(State::ready).await, away + TIMINGS.reboot + TIMINGS.load);
        assert_eq!(device.shared.state().reboots, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_at_the_standby_after_the_time_of_replication() {
    let device = Device::start().await;
    super::replication::announce_change(&device.shared);
    assert!(!device.shared.state().ready(), "the standby lacks it");
    assert_eq!(device.when(State::ready).await, TIMINGS.replication);
}

#[tokio::test(start_paused = true)]
async fn a_delay_and_a_pause_at_a_step_are_added_to_what_it_takes() {
    for (site, terms, longer) in [
        ("switchover.take_over", "1*delay(400)", ms(400)),
        ("switchover.leave.after", "1*pause(50ms)", ms(50)),
        ("switchover.take_over.after", "1*pause", LONGEST_PAUSE),
    ] {
        let device = Device::start().await;
        device.chassis.failpoints().arm(site, terms).expect("known");
        device.switch().await;
        let serving = device.when(|state| state.active() == 1 && state.is_serving()).await;
        assert_eq!(serving, LAST_WORDS + TIMINGS.outage + longer + TIMINGS.load, "{site}={terms}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_is_released_ends_then() {
    let device = Device::start().await;
    device.chassis.failpoints().arm("switchover.take_over", "1*pause").expect("known");
    device.switch().await;
    waiting::pause(Duration::from_secs(5)).await;
    assert_eq!(device.shared.state().answering(), None, "it is held");
    device.chassis.failpoints().release("switchover.take_over").expect("armed");
    assert_eq!(device.when(State::is_serving).await, Duration::from_secs(5) + TIMINGS.load);
}
