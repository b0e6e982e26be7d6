//! Moves of the roles, on a clock that stands still until all wait for it.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Request};

use super::{LAST_WORDS, crash_now};
use crate::chassis::Chassis;
use crate::services::system::SystemService;
use crate::settings::Settings;
use crate::shared::SharedChassis;
use crate::state::State;
use holdfast_net::waiting::pause;
use holdfast_wire::gnoi::system::system_server::System;
use holdfast_wire::gnoi::system::{CancelRebootRequest, RebootRequest, SwitchControlProcessorRequest};
use holdfast_wire::path::Path;

async fn device() -> (Chassis, Arc<SharedChassis>, SystemService) {
    let chassis = Chassis::start(Settings::default()).await.expect("a chassis");
    let shared = chassis.shared().clone();
    let service = SystemService::new(shared.clone(), 0);
    (chassis, shared, service)
}

async fn reach(shared: &SharedChassis, condition: impl FnMut(&State) -> bool) -> State {
    shared.watch().wait_for(condition).await.expect("a chassis").clone()
}

fn switch_to_the_second() -> Request<SwitchControlProcessorRequest> {
    let control_processor = Some(Path::component("Supervisor2").to_gnoi());
    Request::new(SwitchControlProcessorRequest { control_processor })
}

fn reboot(delay: Duration) -> Request<RebootRequest> {
    let delay = u64::try_from(delay.as_nanos()).expect("a delay");
    Request::new(RebootRequest { delay, ..RebootRequest::default() })
}

#[tokio::test(start_paused = true)]
async fn a_switchover_goes_through_its_phases() {
    let (_chassis, shared, service) = device().await;
    service.switch_control_processor(switch_to_the_second()).await.expect("it is ready");
    let leaving = shared.state();
    assert!(leaving.is_leaving() && leaving.answering() == Some(0) && leaving.has_loaded());
    let away = reach(&shared, |state| state.answering().is_none()).await;
    assert!(!away.is_up(0) && away.is_up(1));
    let loading = reach(&shared, |state| state.answering() == Some(1)).await;
    assert!(!loading.has_loaded() && !loading.is_up(0), "the old active boots when the new one has loaded");
    let serving = reach(&shared, State::is_serving).await;
    assert!(!serving.ready());
    reach(&shared, State::ready).await;
}

#[tokio::test(start_paused = true)]
async fn of_many_that_ask_for_a_switchover_one_is_answered_with_success() {
    let (_chassis, shared, service) = device().await;
    let service = Arc::new(service);
    let asked = (0..8).map(|_| {
        let service = service.clone();
        tokio::spawn(async move { service.switch_control_processor(switch_to_the_second()).await })
    });
    let mut accepted = 0;
    for answer in asked.collect::<Vec<_>>() {
        match answer.await.expect("an answer") {
            Ok(_) => accepted += 1,
            Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "{status}"),
        }
    }
    assert_eq!(accepted, 1);
    assert_eq!(reach(&shared, State::ready).await.active(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_of_two_reboots_at_once_is_accepted_and_done() {
    let (_chassis, shared, service) = device().await;
    service.reboot(reboot(Duration::ZERO)).await.expect("nothing is under way");
    let status = service.reboot(reboot(Duration::ZERO)).await.expect_err("one is under way");
    assert_eq!(status.code(), Code::Unavailable);
    reach(&shared, |state| state.reboots == 1).await;
    assert_eq!(reach(&shared, State::ready).await.reboots, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reboot_that_was_cancelled_does_not_come_and_the_next_one_does() {
    let (_chassis, shared, service) = device().await;
    let minute = Duration::from_secs(60);
    service.reboot(reboot(minute)).await.expect("nothing is under way");
    let status = service.reboot(reboot(minute)).await.expect_err("one is pending");
    assert_eq!(status.code(), Code::Unavailable);
    service.cancel_reboot(Request::new(CancelRebootRequest::default())).await.expect("it is pending");
    service.reboot(reboot(2 * minute)).await.expect("none is pending");
    pause(minute + minute / 2).await;
    assert_eq!(shared.state().reboots, 0);
    pause(minute).await;
    assert_eq!(shared.state().reboots, 1);
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_dies_ends_the_switchover_to_it_and_the_active_serves_on() {
    let (_chassis, shared, service) = device().await;
    service.switch_control_processor(switch_to_the_second()).await.expect("it is ready");
    crash_now(&shared, 1);
    reach(&shared, |state| !state.is_up(1)).await;
    pause(LAST_WORDS * 2).await;
    assert!(shared.state().is_serving() && shared.state().active() == 0);
    reach(&shared, State::ready).await;
}

#[tokio::test(start_paused = true)]
async fn an_active_that_dies_twice_is_one_failover() {
    let (_chassis, shared, _) = device().await;
    crash_now(&shared, 0);
    crash_now(&shared, 0);
    let state = reach(&shared, |state| state.active() == 1 && state.ready()).await;
    assert_eq!(state.reboots, 0);
}

#[tokio::test(start_paused = true)]
async fn lists_are_short_for_a_second_and_then_it_is_ready() {
    let (chassis, shared, service) = device().await;
    chassis.failpoints().arm("load.lists_empty", "1*error(x)").expect("known");
    service.switch_control_processor(switch_to_the_second()).await.expect("it is ready");
    reach(&shared, |state| state.active() == 1 && state.ready()).await;
    let shown = || {
        let mut rows = vec!["row"];
        shared.defects.lasting().rows(&mut rows);
        rows.len()
    };
    assert_eq!((shown(), shared.says_ready(&shared.state())), (0, false));
    pause(Duration::from_secs(2)).await;
    assert_eq!((shown(), shared.says_ready(&shared.state())), (1, true));
}
