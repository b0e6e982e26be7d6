//! The session over a simulated network: black holes, crashes, and what may be repeated after them.

mod simulated;

use std::time::Duration;

use holdfast::error::Kind;
use holdfast::gnoi::System;
use holdfast::waiting;
use holdfast::wire::gnoi::system::RebootMethod;
use simulated::{Device, session};
use tokio::time::Instant;

fn simulation(device: &Device) -> turmoil::Sim<'static> {
    let mut sim =
        turmoil::Builder::new().simulation_duration(Duration::from_secs(120)).rng_seed(7).tcp_capacity(4096).build();
    device.run(&mut sim);
    sim
}

fn within(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

#[test]
fn a_read_lives_through_a_black_hole_and_is_answered_soon_after_it() {
    let mut sim = simulation(&Device::default());
    sim.client("client", async {
        for outage in [3, 10, 30] {
            let session = session().await;
            let system = System::new(session.clone());
            system.time(within(5)).await.expect("an answer");
            turmoil::partition("client", "device");
            let healed = tokio::spawn(async move {
                waiting::pause(Duration::from_secs(outage)).await;
                turmoil::repair("client", "device");
                Instant::now()
            });
            system.time(within(60)).await.expect("an answer after the black hole");
            let late = Instant::now() - healed.await.expect("the healer");
            assert!(late <= Duration::from_millis(200), "{late:?} after an outage of {outage} s");
        }
        Ok(())
    });
    sim.run().expect("the simulation");
}

#[test]
fn a_silent_peer_is_given_up_within_seconds_where_an_outage_is_expected() {
    let mut sim = simulation(&Device::default());
    sim.client("client", async {
        let session = session().await;
        let _expecting = session.expect_outage();
        let connection = session.connection(within(5)).await.expect("a connection");
        turmoil::partition("client", "device");
        let began = Instant::now();
        let system = System::new(session.clone());
        let reading = tokio::spawn(async move { system.time(within(20)).await });
        let why = connection.lost().await;
        assert!(began.elapsed() < Duration::from_secs(4), "{why} after {:?}", began.elapsed());
        turmoil::repair("client", "device");
        reading.await.expect("the reader").expect("an answer");
        Ok(())
    });
    sim.run().expect("the simulation");
}

#[test]
fn a_slow_device_is_not_a_dead_one() {
    let device = Device::default();
    let mut sim = simulation(&device);
    sim.client("client", async {
        for stall in [2, 5, 30] {
            let session = session().await;
            let connection = session.connection(within(5)).await.expect("a connection");
            turmoil::hold("client", "device");
            let goes_on = tokio::spawn(async move {
                waiting::pause(Duration::from_secs(stall)).await;
                turmoil::release("client", "device");
            });
            let name = format!("after {stall} s");
            let system = System::new(session.clone());
            system.reboot(RebootMethod::Cold, &[], &name, false, within(60)).await.expect("its answer comes late");
            assert_eq!(connection.loss(), None);
            goes_on.await.expect("it went on");
        }
        Ok(())
    });
    sim.run().expect("the simulation");
    assert!(device.reboots().values().all(|times| *times == 1), "{:?}", device.reboots());
}

#[test]
fn a_device_that_answers_on_a_new_connection_alone_lost_the_old_one() {
    let device = Device::default();
    let mut sim = simulation(&device);
    let deaf = device.clone();
    sim.client("client", async move {
        let session = session().await;
        System::new(session.clone()).time(within(5)).await.expect("an answer");
        deaf.forget_connections();
        let began = Instant::now();
        let sent = System::new(session).reboot(RebootMethod::Cold, &[], "", false, within(60)).await;
        assert_eq!(sent.expect_err("no answer").kind, Kind::OutcomeUnknown);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        Ok(())
    });
    sim.run().expect("the simulation");
    assert!(device.reboots().is_empty());
}

#[test]
fn a_change_that_was_sent_is_not_repeated() {
    let device = Device::default();
    let mut sim = simulation(&device);
    sim.client("client", async {
        let session = session().await;
        turmoil::partition("client", "device");
        let sent = System::new(session).reboot(RebootMethod::Cold, &[], "", false, within(10)).await;
        let error = sent.expect_err("no answer");
        assert_eq!(error.kind, Kind::OutcomeUnknown, "{error}");
        turmoil::repair("client", "device");
        waiting::pause(Duration::from_secs(5)).await;
        Ok(())
    });
    sim.run().expect("the simulation");
    assert!(device.reboots().values().sum::<u32>() <= 1);
}

#[test]
fn a_change_that_cannot_have_left_is_made_once_on_the_next_connection() {
    let device = Device::default();
    let mut sim = simulation(&device);
    let (asked, to_ask) = tokio::sync::oneshot::channel();
    sim.client("client", async move {
        let session = session().await;
        let connection = session.connection(within(5)).await.expect("a connection");
        asked.send(()).expect("the simulation waits");
        connection.lost().await;
        System::new(session).reboot(RebootMethod::Cold, &[], "", false, within(30)).await.expect("an answer");
        Ok(())
    });
    let mut to_ask = to_ask;
    while to_ask.try_recv().is_err() {
        sim.step().expect("a step");
    }
    sim.crash("device");
    for _ in 0..2000 {
        sim.step().expect("a step");
    }
    sim.bounce("device");
    sim.run().expect("the simulation");
    assert_eq!(device.reboots().values().sum::<u32>(), 1);
}
