//! Failovers of the emulated device, seen by the client over real sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast::device::expect::Patience;
use holdfast::device::{Deadlines, Device, SwitchoverOptions};
use holdfast::dial::connector::BoxFuture;
use holdfast::dial::{Address, BoxedIo, Connector, Security, Session, Settings, Target, Tcp, Timeline};
use holdfast::emulator::{self, Chassis, Outage, Quirk};
use holdfast::error::{Kind, RebootFault, SwitchoverFault};
use holdfast::gnoi::containerz::{Mount, StartOptions, VolumeOptions};

async fn device(settings: emulator::Settings) -> (Chassis, Device) {
    let chassis = Chassis::start(settings).await.expect("a chassis");
    let target = Target::parse(&chassis.address().to_string(), Security::Plaintext).expect("an address");
    let device = Device::connect(target, Settings::default(), Deadlines::emulated()).await.expect("a session");
    (chassis, device)
}

fn silent() -> emulator::Settings {
    emulator::Settings { outage: Outage::Silent, ..emulator::Settings::default() }
}

async fn switch(device: &Device) -> Result<holdfast::device::Switchover, holdfast::error::Error> {
    device.switchover(&SwitchoverOptions { redundant: true, ..SwitchoverOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_swaps_the_roles_and_is_witnessed() {
    for settings in [emulator::Settings::default(), silent()] {
        let (chassis, device) = device(settings).await;
        assert_eq!(chassis.active(), "Supervisor1");
        let moved = switch(&device).await.expect("a switchover");
        assert_eq!((moved.from.as_str(), moved.to.as_str()), ("Supervisor1", "Supervisor2"));
        assert_eq!(chassis.active(), "Supervisor2");
        assert_eq!(moved.witnesses.len(), 2, "{:?}", moved.witnesses);
        let outage = moved.outage.expect("an outage").duration();
        assert!(outage >= Duration::from_millis(150), "{outage:?}");
        let back = switch(&device).await.expect("the way back");
        assert_eq!(back.to, "Supervisor1");
    }
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
        let forms = if point.starts_with("system.") { 4 } else { 1 };
        assert_eq!(chassis.failpoints().hits(point).expect("a failpoint"), forms, "{point}");
    }
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
