//! An HTTP/2 proxy between client and device: its connection to us lives through every failover of what lies behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdfast::device::{Deadlines, Device, SwitchoverOptions, Ways};
use holdfast::dial::{Security, Settings, Target};
use holdfast::emulator::{self, Chassis, Outage};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;
use tonic::body::Body;

/// How long the proxy waits for what lies behind it.
const PATIENCE: Duration = Duration::from_millis(300);

/// Each request goes to `upstream` on a connection of its own; who cannot be reached there is UNAVAILABLE.
async fn forward(request: Request<Incoming>, upstream: SocketAddr) -> Result<Response<Body>, std::convert::Infallible> {
    let away = |why: String| Status::unavailable(format!("upstream: {why}")).into_http();
    let forwarded = async {
        let stream = TcpStream::connect(upstream).await.map_err(|error| error.to_string())?;
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut send, driver) = handshake.map_err(|error| error.to_string())?;
        tokio::spawn(driver);
        send.send_request(request).await.map_err(|error| error.to_string())
    };
    Ok(match tokio::time::timeout(PATIENCE, forwarded).await {
        Err(_) => away("it does not answer".to_owned()),
        Ok(Err(why)) => away(why),
        Ok(Ok(answer)) => {
            answer.map(|body| Body::new(body.map_err(|error| Status::unavailable(format!("upstream: {error}")))))
        }
    })
}

/// A proxy before `upstream`; its address, and how many connections it took so far.
async fn proxy(upstream: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(move |request| forward(request, upstream));
            let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    (address, accepted)
}

async fn device(outage: Outage, ways: Ways) -> (Chassis, Device, Arc<AtomicUsize>) {
    let mut settings = emulator::Settings { outage, ..emulator::Settings::default() };
    settings.timings.outage = Duration::from_secs(1); // a busy machine looks too seldom to see a short one behind a proxy
    let chassis = Chassis::start(settings).await.expect("a chassis");
    let (address, accepted) = proxy(chassis.address()).await;
    let target = Target::parse(&address.to_string(), Security::Plaintext).expect("an address");
    let device = Device::connect(target, Settings::default(), Deadlines::emulated()).await.expect("a session");
    (chassis, device.with_ways(ways), accepted)
}

fn redundant() -> SwitchoverOptions {
    SwitchoverOptions { redundant: true, ..SwitchoverOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn switchovers_and_reboots_are_seen_through_a_proxy() {
    for outage in [Outage::Closed, Outage::Silent] {
        let (chassis, device, _) = device(outage, Ways::default()).await;
        let moved = device.switchover(&redundant()).await.expect("a switchover");
        assert_eq!(moved.to, chassis.active());
        let away = moved.outage.expect("it was away").duration();
        assert!(away >= Duration::from_millis(100), "{outage:?}: {away:?}");
        assert!(
            moved.witnesses.iter().any(|witness| witness.contains("last-switchover-time")),
            "{:?}",
            moved.witnesses
        );
        let reboot = device.reboot(false).await.expect("a reboot");
        assert!(reboot.witnesses.iter().any(|witness| witness.contains("boot-time")), "{:?}", reboot.witnesses);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_that_only_a_proxy_could_witness_is_not_believed() {
    let (chassis, device, _) = device(Outage::Closed, Ways::default()).await;
    chassis.failpoints().arm("switchover.claimed", "1*error(x)").expect("a failpoint");
    let error = device.switchover(&redundant()).await.expect_err("the roles are only claimed to have moved");
    assert_eq!(error.kind, holdfast::error::Kind::Switchover(holdfast::error::SwitchoverFault::Unproven), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_vendor_needs_it_no_old_connection_is_used_after_a_switchover() {
    for fresh_connection in [false, true] {
        let ways = Ways { fresh_connection, ..Ways::default() };
        let (_chassis, device, accepted) = device(Outage::Closed, ways).await;
        let before = device.session().current().expect("connected");
        device.switchover(&redundant()).await.expect("a switchover");
        let dials = accepted.load(Ordering::SeqCst);
        let stayed = device.session().current().is_some_and(|now| now.is(&before));
        // The connection to the proxy outlives the device's, unless a slow answer had the session dial beside it.
        assert!(if fresh_connection { !stayed } else { stayed || dials > 1 }, "{fresh_connection}: {dials} dials");
    }
}
