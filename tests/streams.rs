//! Streams that are meant to live on, Log follow and Subscribe, over every way in which one breaks off: made again with a
//! marker between, or ended with UNAVAILABLE, as the caller chose; never a quiet end.

#[path = "peers/written.rs"]
mod written;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::Reason;
use holdfast::dial::{OnLoss, ResumeLimits, Security, Session, Settings, Target};
use holdfast::error::{Error, Kind, Result};
use holdfast::gnmi::{Gnmi, Path, Received, StreamMode, Subscribe, Value};
use holdfast::gnoi::containerz::{Containerz, LogItem};
use holdfast::waiting;
use holdfast::wire::gnmi::subscribe_response::Response as Told;
use holdfast::wire::gnmi::subscription_list::Mode;
use holdfast::wire::gnmi::{
    CapabilityResponse, Notification, SubscribeResponse, TypedValue, Update, subscribe_request, typed_value,
};
use holdfast::wire::gnoi::containerz::LogResponse;
use holdfast::wire::gnoi::system::TimeResponse;
use http::{HeaderMap, HeaderValue, Response};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Code;
use written::{Counted, Written};

/// What the peer does for one stream, step by step; at the end of the steps it stays as it is.
#[derive(Debug, Clone)]
enum Step {
    /// A line of a log, or the value of a leaf.
    Good(&'static str),
    /// The same, of so many bytes, so many times.
    Many(usize, usize),
    /// The beginning of a message.
    Cut,
    /// Nothing, until so many polls came, of all streams together.
    Polled(usize),
    /// A status, as trailers.
    Status(&'static str),
    /// The end, without a status.
    End,
    Reset(Reason),
    /// GOAWAY, and the end of the connection.
    GoAway(Reason),
    /// The end of the TCP connection; with a reset, where the peer was told so.
    Hangup,
    /// Nothing is read or written on the connection any more.
    Silence,
}

use Step::{Cut, End, GoAway, Good, Hangup, Many, Polled, Reset, Silence, Status};

type Pings = Arc<tokio::sync::Mutex<h2::PingPong>>;

/// A peer that goes through its scripts, one for each stream that is opened, and repeats the last.
#[derive(Clone)]
struct Peer {
    scripts: Arc<Mutex<VecDeque<Vec<Step>>>>,
    opened: Arc<AtomicUsize>,
    polled: Arc<AtomicUsize>,
    /// Whether it ever had more to send than the client took.
    held_up: Arc<AtomicBool>,
    /// Whether TCP connections end with a reset.
    resets: bool,
}

impl Peer {
    fn new(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let scripts = Arc::new(Mutex::new(scripts.into_iter().collect()));
        Self { scripts, opened: Arc::default(), polled: Arc::default(), held_up: Arc::default(), resets: false }
    }

    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let peer = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if peer.resets {
                    stream.set_zero_linger().expect("a socket");
                }
                tokio::spawn(peer.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self, stream: TcpStream) {
        let (stream, written) = Counted::over(stream);
        let Ok(mut connection) = h2::server::Builder::new().handshake::<_, Bytes>(stream).await else { return };
        let pings = Arc::new(tokio::sync::Mutex::new(connection.ping_pong().expect("taken once")));
        let (leave, mut leaving) = mpsc::unbounded_channel();
        loop {
            tokio::select! {
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        let path = request.uri().path().to_owned();
                        let asked = (leave.clone(), written.clone(), pings.clone());
                        tokio::spawn(self.clone().answer(path, respond, asked, request.into_body()));
                    }
                    _ => return,
                },
                Some(step) = leaving.recv() => match step {
                    GoAway(reason) => connection.abrupt_shutdown(reason),
                    Silence => std::future::pending().await,
                    _ => return,
                },
            }
        }
    }

    fn script(&self, path: &str) -> Vec<Step> {
        if !path.ends_with("/Log") && !path.ends_with("/Subscribe") {
            return vec![Good(""), Status("0")];
        }
        self.opened.fetch_add(1, Ordering::SeqCst);
        let mut scripts = self.scripts.lock().expect("no panic");
        if scripts.len() > 1 { scripts.pop_front().expect("one") } else { scripts[0].clone() }
    }

