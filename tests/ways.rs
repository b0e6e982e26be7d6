//! Devices that answer reads and switchovers in their own ways: each way alone, and pairs of them drawn by seed.

use std::time::Duration;

use holdfast::device::{Deadlines, Device, SwitchoverOptions};
use holdfast::dial::{Call, Security, Settings, Target};
use holdfast::emulator::{self, Chassis, Quirk};
use holdfast::error::Kind;
use holdfast::gnmi::Path;
use tokio::time::Instant;
use tonic::Code;

/// What gNMI takes and how it answers.
const READS: [Quirk; 22] = [
    Quirk::JsonIetfOnly,
    Quirk::NoSubscribe,
    Quirk::JsonIetfRefused,
    Quirk::ProtoRefused,
    Quirk::CapabilitiesUnimplemented,
    Quirk::OriginRefused,
    Quirk::OriginRequired,
    Quirk::WildcardsRefused,
    Quirk::WildcardsNotFound,
    Quirk::WildcardsUnimplemented,
    Quirk::WildcardsInternal,
    Quirk::WildcardsEmpty,
    Quirk::AbsentLeafRefused,
    Quirk::GetRefused,
    Quirk::OnceRefused,
    Quirk::SyncAfterEachUpdate,
    Quirk::SyncFirst,
    Quirk::OnceStaysOpen,
    Quirk::OnceEndsWithoutSync,
    Quirk::OnceEndsCancelled,
    Quirk::HalfCloseCancels,
    Quirk::OneNotification,
];
/// Which path SwitchControlProcessor takes, and what it says to others.
const PATHS: [Quirk; 8] = [
    Quirk::FullPathOnly,
    Quirk::NameOnly,
    Quirk::PathOriginRefused,
    Quirk::KeyedElementOnly,
    Quirk::PathFormNotFound,
    Quirk::PathFormInternal,
    Quirk::PathFormUnimplemented,
    Quirk::PathFormPrecondition,
];
/// Of which a device has one.
const EXCLUSIVE: [&[Quirk]; 6] = [
    &[Quirk::JsonIetfOnly, Quirk::JsonIetfRefused],
    &[Quirk::OriginRefused, Quirk::OriginRequired],
    &[Quirk::GetRefused, Quirk::NoSubscribe],
    &[Quirk::GetRefused, Quirk::OnceRefused],
    &[Quirk::OnceStaysOpen, Quirk::OnceEndsWithoutSync],
    &[Quirk::OnceEndsCancelled, Quirk::OnceEndsWithoutSync],
];

