//! A change of which was told in time that it failed leaves no more: where its connection takes no bytes for a while, and
//! takes them again afterwards.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast::dial::connector::BoxFuture;
use holdfast::dial::{Address, BoxedIo, Connector, Security, Session, Settings, Target, Timeline};
use holdfast::error::Kind;
use holdfast::gnoi::System;
use http::{HeaderMap, HeaderValue, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

/// What fits between the two ends: less than the headers of a call.
const PIPE: usize = 64;

/// A device behind pipes that let bytes through to it while they are open.
#[derive(Clone)]
struct Device {
    open: watch::Sender<bool>,
    /// The methods that came.
    came: Arc<Mutex<Vec<String>>>,
    /// How many of its connections ended.
    ended: watch::Sender<usize>,
}

impl Device {
    fn new() -> Self {
        Self { open: watch::Sender::new(true), came: Arc::default(), ended: watch::Sender::new(0) }
    }

    fn came(&self, method: &str) -> usize {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|came| *came == method).count()
    }

    /// Answers reads and changes alike.
    async fn serve(self, stream: DuplexStream) {
        if let Ok(mut connection) = h2::server::handshake(stream).await {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                self.came.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a response");
                let Ok(mut stream) = respond.send_response(head, false) else { continue };
                let _ = stream.send_data(bytes::Bytes::from_static(&[0; 5]), false); // the client may have gone
                let status = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from(0))]);
                let _ = stream.send_trailers(status);
            }
        }
        self.ended.send_modify(|ended| *ended += 1);
    }
}

/// Carries what goes to the device, while that is open.
async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, mut open: watch::Receiver<bool>) {
    let mut piece = [0; PIPE];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        if open.wait_for(|open| *open).await.is_err() || to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await; // it may be gone
}

impl Connector for Device {
    fn resolve<'a>(&'a self, _: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async { Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1))]) })
    }

    fn connect(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        Box::pin(async move {
            let (ours, middle) = tokio::io::duplex(PIPE);
            let (inner, theirs) = tokio::io::duplex(1 << 20);
            let (from_us, to_us) = tokio::io::split(middle);
            let (mut from_them, to_them) = tokio::io::split(inner);
            tokio::spawn(carry(from_us, to_them, self.open.subscribe()));
            tokio::spawn(async move {
                let mut to_us = to_us;
                let _ = tokio::io::copy(&mut from_them, &mut to_us).await; // either may be gone
            });
            tokio::spawn(self.clone().serve(theirs));
            Ok(Box::new(ours) as BoxedIo)
        })
    }
}

async fn session(device: &Device) -> Session {
    let target = Target::parse("device:9339", Security::Plaintext).expect("an address");
    let settings = Settings::default();
    let session = Session::connect_with(Arc::new(device.clone()), target, settings, Timeline::default())
        .await
        .expect("a session");
    System::new(session.clone()).time(soon()).await.expect("an answer");
    session
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(100)
}

/// Closes the pipes, and fills them with calls until nothing more fits.
async fn fill(device: &Device, session: &Session) {
    device.open.send_replace(false);
    let connection = session.current().expect("a connection");
    loop {
        let before = connection.written();
        System::new(session.clone()).time(soon()).await.expect_err("nothing goes through");
        if connection.written() == before {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_nothing_left_of_by_its_deadline_never_leaves() {
    let device = Device::new();
    let session = session(&device).await;
    fill(&device, &session).await;
    let error = System::new(session.clone()).kill_process("agent", true, soon()).await.expect_err("no answer");
    assert_eq!(error.kind, Kind::Timeout, "{error}");
    device.open.send_replace(true);
    let later = Instant::now() + Duration::from_secs(30);
    System::new(session.clone()).time(later).await.expect("it answers again");
    let mut ended = device.ended.subscribe();
    let over = tokio::time::timeout_at(later, ended.wait_for(|ended| *ended > 0)).await;
    over.expect("the connection that the change was on ends").expect("a device");
    assert_eq!(device.came("KillProcess"), 0, "it was told to have failed");
}

#[tokio::test(start_paused = true)]
async fn where_others_use_the_connection_nobody_says_that_it_was_not_sent() {
    let device = Device::new();
    let session = session(&device).await;
    fill(&device, &session).await;
    let patient = tokio::spawn({
        let system = System::new(session.clone());
        async move { system.kill_process("other", true, Instant::now() + Duration::from_secs(60)).await }
    });
    let changing = System::new(session.clone());
    let error = changing.kill_process("agent", true, soon()).await.expect_err("no answer");
    assert_eq!(error.kind, Kind::OutcomeUnknown, "{error}");
    device.open.send_replace(true);
    patient.await.expect("no panic").expect("what others asked for on it goes on");
}