    async fn answer(
        self,
        path: String,
        mut respond: h2::server::SendResponse<Bytes>,
        (leave, written, pings): (mpsc::UnboundedSender<Step>, Written, Pings),
        requests: h2::RecvStream,
    ) {
        let script = self.script(&path);
        tokio::spawn(self.clone().count_polls(requests));
        let mut head = Response::new(());
        head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        let Ok(mut stream) = respond.send_response(head, false) else { return };
        let mut sent = 0;
        for step in script {
            match step {
                Good(text) => sent += self.send(&mut stream, framed(&path, text)).await,
                Many(size, times) => {
                    for number in 0..times {
                        sent += self.send(&mut stream, framed(&path, &format!("{number:0size$}"))).await;
                    }
                }
                Polled(times) => {
                    let polled =
                        || async { if self.polled.load(Ordering::SeqCst) >= times { Ok(()) } else { Err(()) } };
                    let _ = waiting::until(soon(), Duration::from_millis(5), polled).await; // what is read then says it
                }
                Cut => sent += self.send(&mut stream, Bytes::from_static(&[0, 0, 0, 0, 16, 1, 2, 3])).await,
                Status(number) => {
                    let trailers = HeaderMap::from_iter([
                        ("grpc-status".parse().expect("a name"), HeaderValue::from_static(number)),
                        ("grpc-message".parse().expect("a name"), HeaderValue::from_static("its own words")),
                    ]);
                    let _ = stream.send_trailers(trailers); // the client may be gone
                }
                End => drop(stream.send_data(Bytes::new(), true)),
                Reset(reason) => {
                    written.reaches(stream.stream_id(), sent).await; // a reset would take the rest along
                    stream.send_reset(reason);
                }
                GoAway(_) | Hangup | Silence => {
                    written.reaches(stream.stream_id(), sent).await;
                    // The client answers in turn: what was sent before has come to it.
                    let _ = pings.lock().await.ping(h2::Ping::opaque()).await;
                    let _ = leave.send(step); // the connection is gone already
                }
            }
        }
        std::future::pending::<()>().await;
    }

    /// Sends as much as the client takes, and says how much; nobody is there any more where it ends early.
    async fn send(&self, stream: &mut h2::SendStream<Bytes>, mut bytes: Bytes) -> usize {
        let length = bytes.len();
        while !bytes.is_empty() {
            stream.reserve_capacity(bytes.len());
            let room = std::future::poll_fn(|cx| {
                let room = stream.poll_capacity(cx);
                self.held_up.fetch_or(room.is_pending(), Ordering::SeqCst);
                room
            });
            let Some(Ok(room)) = room.await else { break };
            let now = bytes.split_to(room.min(bytes.len()));
            if stream.send_data(now, false).is_err() {
                break;
            }
        }
        length - bytes.len()
    }

    async fn count_polls(self, mut requests: h2::RecvStream) {
        let mut came = BytesMut::new(); // several messages may come at once, and one in parts
        while let Some(Ok(data)) = requests.data().await {
            came.extend_from_slice(&data);
            while let Some(&[_, a, b, c, d]) = came.first_chunk()
                && let length = u32::from_be_bytes([a, b, c, d]) as usize
                && came.len() >= 5 + length
            {
                let message = came.split_to(5 + length);
                let asked = holdfast::wire::gnmi::SubscribeRequest::decode(&message[5..]).unwrap_or_default().request;
                if matches!(asked, Some(subscribe_request::Request::Poll(_))) {
                    self.polled.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }
}

fn framed(path: &str, text: &str) -> Bytes {
    let leaf = Update {
        path: Some("/system/state/hostname".parse::<Path>().expect("a path").to_gnmi()),
        val: Some(TypedValue { value: Some(typed_value::Value::StringVal(text.into())) }),
        ..Update::default()
    };
    let notification = Notification { update: vec![leaf], ..Notification::default() };
    let message = match path.rsplit('/').next().unwrap_or_default() {
        "Log" => LogResponse { msg: text.into() }.encode_to_vec(),
        "Subscribe" if text == "sync" => {
            SubscribeResponse { response: Some(Told::SyncResponse(true)), ..Default::default() }.encode_to_vec()
        }
        "Subscribe" => {
            SubscribeResponse { response: Some(Told::Update(notification)), ..Default::default() }.encode_to_vec()
        }
        "Capabilities" => CapabilityResponse::default().encode_to_vec(),
        _ => TimeResponse { time: 1 }.encode_to_vec(),
    };
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0], &length.to_be_bytes()[..], &message].concat().into()
}

async fn session(address: SocketAddr) -> Session {
    let target = Target::parse(&address.to_string(), Security::Plaintext).expect("an address");
    Session::connect(target, Settings::default()).await.expect("a session")
}

/// No limit that is ever reached.
const AMPLE: Duration = Duration::from_secs(30);

fn soon() -> Instant {
    Instant::now() + AMPLE
}

fn resuming() -> OnLoss {
    limited(AMPLE, Duration::from_millis(200))
}

fn limited(away: Duration, refused: Duration) -> OnLoss {
    OnLoss::Resume(Arc::new(move || ResumeLimits { away, refused }))
}

/// What came, in words.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Text(String),
    Resumed { cut: Option<String> },
    Synced,
}

