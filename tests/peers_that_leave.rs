//! Peers that refuse a call, pass it on in vain, go away with GOAWAY, or fall silent after one: what is known of a change
//! then, and how soon.

#[path = "peers/silent.rs"]
mod silent;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use holdfast::dial::{Security, Session, Settings, Target};
use holdfast::error::{Error, Kind};
use holdfast::gnoi::System;
use holdfast::gnoi::containerz::{Containerz, Deployment, StartOptions, VolumeOptions};
use holdfast::image::Source;
use holdfast::waiting;
use holdfast::wire::gnoi::common::remote_download::Protocol;
use holdfast::wire::gnoi::containerz::{ListContainerResponse, ListImageResponse, list_container_response};
use holdfast::wire::gnoi::system::RebootMethod;
use http::{HeaderMap, HeaderValue, Response};
use prost::Message;
use silent::Silent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::Code;

/// No limit that is ever reached.
const AMPLE: Duration = Duration::from_secs(30);
/// What a call takes that has nothing to wait for, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// What a peer does with the first call of a method.
#[derive(Debug, Clone, Copy)]
enum First {
    Reset(Reason),
    /// An answer of HTTP, not of gRPC.
    Http(u16),
    /// GOAWAY that says that not even this call was taken; then the connection ends.
    GoAwayAbove(Reason),
    /// GOAWAY that says that this call was taken, and nothing after it.
    GoAwaySilent,
    /// The same, but pings are answered, and the call after so long.
    GoAwaySlow(Duration),
}

/// A peer that does something with its first Reboot or CreateVolume, and answers all else well.
#[derive(Clone)]
struct Peer {
    first: First,
    /// Whether it lists what it was asked for, though its answer is lost.
    executes: bool,
    asked: Arc<AtomicUsize>,
}

/// What changes something.
const CHANGES: [&str; 4] = ["/Reboot", "/CreateVolume", "/UpdateContainer", "/Deploy"];

impl Peer {
    fn new(first: First) -> Self {
        Self { first, executes: false, asked: Arc::default() }
    }

    /// What it answers, framed.
    fn message(&self, path: &str) -> Bytes {
        let executed = self.executes && self.asked() > 0;
        let message = match path.rsplit('/').next().unwrap_or_default() {
            "ListImage" if executed => {
                let id = format!("sha256:{}", "b".repeat(64));
                let row = ListImageResponse { id, image_name: "app".into(), tag: "1".into() };
                row.encode_to_vec()
            }
            "ListContainer" => {
                let image_name = if executed { "docker.io/library/app:2" } else { "app:1" }.into();
                let status = list_container_response::Status::Running as i32;
                ListContainerResponse { name: "web".into(), image_name, status, ..Default::default() }.encode_to_vec()
            }
            list if list.starts_with("List") => return Bytes::new(),
            _ => Vec::new(),
        };
        let length = u32::try_from(message.len()).expect("a short message");
        [&[0], &length.to_be_bytes()[..], &message].concat().into()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let peer = self.clone();
        tokio::spawn(async move {
            let mut raw = matches!(peer.first, First::GoAwayAbove(_) | First::GoAwaySilent | First::GoAwaySlow(_));
            while let Ok((stream, _)) = listener.accept().await {
                if std::mem::take(&mut raw) {
                    tokio::spawn(peer.clone().leave(stream));
                } else {
                    tokio::spawn(peer.clone().serve(stream));
                }
            }
        });
        address
    }

