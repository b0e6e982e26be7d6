//! Failovers of the emulated device, seen by the client over real sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast::device::expect::Patience;
use holdfast::device::{Deadlines, Device, Switchover, SwitchoverOptions, Trigger};
use holdfast::dial::connector::BoxFuture;
use holdfast::dial::{Address, BoxedIo, Connector, Security, Session, Settings, Target, Tcp, Timeline};
use holdfast::emulator::{self, Chassis, Outage, Quirk};
use holdfast::error::{Error, Kind, RebootFault, SwitchoverFault};
use holdfast::gnoi::containerz::{Mount, StartOptions, VolumeOptions};
use holdfast::waiting;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

async fn device(settings: emulator::Settings) -> (Chassis, Device) {
    let chassis = Chassis::start(settings).await.expect("a chassis");
    let target = Target::parse(&chassis.address().to_string(), Security::Plaintext).expect("an address");
    let device = Device::connect(target, Settings::default(), Deadlines::emulated()).await.expect("a session");
    (chassis, device)
}

fn silent() -> emulator::Settings {
    emulator::Settings { outage: Outage::Silent, ..emulator::Settings::default() }
}

async fn switch(device: &Device) -> Result<Switchover, Error> {
    device.switchover(&SwitchoverOptions { redundant: true, ..SwitchoverOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_swaps_the_roles_and_is_witnessed() {
    for settings in [emulator::Settings::default(), silent()] {
        let is_silent = settings.outage == Outage::Silent;
        let (chassis, device) = device(settings).await;
        assert_eq!(chassis.active(), "Supervisor1");
        let moved = switch(&device).await.expect("a switchover");
        assert_eq!((moved.from.as_str(), moved.to.as_str()), ("Supervisor1", "Supervisor2"));
        assert_eq!(chassis.active(), "Supervisor2");
        // That a silent connection is lost shows only a while after the device is back.
        let wanted = if is_silent { 1..=2 } else { 2..=2 };
        assert!(wanted.contains(&moved.witnesses.len()), "{:?}", moved.witnesses);
        assert!(moved.outage.expect("an outage").duration() > Duration::ZERO);
        let back = switch(&device).await.expect("the way back");
        assert_eq!(back.to, "Supervisor1");
    }
}

/// Lets bytes through to `upstream` and back, unless they are held; its address, and what holds them.
async fn passage(upstream: SocketAddr) -> (SocketAddr, Arc<watch::Sender<bool>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let held = Arc::new(watch::Sender::new(false));
    let holder = held.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(upstream).await else { continue };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass(near_in, far_out, holder.subscribe()));
            tokio::spawn(pass(far_in, near_out, holder.subscribe()));
        }
    });
    (address, held)
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: watch::Receiver<bool>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let let_through = held.wait_for(|held| !held).await.is_ok();
        if !let_through || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// Returns once the device has agreed to switch over.
async fn once_agreed(device: &Device) {
    let agreed = || async {
        let events = device.session().timeline().since(Duration::ZERO);
        if events.iter().any(|event| event.text == "the device agreed") { Ok(()) } else { Err(()) }
    };
    let limit = Instant::now() + Duration::from_secs(20);
    waiting::until(limit, Duration::from_millis(5), agreed).await.expect("it agrees");
}