fn text(text: &str) -> Came {
    Came::Text(text.to_owned())
}

const RESUMED: Came = Came::Resumed { cut: None };

/// All that comes of a stream until its end.
struct Read {
    came: Vec<Came>,
    end: Result<()>,
    /// Whether it ended in the same way when it was read on.
    stays: bool,
}

async fn read_log(peer: &Peer, on_loss: OnLoss) -> Read {
    let log = Containerz::new(session(peer.listen().await).await).log_stream("c", true, soon()).await;
    let mut log = log.expect("a log").on_loss(on_loss);
    let mut came = Vec::new();
    loop {
        let end = match log.next(soon()).await {
            Ok(Some(LogItem::Line(line))) => {
                came.push(Came::Text(line));
                continue;
            }
            Ok(Some(LogItem::Resumed { why, cut })) => {
                assert!(!why.is_empty());
                came.push(Came::Resumed { cut });
                continue;
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let again = log.next(soon()).await;
        let stays = again.as_ref().err().map(|error| error.kind) == end.as_ref().err().map(|error| error.kind);
        return Read { came, end, stays: stays && again.ok().flatten().is_none() };
    }
}

async fn read_subscription(peer: &Peer, on_loss: OnLoss) -> Read {
    let paths = ["/system/state".parse::<Path>().expect("a path")];
    let gnmi = Gnmi::new(session(peer.listen().await).await);
    let mut stream = gnmi.stream(&paths, StreamMode::OnChange, soon()).await.expect("a stream").on_loss(on_loss);
    let mut came = Vec::new();
    loop {
        let end = match stream.next(soon()).await {
            Ok(Some(Received::Leaves(leaves))) => {
                let Some(Value::String(value)) = &leaves[0].value else { panic!("{leaves:?}") };
                came.push(Came::Text(value.trim_end().to_owned()));
                continue;
            }
            Ok(Some(Received::Resumed(resumed))) => {
                assert!(!resumed.why.is_empty());
                came.push(RESUMED);
                continue;
            }
            Ok(Some(Received::Synced)) => {
                came.push(Came::Synced);
                continue;
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let again = stream.next(soon()).await;
        let stays = again.as_ref().err().map(|error| error.kind) == end.as_ref().err().map(|error| error.kind);
        return Read { came, end, stays: stays && again.ok().flatten().is_none() };
    }
}

/// Reads a log and a subscription alike.
async fn read_both(peer: impl Fn() -> Peer, on_loss: &OnLoss) -> [(&'static str, Read); 2] {
    let log = read_log(&peer(), on_loss.clone()).await;
    [("Log", log), ("Subscribe", read_subscription(&peer(), on_loss.clone()).await)]
}

/// Every way to break off after a good message.
fn breaks() -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    for cut in [&[][..], &[Cut]] {
        for end in [
            Reset(Reason::INTERNAL_ERROR),
            Reset(Reason::CANCEL),
            Reset(Reason::NO_ERROR),
            Reset(Reason::REFUSED_STREAM),
            Reset(Reason::ENHANCE_YOUR_CALM),
            GoAway(Reason::NO_ERROR),
            GoAway(Reason::ENHANCE_YOUR_CALM),
            Hangup,
            End,
            Status("14"),
        ] {
            all.push([&[Good("a\n")], cut, &[end]].concat());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_is_made_again_with_a_marker_between() {
    for script in breaks() {
        for resets in [false, true] {
            let peer = || Peer { resets, ..Peer::new([script.clone(), vec![Good("b\n"), Status("0")]]) };
            for (name, read) in read_both(peer, &resuming()).await {
                assert_eq!(read.came, [text("a"), RESUMED, text("b")], "{script:?}: {name}: {:?}", read.end);
                assert!(read.end.is_ok() && read.stays, "{script:?}: {name}: {:?}", read.end);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_ends_with_unavailable_where_that_was_chosen() {
    for script in breaks() {
        let peer = || Peer::new([script.clone(), vec![Good("b\n"), Status("0")]]);
        for (name, read) in read_both(peer, &OnLoss::End).await {
            let error = read.end.expect_err("it broke off");
            assert_eq!(read.came, [text("a")], "{script:?}: {name}");
            assert_eq!(error.kind, Kind::Status(Code::Unavailable), "{script:?}: {name}: {error}");
            assert!(error.message.contains("the stream broke off"), "{script:?}: {name}: {error}");
            assert!(error.hint.is_some() && read.stays, "{script:?}: {name}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devices_own_word_is_an_end() {
    for (number, end) in
        [("0", None), ("5", Some(Code::NotFound)), ("1", Some(Code::Cancelled)), ("2", Some(Code::Unknown))]
    {
        let peer = || Peer::new([vec![Good("a\n"), Status(number)]]);
        for (name, read) in read_both(peer, &resuming()).await {
            assert_eq!(read.came, [text("a")], "{number}: {name}");
            assert_eq!(read.end.err().and_then(|error: Error| error.code()), end, "{number}: {name}");
            assert!(read.stays, "{number}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_end_while_the_device_is_to_go_away_is_not_the_last_word() {
    let peer = Peer::new([vec![Good("a\n"), Status("0")], vec![Good("b\n"), Status("0")]]);
    let session = session(peer.listen().await).await;
    let log = Containerz::new(session.clone()).log_stream("c", true, soon()).await.expect("a log");
    let mut log = log.on_loss(resuming());
    let expecting = session.expect_outage();
    assert_eq!(log.next(soon()).await.expect("a line"), Some(LogItem::Line("a".into())));
    assert!(matches!(log.next(soon()).await, Ok(Some(LogItem::Resumed { .. }))));
    drop(expecting);
    assert_eq!(log.next(soon()).await.expect("a line"), Some(LogItem::Line("b".into())));
    assert_eq!(log.next(soon()).await.expect("the end"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_refuses_the_stream_when_it_is_made_again_is_the_error() {
    for number in ["7", "3", "5", "12", "2"] {
        let peer = || Peer::new([vec![Good("a\n"), Hangup], vec![Status(number)]]);
        for (name, read) in read_both(peer, &resuming()).await {
            let error = read.end.expect_err("it is refused");
            let code = number.parse().map(Code::from_i32).expect("a code");
            assert_eq!((read.came.first(), error.code()), (Some(&text("a")), Some(code)), "{name}: {error}");
            assert!(read.stays, "{number}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_on_its_way_up_may_refuse_the_stream_for_a_while() {
    let refused = |number| vec![Status(number)];
    let up = || vec![Good("b\n"), Status("0")];
    let scripts = || [vec![Good("a\n"), Hangup], refused("14"), refused("14"), up()];
    let peer = || Peer::new(scripts());
    for (name, read) in read_both(peer, &resuming()).await {
        assert_eq!(read.came.first(), Some(&text("a")), "{name}");
        assert_eq!(read.came.last(), Some(&text("b")), "{name}");
        assert!(read.came.contains(&RESUMED) && read.end.is_ok(), "{name}: {:?}", read.end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_again_and_again_is_given_up() {
    let away = Duration::from_millis(600);
    let peer = || Peer::new([vec![Good("a\n"), Hangup], vec![End]]);
    for (name, read) in read_both(peer, &limited(away, away)).await {
        let error = read.end.expect_err("nothing comes any more");
        assert_eq!(error.kind, Kind::Status(Code::Unavailable), "{name}: {error}");
        assert!(read.came.len() < 12, "{name}: {} markers", read.came.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_does_not_come_back_is_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let peer = Peer::new([vec![Good("a\n"), Hangup]]);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        drop(listener);
        peer.serve(stream).await;
    });
    let log = Containerz::new(session(address).await).log_stream("c", true, soon()).await.expect("a log");
    let mut log = log.on_loss(limited(Duration::from_millis(500), AMPLE));
    assert_eq!(log.next(soon()).await.expect("a line"), Some(LogItem::Line("a".into())));
    let error = log.next(soon()).await.expect_err("nobody is there");
    assert_eq!(error.kind, Kind::Status(Code::Unavailable), "{error}");
    assert!(error.message.contains("could not be made again"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_was_cut_is_not_lost_and_passes_for_no_whole_one() {
    let scripts = || [vec![Good("a\nbeginn"), Hangup], vec![Good("a\nbeginning\n"), Status("0")]];
    let read = read_log(&Peer::new(scripts()), resuming()).await;
    let cut = Came::Resumed { cut: Some("beginn".into()) };
    assert_eq!(read.came, [text("a"), cut, text("a"), text("beginning")]);
    let read = read_log(&Peer::new(scripts()), OnLoss::End).await;
    assert_eq!(read.came, [text("a")]);
    assert!(read.end.expect_err("it broke off").message.contains("\"beginn\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_loses_nothing_that_came() {
    // More than HTTP/2 lets a peer have in flight: it is held up.
    let (size, count) = (60_000, 400);
    for end in [Hangup, GoAway(Reason::NO_ERROR), Reset(Reason::CANCEL)] {
        let peer = Peer::new([vec![Many(size, count), Good("\n"), end.clone()], vec![Good("b\n"), Status("0")]]);
        let paths = ["/system/state".parse::<Path>().expect("a path")];
        let gnmi = Gnmi::new(session(peer.listen().await).await);
        let stream = gnmi.stream(&paths, StreamMode::OnChange, soon()).await.expect("a stream");
        let mut stream = stream.on_loss(resuming());
        for number in 0..count {
            if number == 0 {
                let held_up = || async { peer.held_up.load(Ordering::SeqCst).then_some(()).ok_or(()) };
                waiting::until(soon(), Duration::from_millis(5), held_up).await.expect("it waits for its reader");
            }
            let Some(Received::Leaves(leaves)) = stream.next(soon()).await.expect("a value") else {
                panic!("{end:?}: value {number} is missing")
            };
            let Some(Value::String(value)) = &leaves[0].value else { panic!("{leaves:?}") };
            assert_eq!(value.parse::<usize>(), Ok(number), "{end:?}");
        }
        let mut rest = Vec::new();
        while let Some(received) = stream.next(soon()).await.expect("its end") {
            rest.push(received);
        }
        assert!(
            matches!(&rest[..], [Received::Leaves(_), Received::Resumed(_), Received::Leaves(_)]),
            "{end:?}: {rest:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_too_short_loses_no_marker() {
    let peer =
        Peer::new([vec![Good("a\n"), Hangup], vec![Status("14")], vec![Status("14")], vec![Good("b\n"), Status("0")]]);
    let log = Containerz::new(session(peer.listen().await).await).log_stream("c", true, soon()).await;
    let mut log = log.expect("a log").on_loss(resuming());
    let mut came = Vec::new();
    loop {
        let short = Instant::now() + Duration::from_millis(15);
        match log.next(short).await {
            Err(error) if error.kind == Kind::Timeout => {}
            Ok(None) => break,
            item => came.extend(item.expect("no error")),
        }
    }
    let [LogItem::Line(first), .., LogItem::Line(last)] = &came[..] else { panic!("{came:?}") };
    assert_eq!((first.as_str(), last.as_str()), ("a", "b"));
    assert!(came.iter().any(|item| matches!(item, LogItem::Resumed { .. })), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_ends_a_stream_once_the_device_answers_elsewhere() {
    let peer = || Peer::new([vec![Good("a\n"), Silence], vec![Good("b\n"), Status("0")]]);
    for (name, read) in read_both(peer, &resuming()).await {
        assert_eq!(read.came, [text("a"), RESUMED, text("b")], "{name}: {:?}", read.end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_ends_its_streams_at_once() {
    for on_loss in [resuming(), OnLoss::End] {
        let session = session(Peer::new([vec![Good("a\n")]]).listen().await).await;
        let log = Containerz::new(session.clone()).log_stream("c", true, soon()).await.expect("a log");
        let mut log = log.on_loss(on_loss);
        assert_eq!(log.next(soon()).await.expect("a line"), Some(LogItem::Line("a".into())));
        session.close();
        let error = log.next(soon()).await.expect_err("it was closed");
        assert!(error.kind == Kind::Invalid && error.message.contains("closed"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_is_asked_for_again() {
    let peer = Peer::new([
        vec![Polled(1), Good("a\n"), Good("sync"), Polled(2), Good("c"), Hangup],
        vec![Polled(3), Good("b\n"), Good("sync"), Status("0")],
    ]);
    let paths = ["/system/state".parse::<Path>().expect("a path")];
    let gnmi = Gnmi::new(session(peer.listen().await).await);
    let mut stream = gnmi
        .subscribe(Mode::Poll, Subscribe::to(&paths, StreamMode::TargetDefined), soon())
        .await
        .expect("a stream")
        .on_loss(resuming());
    stream.ask().await.expect("asked");
    assert!(matches!(stream.next(soon()).await, Ok(Some(Received::Leaves(_)))));
    assert_eq!(stream.next(soon()).await.expect("all of it"), Some(Received::Synced));
    stream.ask().await.expect("asked");
    assert!(matches!(stream.next(soon()).await, Ok(Some(Received::Leaves(_)))));
    assert!(matches!(stream.next(soon()).await, Ok(Some(Received::Resumed(_)))));
    assert!(matches!(stream.next(soon()).await, Ok(Some(Received::Leaves(_)))));
    assert_eq!(stream.next(soon()).await.expect("all of it"), Some(Received::Synced));
    assert_eq!(stream.next(soon()).await.expect("the end"), None);
    assert_eq!(peer.polled.load(Ordering::SeqCst), 3);
}