    async fn serve(self, stream: TcpStream) {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let server = self.clone();
            tokio::spawn(async move { server.answer(request.uri().path(), respond) });
        }
    }

    fn answer(&self, path: &str, mut respond: h2::server::SendResponse<Bytes>) {
        let mut status = 200;
        if CHANGES.iter().any(|change| path.ends_with(change)) {
            match (self.asked.fetch_add(1, Ordering::SeqCst), self.first) {
                (0, First::Reset(reason)) => return respond.send_reset(reason),
                (0, First::Http(http)) => status = http,
                _ => {}
            }
        }
        let head = Response::builder().status(status).header("content-type", "application/grpc").body(());
        let Ok(mut stream) = respond.send_response(head.expect("a response"), status != 200) else { return };
        let _ = stream.send_data(self.message(path), false); // the client may be gone
        let ok = ("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"));
        let _ = stream.send_trailers(HeaderMap::from_iter([ok]));
    }

    /// Speaks HTTP/2 by hand: h2 knows no GOAWAY that leaves out what came.
    async fn leave(self, mut stream: TcpStream) {
        let mut greeting = [0; 24];
        stream.read_exact(&mut greeting).await.expect("a preface");
        stream.write_all(&frame(4, 0, 0, &[])).await.expect("SETTINGS");
        let mut answer_at: Option<Instant> = None;
        let mut called = 0;
        loop {
            let mut head = [0; 9];
            let read = async {
                stream.read_exact(&mut head).await.ok()?;
                let mut content = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
                stream.read_exact(&mut content).await.ok()?;
                Some(content)
            };
            let answered = async {
                match answer_at {
                    Some(moment) => waiting::reached(moment).await,
                    None => std::future::pending().await,
                }
            };
            let content = tokio::select! {
                content = read => content,
                () = answered => {
                    answer_at = None;
                    // 200 and a content type, as literals; an empty message; a status of 0.
                    let header = |name: &str, value: &str| {
                        let length = |text: &str| [u8::try_from(text.len()).expect("short")];
                        [&[0], &length(name)[..], name.as_bytes(), &length(value), value.as_bytes()].concat()
                    };
                    let begin = [vec![0x88], header("content-type", "application/grpc")].concat();
                    stream.write_all(&frame(1, 4, called, &begin)).await.expect("HEADERS");
                    stream.write_all(&frame(0, 0, called, &[0; 5])).await.expect("DATA");
                    stream.write_all(&frame(1, 5, called, &header("grpc-status", "0"))).await.expect("trailers");
                    continue;
                }
            };
            let Some(content) = content else { return };
            let called_now = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match (head[3], head[4] & 1, self.first) {
                (4, 0, _) => stream.write_all(&frame(4, 1, 0, &[])).await.expect("acknowledged"),
                (6, 0, First::GoAwaySlow(_)) => stream.write_all(&frame(6, 1, 0, &content)).await.expect("a pong"),
                (1, _, First::GoAwayAbove(reason)) => {
                    self.asked.fetch_add(1, Ordering::SeqCst);
                    stream.write_all(&go_away(0, reason)).await.expect("GOAWAY");
                    stream.shutdown().await.expect("the end");
                    while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {} // what is not read makes it a reset
                    return;
                }
                (1, _, First::GoAwaySilent | First::GoAwaySlow(_)) if called == 0 => {
                    self.asked.fetch_add(1, Ordering::SeqCst);
                    called = called_now;
                    stream.write_all(&go_away(called, Reason::NO_ERROR)).await.expect("GOAWAY");
                    if let First::GoAwaySlow(after) = self.first {
                        answer_at = Some(Instant::now() + after);
                    }
                }
                _ => {}
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

fn go_away(last: u32, reason: Reason) -> Vec<u8> {
    frame(7, 0, 0, &[last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat())
}

async fn session(address: SocketAddr) -> Session {
    let target = Target::parse(&address.to_string(), Security::Plaintext).expect("an address");
    Session::connect(target, Settings::default()).await.expect("a session")
}

async fn reboot(session: &Session) -> Result<(), Error> {
    System::new(session.clone()).reboot(RebootMethod::Cold, &[], "", false, Instant::now() + AMPLE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_certainly_not_taken_is_made_again() {
    for first in [
        First::Reset(Reason::REFUSED_STREAM),
        First::GoAwayAbove(Reason::NO_ERROR),
        First::GoAwayAbove(Reason::ENHANCE_YOUR_CALM),
    ] {
        let peer = Peer::new(first);
        let session = session(peer.listen().await).await;
        reboot(&session).await.unwrap_or_else(|error| panic!("{first:?}: {error}"));
        assert_eq!(peer.asked(), 2, "{first:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_may_have_been_taken_is_unknown() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::ENHANCE_YOUR_CALM, Reason::NO_ERROR] {
        let peer = Peer::new(First::Reset(reason));
        let error = reboot(&session(peer.listen().await).await).await.expect_err("nobody knows");
        assert_eq!((error.kind, peer.asked()), (Kind::OutcomeUnknown, 1), "{reason:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_may_have_passed_on_is_unknown_though_the_device_just_came_up() {
    for (http, expected) in [
        (502, Kind::OutcomeUnknown),
        (503, Kind::OutcomeUnknown),
        (504, Kind::OutcomeUnknown),
        (500, Kind::OutcomeUnknown),
        (408, Kind::OutcomeUnknown),
        (403, Kind::Status(Code::PermissionDenied)),
        (404, Kind::Status(Code::Unimplemented)),
    ] {
        let peer = Peer::new(First::Http(http));
        let containerz = Containerz::new(session(peer.listen().await).await);
        containerz.settling_until(Instant::now() + AMPLE);
        let volume = VolumeOptions { name: "v".into(), ..VolumeOptions::default() };
        let made = containerz.create_volume(&volume, Instant::now() + Duration::from_secs(2)).await;
        let error = made.expect_err("it was not answered");
        assert_eq!((error.kind, peer.asked()), (expected, 1), "{http}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_after_a_goaway_is_noticed() {
    let peer = Peer::new(First::GoAwaySilent);
    let session = session(peer.listen().await).await;
    let ended = tokio::time::timeout(SOON, reboot(&session)).await.expect("long before its deadline");
    let error = ended.expect_err("nobody knows");
    assert_eq!((error.kind, peer.asked()), (Kind::OutcomeUnknown, 1), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_call_ends_well_after_a_goaway() {
    let peer = Peer::new(First::GoAwaySlow(Duration::from_secs(5)));
    let session = session(peer.listen().await).await;
    reboot(&session).await.expect("its answer comes late");
    assert_eq!(peer.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_closed_ends_all_its_calls_at_once() {
    let silent = Silent::listen().await;
    let session = session(silent.address).await;
    let system = System::new(session.clone());
    let ask = |session: Session| tokio::spawn(async move { reboot(&session).await });
    let (left, reading) = (ask(session.clone()), {
        let system = system.clone();
        tokio::spawn(async move { system.time(Instant::now() + AMPLE).await.map(drop) })
    });
    let connection = session.connection(Instant::now() + AMPLE).await.expect("a connection");
    silent.asked("/Reboot", 1).await;
    silent.asked("/Time", 1).await;
    session.leave(&connection);
    let current = ask(session.clone());
    silent.asked("/Reboot", 2).await;
    session.close();
    for (name, call) in [("left", left), ("reading", reading), ("current", current)] {
        let error = call.await.expect("no panic").expect_err("it was closed");
        assert!(error.message.contains("the session was closed"), "{name}: {error}");
    }
    let error = reboot(&session).await.expect_err("it is closed");
    assert_eq!(error.kind, Kind::Invalid, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_closed_dials_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let peer = Peer::new(First::Http(200));
    let (end, ended) = oneshot::channel();
    let (dials, mut dialled) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let serving = tokio::spawn(peer.serve(stream));
        ended.await.expect("told to");
        serving.abort();
        while let Ok((stream, _)) = listener.accept().await {
            dials.send(stream).expect("the test goes on"); // it is taken, and nothing is said
        }
    });
    let session = session(address).await;
    let connection = session.connection(Instant::now() + AMPLE).await.expect("a connection");
    end.send(()).expect("it serves");
    connection.lost().await;
    let system = System::new(session.clone());
    let call = tokio::spawn(async move { system.time(Instant::now() + AMPLE).await });
    let mut dial = dialled.recv().await.expect("it dials");
    session.close();
    let ended = call.await.expect("no panic");
    assert!(ended.expect_err("it was closed").message.contains("the session was closed"));
    while matches!(dial.read(&mut [0; 1024]).await, Ok(1..)) {} // to its end: the dial was given up
}

/// A change whose answer is lost: an update, an image that the device fetches, and one whose archive does not tell by which
/// id the device lists it.
async fn change(
    containerz: &Containerz,
    which: &str,
    archive: &std::path::Path,
    deadline: Instant,
) -> Result<(), Error> {
    match which {
        "update" => {
            let options = StartOptions {
                instance_name: "web".into(),
                image_name: "app".into(),
                tag: "2".into(),
                ..StartOptions::default()
            };
            containerz.update(&options, false, deadline).await.map(drop)
        }
        "fetch" => containerz.deploy_remote("app", "1", "https://192.0.2.1/app.tar", Protocol::Https, deadline).await,
        _ => {
            let source = Source::file(archive.to_owned()).expect("a file");
            let deployment = Deployment {
                digests: vec![format!("sha256:{}", "a".repeat(64))],
                replace: false,
                ..Deployment::image(source, "app", "1")
            };
            containerz.deploy(&deployment, deadline).await
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_is_lost_is_looked_for() {
    let archive = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(archive.path(), [0; 1024]).expect("a tar without a file");
    for which in ["update", "fetch", "deploy"] {
        for executes in [true, false] {
            let peer = Peer { executes, ..Peer::new(First::Reset(Reason::INTERNAL_ERROR)) };
            let containerz = Containerz::new(session(peer.listen().await).await);
            let deadline = Instant::now() + if executes { AMPLE } else { Duration::from_secs(2) };
            let done = change(&containerz, which, archive.path(), deadline).await;
            match (executes, done) {
                (true, done) => done.unwrap_or_else(|error| panic!("{which}: {error}")),
                (false, done) => {
                    let error = done.expect_err("it was not done");
                    assert_eq!(error.kind, Kind::OutcomeUnknown, "{which}: {error}");
                }
            }
            assert_eq!(peer.asked(), 1, "{which}, {executes}");
        }
    }
}
