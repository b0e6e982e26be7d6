//! The session over a simulated network: black holes, crashes, and what may be repeated after them.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use holdfast::dial::connector::BoxFuture;
use holdfast::dial::{Address, BoxedIo, Connector, Security, Session, Settings, Target, Timeline};
use holdfast::error::Kind;
use holdfast::gnoi::System;
use holdfast::serve;
use holdfast::wire::gnoi::system::{RebootMethod, RebootRequest, RebootResponse, TimeRequest, TimeResponse};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

const PORT: u16 = 9339;

struct Simulated;

impl Connector for Simulated {
    fn resolve<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::new(turmoil::lookup(address.host.as_str()), address.port)]) })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        Box::pin(async move { Ok(Box::new(turmoil::net::TcpStream::connect(address).await?) as BoxedIo) })
    }
}

/// Serves Time, and counts Reboots.
#[derive(Clone, Default)]
struct Device {
    reboots: Arc<AtomicU32>,
}

impl tonic::server::UnaryService<TimeRequest> for Device {
    type Response = TimeResponse;
    type Future = tonic::codegen::BoxFuture<Response<TimeResponse>, Status>;

    fn call(&mut self, _: Request<TimeRequest>) -> Self::Future {
        Box::pin(async { Ok(Response::new(TimeResponse { time: 1 })) })
    }
}

impl tonic::server::UnaryService<RebootRequest> for Device {
    type Response = RebootResponse;
    type Future = tonic::codegen::BoxFuture<Response<RebootResponse>, Status>;

    fn call(&mut self, _: Request<RebootRequest>) -> Self::Future {
        self.reboots.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(Response::new(RebootResponse {})) })
    }
}

impl Service<http::Request<Body>> for Device {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let device = self.clone();
        Box::pin(async move {
            if request.uri().path().ends_with("/Time") {
                let mut grpc = tonic::server::Grpc::new(ProstCodec::<TimeResponse, TimeRequest>::default());
                return Ok(grpc.unary(device, request).await);
            }
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<RebootResponse, RebootRequest>::default());
            Ok(grpc.unary(device, request).await)
        })
    }
}

fn simulation(device: &Device) -> turmoil::Sim<'static> {
    let mut sim =
        turmoil::Builder::new().simulation_duration(Duration::from_secs(120)).rng_seed(7).tcp_capacity(4096).build();
    let device = device.clone();
    sim.host("device", move || {
        let device = device.clone();
        async move {
            let listener = turmoil::net::TcpListener::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT)).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(serve::connection(stream, device.clone(), CancellationToken::new()));
            }
        }
    });
    sim
}

async fn session() -> Session {
    let target = Target::parse("device:9339", Security::Plaintext).expect("an address");
    let settings = Settings::default();
    Session::connect_with(Arc::new(Simulated), target, settings, Timeline::default()).await.expect("a session")
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
                tokio::time::sleep(Duration::from_secs(outage)).await;
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
fn a_silent_peer_is_noticed_within_seconds() {
    let mut sim = simulation(&Device::default());
    sim.client("client", async {
        let session = session().await;
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
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    });
    sim.run().expect("the simulation");
    assert!(device.reboots.load(Ordering::SeqCst) <= 1);
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
    assert_eq!(device.reboots.load(Ordering::SeqCst), 1);
}