async fn device(quirks: &[Quirk]) -> (Chassis, Device) {
    let mut settings = emulator::Settings { quirks: quirks.to_vec(), ..emulator::Settings::default() };
    settings.timings.boot = Duration::from_millis(50);
    let chassis = Chassis::start(settings).await.expect("a chassis");
    let target = Target::parse(&chassis.address().to_string(), Security::Plaintext).expect("an address");
    let device = Device::connect(target, Settings::default(), Deadlines::emulated()).await.expect("a session");
    (chassis, device)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn roles_are_read(quirks: &[Quirk]) {
    let (_chassis, device) = device(quirks).await;
    for _ in 0..2 {
        let roles = device.control_processors(soon()).await.unwrap_or_else(|error| panic!("{quirks:?}: {error}"));
        let names: Vec<_> = roles.iter().map(|cp| (cp.name.as_str(), cp.role.name())).collect();
        assert_eq!(names, [("Supervisor1", "PRIMARY"), ("Supervisor2", "SECONDARY")], "{quirks:?}");
        assert!(roles.iter().all(|cp| cp.boot_time.is_some() && cp.ready.is_some()), "{quirks:?}: {roles:?}");
    }
    assert!(device.is_emulated().await, "{quirks:?}");
}

async fn switches(quirks: &[Quirk]) {
    let (_chassis, device) = device(quirks).await;
    for to in ["Supervisor2", "Supervisor1"] {
        let options = SwitchoverOptions { redundant: true, ..SwitchoverOptions::default() };
        let moved = device.switchover(&options).await.unwrap_or_else(|error| panic!("{quirks:?}: {error}"));
        assert_eq!(moved.to, to, "{quirks:?}");
    }
}

fn pairs(of: &[Quirk], seed: usize) -> Vec<[Quirk; 2]> {
    let all = of.iter().enumerate().flat_map(|(at, first)| of[at + 1..].iter().map(|second| [*first, *second]));
    let possible = all.filter(|pair| !EXCLUSIVE.iter().any(|not| pair.iter().all(|quirk| not.contains(quirk))));
    possible.enumerate().filter(|(at, _)| at % 5 == seed % 5).map(|(_, pair)| pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_read_from_devices_of_each_way() {
    for quirk in READS.into_iter().chain([Quirk::JsonContainers]) {
        roles_are_read(&[quirk]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_read_from_devices_of_two_ways() {
    let seed = std::env::var("HOLDFAST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let quirks: Vec<_> = READS.into_iter().chain([Quirk::JsonContainers]).collect();
    for pair in pairs(&quirks, seed) {
        roles_are_read(&pair).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_read_from_devices_of_many_ways() {
    use Quirk::{JsonContainers, JsonIetfRefused, NoSubscribe, OnceStaysOpen, OriginRefused, SyncAfterEachUpdate};
    roles_are_read(&[JsonIetfRefused, OriginRefused, Quirk::WildcardsRefused, NoSubscribe]).await;
    roles_are_read(&[Quirk::JsonIetfOnly, OriginRefused, Quirk::WildcardsEmpty, JsonContainers]).await;
    roles_are_read(&[Quirk::WildcardsEmpty, Quirk::OnceEndsCancelled]).await;
    roles_are_read(&[SyncAfterEachUpdate, OnceStaysOpen, Quirk::HalfCloseCancels, Quirk::WildcardsInternal]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_works_on_devices_of_each_way() {
    for quirk in PATHS {
        switches(&[quirk]).await;
    }
    for quirk in [Quirk::WildcardsRefused, Quirk::OriginRefused, Quirk::OnceStaysOpen, Quirk::OnceRefused] {
        switches(&[quirk, Quirk::PathFormNotFound]).await;
    }
    switches(&[Quirk::KeyedElementOnly, Quirk::PathFormInternal]).await;
    switches(&[Quirk::PathOriginRefused, Quirk::PathFormPrecondition]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_is_proved_on_devices_of_each_way() {
    for quirk in [Quirk::OriginRefused, Quirk::WildcardsNotFound, Quirk::JsonIetfRefused, Quirk::OnceRefused] {
        let (_chassis, device) = device(&[quirk]).await;
        let reboot = device.reboot(false).await.unwrap_or_else(|error| panic!("{quirk:?}: {error}"));
        assert!(reboot.not_checked.is_empty(), "{quirk:?}: {:?}", reboot.not_checked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_works_is_remembered() {
    for (quirk, most) in [(None, 1), (Some(Quirk::OriginRefused), 1), (Some(Quirk::WildcardsRefused), 1)] {
        let (chassis, device) = device(&quirk.into_iter().collect::<Vec<_>>()).await;
        device.control_processors(soon()).await.expect("roles");
        chassis.failpoints().arm("gnmi.Subscribe", "print(asked)").expect("a failpoint");
        chassis.failpoints().arm("gnmi.Get", "print(asked)").expect("a failpoint");
        device.control_processors(soon()).await.expect("roles");
        let hits = |point| chassis.failpoints().hits(point).expect("a failpoint");
        assert_eq!((hits("gnmi.Subscribe"), hits("gnmi.Get")), (most, 0), "{quirk:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_refuses_everything_says_so_in_its_first_words() {
    for code in ["INVALID_ARGUMENT", "NOT_FOUND", "UNKNOWN", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"] {
        let (chassis, device) = device(&[]).await;
        let first = format!("1*error[{code}](first words)->error[INTERNAL](other words)");
        chassis.failpoints().arm("gnmi.Subscribe", &first).expect("a failpoint");
        chassis.failpoints().arm("gnmi.Get", "error[INTERNAL](other words)").expect("a failpoint");
        let error = device.control_processors(soon()).await.expect_err(code);
        assert_eq!(error.code(), holdfast::error::code_by_name(code), "{error}");
        let said = error.to_string();
        assert!(said.contains("first words (asked for /components/component[name=*]/state/redundant-role"), "{said}");
        assert!(said.contains("Subscribe ONCE in PROTO"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_form_is_tried_where_the_user_may_not_ask() {
    for code in [Code::PermissionDenied, Code::Unauthenticated] {
        let (chassis, device) = device(&[]).await;
        let terms = format!("error[{}](no)", holdfast::error::code_name(code));
        chassis.failpoints().arm("gnmi.Subscribe", &terms).expect("a failpoint");
        let error = device.control_processors(soon()).await.expect_err("a refusal");
        assert_eq!(error.kind, Kind::Status(code));
        assert_eq!(chassis.failpoints().hits("gnmi.Subscribe").expect("a failpoint"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_refused_later_is_looked_for_again() {
    let (chassis, device) = device(&[]).await;
    device.control_processors(soon()).await.expect("roles");
    chassis.failpoints().arm("gnmi.Subscribe", "error[UNKNOWN](other software)").expect("a failpoint");
    assert_eq!(device.control_processors(soon()).await.expect("by Get").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_are_read_in_each_way_that_a_once_ends() {
    use Quirk::{OnceEndsCancelled, OnceEndsWithoutSync, OnceStaysOpen, SyncAfterEachUpdate, SyncFirst};
    let path: Path = "/components/component[name=Supervisor1]/state".parse().expect("a path");
    let (_chassis, usual) = device(&[]).await;
    let read = |device: Device| {
        let paths = [path.clone()];
        async move { device.gnmi.once(&paths, Call::read("gNMI.Subscribe", soon())).await.expect("leaves").len() }
    };
    let all = read(usual).await;
    for quirks in [
        &[SyncAfterEachUpdate][..],
        &[SyncFirst],
        &[OnceStaysOpen],
        &[OnceEndsWithoutSync],
        &[OnceEndsCancelled],
        &[SyncAfterEachUpdate, OnceStaysOpen],
        &[SyncFirst, OnceStaysOpen],
        &[SyncFirst, OnceEndsCancelled],
        &[Quirk::OneNotification],
        &[Quirk::JsonContainers],
        &[Quirk::HalfCloseCancels],
        &[Quirk::JsonIetfRefused],
        &[Quirk::ProtoRefused],
    ] {
        let (_chassis, device) = device(quirks).await;
        for _ in 0..2 {
            assert_eq!(read(device.clone()).await, all, "{quirks:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_a_path_is_tried_once_the_roles_moved() {
    let (chassis, device) = device(&[]).await;
    chassis
        .failpoints()
        .arm("system.SwitchControlProcessor.after", "1*error[INTERNAL](it began)")
        .expect("a failpoint");
    let moved = device.switchover(&SwitchoverOptions::default()).await.expect("it went after all");
    assert_eq!(moved.to, "Supervisor2");
    assert_eq!(chassis.active(), "Supervisor2");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_device_says_to_forms_of_a_path_is_told() {
    let (chassis, device) = device(&[]).await;
    let terms = "1*error[NOT_FOUND](what is this)->error[UNIMPLEMENTED](another thing)";
    chassis.failpoints().arm("system.SwitchControlProcessor", terms).expect("a failpoint");
    let error = device.switchover(&SwitchoverOptions::default()).await.expect_err("refused").to_string();
    assert!(error.contains("NOT_FOUND: what is this; to Supervisor2: UNIMPLEMENTED: another thing"), "{error}");
}
