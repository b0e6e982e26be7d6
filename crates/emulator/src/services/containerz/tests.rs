//! Operations that are asked for at once: each checks and acts as if it were alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::{Code, Request, Status};

use super::{Containerz, ContainerzService};
use crate::chassis::Chassis;
use crate::settings::Settings;
use crate::store::Image;
use holdfast_wire::gnoi::containerz as wire;

/// How many ask at once, and how often that is tried.
const CALLERS: usize = 8;
const ROUNDS: usize = 40;

/// A device that has the image `app:latest` and the plugin `plug`.
async fn device() -> (Chassis, ContainerzService) {
    let chassis = Chassis::start(Settings::default()).await.expect("a chassis");
    let service = ContainerzService::new(chassis.shared().clone(), 0);
    let image = Image {
        manifest: String::new(),
        id: format!("sha256:{:064x}", 1),
        names: vec![("app".to_owned(), "latest".to_owned())],
        size: 1,
        command: Vec::new(),
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
    };
    let changed = service.change(|held| {
        held.add_image(image);
        held.plugin_tars.push("plug".to_owned());
        Ok(())
    });
    changed.expect("a store");
    (chassis, service)
}

/// How often each status came when all of them asked at once.
async fn at_once<T, F>(
    service: &ContainerzService,
    ask: impl Fn(Arc<ContainerzService>, usize) -> F,
) -> BTreeMap<String, usize>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let service = Arc::new(service.clone());
    let start = Arc::new(tokio::sync::Barrier::new(CALLERS));
    let asked = (0..CALLERS).map(|caller| {
        let (start, asking) = (start.clone(), ask(service.clone(), caller));
        tokio::spawn(async move {
            start.wait().await;
            asking.await.map_or_else(|status| status.code(), |_| Code::Ok)
        })
    });
    let mut counts = BTreeMap::new();
    for answer in asked.collect::<Vec<_>>() {
        *counts.entry(format!("{:?}", answer.await.expect("an answer"))).or_default() += 1;
    }
    counts
}

fn one_of(others: Code) -> BTreeMap<String, usize> {
    BTreeMap::from([("Ok".to_owned(), 1), (format!("{others:?}"), CALLERS - 1)])
}

fn start_request(name: &str) -> Request<wire::StartContainerRequest> {
    Request::new(wire::StartContainerRequest {
        instance_name: name.to_owned(),
        image_name: "app".to_owned(),
        network: "bridge".to_owned(),
        ..wire::StartContainerRequest::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_of_many_starts_of_a_name_succeeds() {
    let (_chassis, service) = device().await;
    for round in 0..ROUNDS {
        let counts = at_once(&service, |service, _| async move {
            service.start_container(start_request(&format!("c{round}"))).await
        });
        assert_eq!(counts.await, one_of(Code::AlreadyExists), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_of_many_volumes_of_a_name_is_created_and_one_removal_of_it_succeeds() {
    let (_chassis, service) = device().await;
    for round in 0..ROUNDS {
        let name = format!("v{round}");
        let create = wire::CreateVolumeRequest { name: name.clone(), ..wire::CreateVolumeRequest::default() };
        let counts = at_once(&service, |service, _| {
            let create = create.clone();
            async move { service.create_volume(Request::new(create)).await }
        });
        assert_eq!(counts.await, one_of(Code::AlreadyExists), "round {round}");
        let remove = wire::RemoveVolumeRequest { name, ..wire::RemoveVolumeRequest::default() };
        let counts = at_once(&service, |service, _| {
            let remove = remove.clone();
            async move { service.remove_volume(Request::new(remove)).await }
        });
        assert_eq!(counts.await, one_of(Code::NotFound), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_of_many_removals_of_a_container_or_an_image_succeeds() {
    let (_chassis, service) = device().await;
    for round in 0..ROUNDS / 4 {
        service.start_container(start_request("c")).await.expect("a start");
        let counts = at_once(&service, |service, _| async move {
            let request = wire::RemoveContainerRequest { name: "c".to_owned(), force: true };
            service.remove_container(Request::new(request)).await
        });
        assert_eq!(counts.await, one_of(Code::NotFound), "round {round}");
    }
    let counts = at_once(&service, |service, _| async move {
        let request = wire::RemoveImageRequest { name: "app".to_owned(), ..wire::RemoveImageRequest::default() };
        service.remove_image(Request::new(request)).await
    });
    assert_eq!(counts.await, one_of(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn one_of_many_starts_of_a_plugin_succeeds() {
    let (_chassis, service) = device().await;
    let counts = at_once(&service, |service, _| async move {
        let (name, instance_name) = ("plug".to_owned(), "one".to_owned());
        let request = wire::StartPluginRequest { name, instance_name, ..wire::StartPluginRequest::default() };
        service.start_plugin(Request::new(request)).await
    });
    assert_eq!(counts.await, one_of(Code::AlreadyExists));
    let counts = at_once(&service, |service, _| async move {
        let request = wire::StopPluginRequest { instance_name: "one".to_owned() };
        service.stop_plugin(Request::new(request)).await
    });
    assert_eq!(counts.await, one_of(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_volume_that_a_start_found_is_not_removed_under_it() {
    let (_chassis, service) = device().await;
    for round in 0..ROUNDS {
        let (container, volume) = (format!("c{round}"), format!("v{round}"));
        let create = wire::CreateVolumeRequest { name: volume.clone(), ..wire::CreateVolumeRequest::default() };
        service.create_volume(Request::new(create)).await.expect("a volume");
        let mut start = start_request(&container).into_inner();
        start.volumes = vec![wire::Volume { name: volume.clone(), mount_point: "/data".to_owned(), read_only: false }];
        at_once(&service, |service, caller| {
            let (start, volume) = (start.clone(), volume.clone());
            async move {
                if caller % 2 == 0 {
                    service.start_container(Request::new(start)).await.map(drop)
                } else {
                    let remove = wire::RemoveVolumeRequest { name: volume, force: false };
                    service.remove_volume(Request::new(remove)).await.map(drop)
                }
            }
        })
        .await;
        let held = service.inventory();
        let (started, kept) = (held.container(&container).is_some(), held.volume(&volume).is_some());
        assert_eq!(started, kept, "round {round}: a container without its volume, or neither used nor removed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn an_update_and_starts_of_its_name_leave_one_container_that_runs() {
    let (_chassis, service) = device().await;
    service.start_container(start_request("c")).await.expect("a start");
    for round in 0..ROUNDS {
        let counts = at_once(&service, |service, caller| async move {
            if caller % 2 == 0 {
                let request = wire::UpdateContainerRequest {
                    instance_name: "c".to_owned(),
                    image_name: "app".to_owned(),
                    params: Some(start_request("c").into_inner()),
                    ..wire::UpdateContainerRequest::default()
                };
                service.update_container(Request::new(request)).await.map(drop)
            } else {
                let restart = wire::StartContainerRequest {
                    instance_name: "c".to_owned(),
                    ..wire::StartContainerRequest::default()
                };
                service.start_container(Request::new(restart)).await.map(drop)
            }
        });
        let half = CALLERS / 2;
        let expected = BTreeMap::from([("Ok".to_owned(), half), ("AlreadyExists".to_owned(), half)]);
        assert_eq!(counts.await, expected, "round {round}: it never stops for who asks");
        assert_eq!(service.inventory().containers.len(), 1);
    }
}