/// Holds what passes for `stall`, once the device has agreed to switch over.
async fn stall_once_agreed(device: Device, held: Arc<watch::Sender<bool>>, stall: Duration) {
    once_agreed(&device).await;
    held.send_replace(true);
    waiting::pause(stall).await;
    held.send_replace(false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_stalls_has_not_gone_away() {
    for stall in [1_000, 3_500] {
        let settings =
            emulator::Settings { quirks: vec![Quirk::NoLastSwitchoverTime], ..emulator::Settings::default() };
        let chassis = Chassis::start(settings).await.expect("a chassis");
        chassis.failpoints().arm("switchover.claimed", "1*error(x)").expect("a failpoint");
        let (address, held) = passage(chassis.address()).await;
        let target = Target::parse(&address.to_string(), Security::Plaintext).expect("an address");
        let device = Device::connect(target, Settings::default(), Deadlines::emulated()).await.expect("a session");
        let stalling = tokio::spawn(stall_once_agreed(device.clone(), held, Duration::from_millis(stall)));
        let error = device.switchover(&SwitchoverOptions::default()).await.expect_err("nothing went away");
        assert!(matches!(error.kind, Kind::Switchover(_)), "{stall} ms: {error}");
        let seen = device.session().timeline().since(Duration::ZERO);
        let gone = seen.iter().find(|event| event.text.starts_with("the device went away"));
        assert_eq!(gone, None, "{stall} ms: {error}");
        stalling.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_outage_is_a_witness_once_the_device_answers_elsewhere() {
    let settings = emulator::Settings { quirks: vec![Quirk::NoLastSwitchoverTime], ..silent() };
    let (_chassis, device) = device(settings).await;
    let moved = switch(&device).await.expect("a switchover");
    assert_eq!(moved.witnesses.len(), 1, "{:?}", moved.witnesses);
    assert!(moved.witnesses[0].contains("no more on this one"), "{:?}", moved.witnesses);
}

/// A name that resolves to several addresses.
struct Several(Vec<SocketAddr>);

impl Connector for Several {
    fn resolve<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(self.0.clone()) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        Tcp.connect(address)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_several_addresses_leads_to_the_active_one() {
    let second = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let settings = emulator::Settings { listen_second: second, ..emulator::Settings::default() };
    let chassis = Chassis::start(settings).await.expect("a chassis");
    let own = chassis.management_address();
    let own: Vec<SocketAddr> = own.split(',').map(|text| text.parse().expect("an address")).collect();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let target = Target::parse("chassis.example", Security::Plaintext).expect("a name");
    let named = Arc::new(Several(vec![nowhere, own[1], own[0]]));
    let session = Session::connect_with(named, target, Settings::default(), Timeline::default()).await;
    let device = Device::over(session.expect("a session"), Deadlines::emulated());
    for active in ["Supervisor2", "Supervisor1"] {
        assert_eq!(switch(&device).await.expect("a switchover").to, active);
        let volume = VolumeOptions { name: active.into(), ..VolumeOptions::default() };
        device.containerz.create_volume(&volume, device.session().deadline(None)).await.expect("who is in charge");
    }
}

/// Each of them passes on to the next address: two at a time would come back to the same of two.
#[tokio::test]
async fn calls_that_are_refused_side_by_side_all_come_to_the_active_one() {
    let second = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let settings = emulator::Settings { listen_second: second, ..emulator::Settings::default() };
    let chassis = Chassis::start(settings).await.expect("a chassis");
    let own = chassis.management_address();
    let (active, standby) = own.split_once(',').expect("two addresses");
    for many in [2, 4] {
        let target = Target::parse(&format!("{standby},{active}"), Security::Plaintext).expect("addresses");
        let session = Session::connect(target, Settings::default()).await.expect("a session");
        let device = Device::over(session, Deadlines::emulated());
        let soon = Instant::now() + Duration::from_secs(5);
        let listed = futures_util::future::join_all((0..many).map(|_| device.containerz.volumes(soon))).await;
        for volumes in listed {
            volumes.expect("the active one answers");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_a_switchover_fails_has_its_name() {
    for (point, terms, fault) in [
        ("switchover.ignored", "1*error(x)", SwitchoverFault::Ignored),
        ("system.SwitchControlProcessor", "error[INTERNAL](no)", SwitchoverFault::Refused),
        ("system.SwitchControlProcessor", "error[UNIMPLEMENTED](no)", SwitchoverFault::Unimplemented),
        ("switchover.reversed", "1*error(x)", SwitchoverFault::Reversed),
        ("switchover.claimed", "1*error(x)", SwitchoverFault::Unproven),
        ("switchover.never_redundant", "1*error(x)", SwitchoverFault::NeverRedundant),
    ] {
        let (chassis, device) = device(emulator::Settings::default()).await;
        chassis.failpoints().arm(point, terms).expect("a failpoint");
        let error = switch(&device).await.expect_err(point);
        assert_eq!(error.kind, Kind::Switchover(fault), "{point}: {error}");
        let ignored = error.message.contains("the device agreed and did nothing: Supervisor1 is PRIMARY still");
        assert_eq!(ignored, fault == SwitchoverFault::Ignored, "{point}: {error}");
        let forms = if point.starts_with("system.") { 4 } else { 1 };
        assert_eq!(chassis.failpoints().hits(point).expect("a failpoint"), forms, "{point}");
    }
}

/// A device whose Containerz answers a listing as `terms` say once it was switched over, and whether it did before.
async fn switched_with(terms: &str, known: bool) -> (Chassis, Device, Result<Switchover, Error>) {
    let (chassis, device) = device(emulator::Settings::default()).await;
    if known {
        device.containerz.images(device.session().deadline(None)).await.expect("it serves Containerz");
    }
    chassis.failpoints().arm("containerz.ListImage", terms).expect("a failpoint");
    let moved = device.switchover(&SwitchoverOptions::default()).await;
    (chassis, device, moved)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_primary_serves_containerz_once_it_lists_well() {
    for refused in ["INTERNAL", "UNIMPLEMENTED"] {
        let terms = format!("3*error[{refused}](it loads)");
        let (chassis, _device, moved) = switched_with(&terms, true).await;
        let moved = moved.unwrap_or_else(|error| panic!("{refused}: {error}"));
        assert_eq!(moved.not_checked, [], "{refused}");
        assert_eq!(chassis.failpoints().hits("containerz.ListImage").expect("a failpoint"), 3, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_primary_that_never_lists_well_is_told_by_why() {
    let (_chassis, _device, broken) = switched_with("error[INTERNAL](broken)", true).await;
    let broken = broken.expect_err("it never lists");
    assert_eq!(broken.kind, Kind::Switchover(SwitchoverFault::NeverBack), "{broken}");
    let gone = "error[UNIMPLEMENTED](gone)";
    let (_chassis, _device, lost) = switched_with(gone, true).await;
    let lost = lost.expect_err("it served Containerz before");
    assert_eq!(lost.kind, Kind::Status(tonic::Code::Unimplemented), "{lost}");
    let (_chassis, _device, moved) = switched_with(gone, false).await;
    let moved = moved.expect("nobody knows that it ever served Containerz");
    let unchecked: Vec<_> = moved.not_checked.iter().map(|each| each.what.as_str()).collect();
    assert_eq!(unchecked, ["whether Containerz is served"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_on_its_way_up_may_refuse_to_tell_its_roles() {
    let (chassis, device) = device(emulator::Settings::default()).await;
    let refusing = async {
        once_agreed(&device).await;
        chassis.failpoints().arm("gnmi.Subscribe", "3*error[INTERNAL](it loads)").expect("a failpoint");
    };
    let (moved, ()) = tokio::join!(switch(&device), refusing);
    assert_eq!(moved.expect("a switchover").to, "Supervisor2");
    assert_eq!(chassis.failpoints().hits("gnmi.Subscribe").expect("a failpoint"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_comes_after_the_last_moment_to_ask_is_one_still() {
    let chassis = Chassis::start(emulator::Settings::default()).await.expect("a chassis");
    let target = Target::parse(&chassis.address().to_string(), Security::Plaintext).expect("an address");
    let mut deadlines = Deadlines::emulated();
    deadlines.set("ready", Duration::from_secs(1)).expect("a step");
    let device = Device::connect(target, Settings::default(), deadlines).await.expect("a session");
    let slowly = "delay(700ms)+error[FAILED_PRECONDITION](busy)";
    chassis.failpoints().arm("system.SwitchControlProcessor", slowly).expect("a failpoint");
    let error = switch(&device).await.expect_err("it is busy all the time");
    assert_eq!(error.kind, Kind::Switchover(SwitchoverFault::Refused), "{error}");
}

fn without_readiness(quirks: &[Quirk]) -> emulator::Settings {
    let quirks = [&[Quirk::NoSwitchoverReady], quirks].concat();
    emulator::Settings { quirks, ..emulator::Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_always_inactive_takes_over_and_is_not_called_in_step() {
    let (_chassis, device) = device(without_readiness(&[Quirk::StandbyInactive])).await;
    for _ in 0..2 {
        let moved = switch(&device).await.expect("a switchover");
        let unchecked: Vec<_> = moved.not_checked.iter().map(|each| each.what.as_str()).collect();
        let standby = format!("whether {} is in step as the standby", moved.from);
        assert_eq!(unchecked, ["switchover-ready", standby.as_str()]);
    }
    let asked = device.session().timeline().since(Duration::ZERO);
    let asked = asked.iter().filter(|event| event.text.contains("no switchover-ready tells more")).count();
    assert_eq!(asked, 1, "what this device's oper-status means is known after the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_stays_down_is_never_called_in_step() {
    let (chassis, device) = device(without_readiness(&[])).await;
    chassis.failpoints().arm("switchover.never_redundant", "1*error(x)").expect("a failpoint");
    let error = switch(&device).await.expect_err("its standby was ACTIVE before, and is not any more");
    assert_eq!(error.kind, Kind::Switchover(SwitchoverFault::NeverRedundant), "{error}");

    // Who has never seen it ACTIVE cannot know what INACTIVE means there; the device knows, and refuses.
    let target = Target::parse(&chassis.address().to_string(), Security::Plaintext).expect("an address");
    let mut deadlines = Deadlines::emulated();
    for step in ["ready", "redundant"] {
        deadlines.set(step, Duration::from_secs(2)).expect("a step"); // also what a busy machine may take to tell the roles
    }
    let newcomer = Device::connect(target, Settings::default(), deadlines).await.expect("a session");
    assert!(newcomer.redundant("Supervisor2").await.expect("nobody can tell").is_some());
    let error = switch(&newcomer).await.expect_err("the standby is down");
    assert_eq!(error.kind, Kind::Switchover(SwitchoverFault::Refused), "{error}");
    let rude = SwitchoverOptions { trigger: Trigger::RebootActive, ..SwitchoverOptions::default() };
    let error = newcomer.switchover(&rude).await.expect_err("nobody fails the only one that is up");
    assert_eq!(error.kind, Kind::Switchover(SwitchoverFault::NotReady), "{error}");
    assert_eq!(chassis.active(), "Supervisor2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_tells_of_changes_is_not_asked_all_the_time() {
    for quirk in [None, Some(Quirk::NoSubscribe)] {
        let mut settings = emulator::Settings::default();
        settings.timings.boot = Duration::from_secs(2);
        settings.quirks.extend(quirk);
        let (chassis, device) = device(settings).await;
        let moved = device.switchover(&SwitchoverOptions::default()).await.expect("a switchover");
        chassis.failpoints().arm("gnmi.Subscribe", "print(asked)").expect("a failpoint");
        device.redundant(&moved.to).await.expect("the old active is back");
        let asked = chassis.failpoints().hits("gnmi.Subscribe").expect("a failpoint");
        assert!(quirk.is_some() || asked <= 30, "asked {asked} times, where looks alone would be eighty");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_is_proved_by_boot_times() {
    let (_chassis, device) = device(emulator::Settings::default()).await;
    let reboot = device.reboot(false).await.expect("a reboot");
    assert_eq!(reboot.witnesses.len(), 2, "{:?}", reboot.witnesses);
    assert!(reboot.not_checked.is_empty(), "{:?}", reboot.not_checked);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_a_reboot_fails_has_its_name() {
    for (point, fault) in [("reboot.ignored", RebootFault::Ignored), ("reboot.one_card", RebootFault::Partial)] {
        let (chassis, device) = device(emulator::Settings::default()).await;
        chassis.failpoints().arm(point, "1*error(x)").expect("a failpoint");
        let error = device.reboot(false).await.expect_err(point);
        assert_eq!(error.kind, Kind::Reboot(fault), "{point}: {error}");
    }
}

/// Whoever booted may have had another reason, such as a switchover that was under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_without_an_answer_is_not_called_partial_by_one_part_that_booted() {
    let (chassis, device) = device(emulator::Settings::default()).await;
    chassis.failpoints().arm("reboot.one_card", "1*error(x)").expect("a failpoint");
    chassis.failpoints().arm("system.Reboot.after", "1*drop").expect("a failpoint");
    let error = device.reboot(false).await.expect_err("nobody knows");
    assert_eq!(error.kind, Kind::OutcomeUnknown, "{error}");
    assert!(error.message.contains("running"), "what was seen is told: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_survives_and_a_missing_one_is_refused_before_the_start() {
    let (_chassis, device) = device(emulator::Settings::default()).await;
    let deadline = || device.session().deadline(None);
    let volume = VolumeOptions { name: "ledger".into(), ..VolumeOptions::default() };
    device.containerz.create_volume(&volume, deadline()).await.expect("a volume");
    let before = device.expect_volume("ledger", None, Patience::default()).await.expect("the volume");
    switch(&device).await.expect("a switchover");
    device.expect_volume("ledger", Some(&before), Patience::default()).await.expect("the same volume");
    let mount = Mount { name: "absent".into(), mount_point: "/data".into(), read_only: false };
    let start = StartOptions { instance_name: "c".into(), volumes: vec![mount], ..StartOptions::default() };
    let error = device.containerz.start(&start, deadline()).await.expect_err("no such volume");
    assert_eq!(error.code(), Some(tonic::Code::NotFound));
}
