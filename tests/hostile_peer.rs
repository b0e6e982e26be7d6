//! Peers whose answers are cut short, contradict themselves or are no gRPC: each an error of that call, never an empty
//! list, never a panic, and the session goes on with the next good answer.

#[path = "peers/silent.rs"]
mod silent;
#[path = "peers/written.rs"]
mod written;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use holdfast::dial::{Call, Security, Session, Settings, Target};
use holdfast::error::{Error, Kind, Result};
use holdfast::gnmi::{Get, Gnmi, Path, StreamMode};
use holdfast::gnoi::System;
use holdfast::gnoi::containerz::{Containerz, Deployment, LogItem};
use holdfast::image::Source;
use holdfast::wire::gnmi::subscribe_response::Response as Told;
use holdfast::wire::gnmi::{
    CapabilityResponse, GetResponse, Notification, SubscribeResponse, TypedValue, Update, typed_value,
};
use holdfast::wire::gnoi::containerz::{ListContainerResponse, ListImageResponse, LogResponse};
use holdfast::wire::gnoi::system::{RebootMethod, RebootResponse, TimeResponse};
use http::{HeaderMap, HeaderValue, Response};
use prost::Message;
use silent::Silent;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Code;
use written::{Counted, Written};

/// A frame that says 16 bytes, of which 3 come.
const CUT: &[u8] = &[0, 0, 0, 0, 16, 1, 2, 3];

/// What a peer does for an answer, step by step.
#[derive(Debug, Clone)]
enum Step {
    /// Headers: the HTTP status, and more.
    Head(u16, Vec<(&'static str, &'static [u8])>),
    /// The same, and no more after it.
    Only(u16, Vec<(&'static str, &'static [u8])>),
    /// The good answer's first message.
    Good,
    /// Bytes as they are.
    Data(&'static [u8]),
    Trailers(Vec<(&'static str, &'static [u8])>),
    /// The end, without trailers.
    End,
    Reset(Reason),
    GoAway(Reason),
}

use Step::{Data, End, GoAway, Good, Head, Only, Reset, Trailers};

const TYPE: (&str, &[u8]) = ("content-type", b"application/grpc");

fn head() -> Step {
    Head(200, vec![TYPE])
}

fn status(number: &'static str) -> Step {
    Trailers(vec![("grpc-status", number.as_bytes())])
}

/// A peer that answers well while `good`, and by its script else.
#[derive(Clone)]
struct Peer {
    script: Arc<Vec<Step>>,
    good: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Peer {
    fn new(script: Vec<Step>) -> Self {
        Self { script: Arc::new(script), good: Arc::default(), asked: Arc::default() }
    }

    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let peer = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(peer.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let (stream, written) = Counted::over(stream);
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let (leave, mut leaving) = mpsc::unbounded_channel();
        loop {
            tokio::select! {
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        let path = request.uri().path().to_owned();
                        let steps = self.steps(&path);
                        let asked = (leave.clone(), written.clone());
                        tokio::spawn(answer(steps, good(&path), respond, asked, request.into_body()));
                    }
                    _ => return,
                },
                Some(reason) = leaving.recv() => connection.abrupt_shutdown(reason),
            }
        }
    }

    fn steps(&self, path: &str) -> Arc<Vec<Step>> {
        if self.good.load(Ordering::SeqCst) || path.ends_with("/Capabilities") {
            return Arc::new(vec![head(), Good, status("0")]);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.script.clone()
    }
}

/// A good answer's message, framed.
fn good(path: &str) -> Bytes {
    let leaf = Update {
        path: Some("/system/state/hostname".parse::<Path>().expect("a path").to_gnmi()),
        val: Some(TypedValue { value: Some(typed_value::Value::StringVal("lab-7".into())) }),
        ..Update::default()
    };
    let notification = Notification { update: vec![leaf], ..Notification::default() };
    let message = match path.rsplit('/').next().unwrap_or_default() {
        "Time" => TimeResponse { time: 1 }.encode_to_vec(),
        "ListContainer" => ListContainerResponse { name: "c".into(), ..Default::default() }.encode_to_vec(),
        "ListImage" => ListImageResponse { image_name: "i".into(), ..Default::default() }.encode_to_vec(),
        "Log" => LogResponse { msg: "line\n".into() }.encode_to_vec(),
        "Get" => GetResponse { notification: vec![notification], ..Default::default() }.encode_to_vec(),
        "Subscribe" => {
            SubscribeResponse { response: Some(Told::Update(notification)), ..Default::default() }.encode_to_vec()
        }
        "Capabilities" => CapabilityResponse::default().encode_to_vec(),
        _ => RebootResponse {}.encode_to_vec(),
    };
    let length = u32::try_from(message.len()).expect("a short message");
    [&[0], &length.to_be_bytes()[..], &message].concat().into()
}

fn with_headers(headers: &mut HeaderMap, more: &[(&'static str, &'static [u8])]) {
    for (name, value) in more {
        headers.append(*name, HeaderValue::from_bytes(value).expect("a header"));
    }
}

async fn answer(
    steps: Arc<Vec<Step>>,
    good: Bytes,
    mut respond: SendResponse<Bytes>,
    (leave, written): (mpsc::UnboundedSender<Reason>, Written),
    _request: h2::RecvStream,
) {
    let mut stream = None;
    let mut sent_so_far = 0;
    for step in steps.iter() {
        sent_so_far += match step {
            Good => good.len(),
            Data(bytes) => bytes.len(),
            _ => 0,
        };
        let sent = match (step, &mut stream) {
            (Head(status, headers) | Only(status, headers), _) => {
                let mut response = Response::builder().status(*status).body(()).expect("a response");
                with_headers(response.headers_mut(), headers);
                respond.send_response(response, matches!(step, Only(..))).map(|opened| stream = Some(opened))
            }
            (Good, Some(stream)) => stream.send_data(good.clone(), false),
            (Data(bytes), Some(stream)) => stream.send_data(Bytes::from_static(bytes), false),
            (Trailers(headers), Some(stream)) => {
                let mut trailers = HeaderMap::new();
                with_headers(&mut trailers, headers);
                stream.send_trailers(trailers)
            }
            (End, Some(stream)) => stream.send_data(Bytes::new(), true),
            (Reset(reason), Some(stream)) => {
                written.reaches(stream.stream_id(), sent_so_far).await; // a reset would take the rest along
                stream.send_reset(*reason);
                Ok(())
            }
            (GoAway(reason), _) => {
                let _ = leave.send(*reason); // the connection is gone already
                std::future::pending().await
            }
            (step, None) => panic!("{step:?} before the headers"),
        };
        if sent.is_err() {
            return; // the client is gone
        }
    }
}

async fn session(address: SocketAddr) -> Session {
    let target = Target::parse(&address.to_string(), Security::Plaintext).expect("an address");
    Session::connect(target, Settings::default()).await.expect("a session")
}

/// Every way to ask for something, and how much came of it.
async fn ask_all(session: &Session, limit: Duration) -> Vec<(&'static str, Result<usize>)> {
    let containerz = Containerz::new(session.clone());
    let gnmi = Gnmi::new(session.clone());
    let paths = ["/system/state".parse::<Path>().expect("a path")];
    let until = || Instant::now() + limit;
    let once = Call::read("gNMI.Subscribe", until());
    vec![
        ("Time", System::new(session.clone()).time(until()).await.map(|_| 1)),
        ("ListContainer", containerz.containers(true, until()).await.map(|all| all.len())),
        ("ListImage", containerz.images(until()).await.map(|all| all.len())),
        ("Log", containerz.logs("c", until()).await.map(|lines| lines.len())),
        ("Get", gnmi.get(&Get::all(&paths), until()).await.map(|all| all.value.len())),
        ("ONCE", gnmi.once(&paths, Call { deadline: until(), ..once }).await.map(|all| all.len())),
    ]
}

fn is_unary(name: &str) -> bool {
    ["Time", "Get"].contains(&name)
}

/// Runs `script` against every call, and looks whether the session is good for more afterwards.
async fn outcomes(script: Vec<Step>, limit: Duration) -> Vec<(&'static str, Result<usize>)> {
    let peer = Peer::new(script);
    let session = session(peer.listen().await).await;
    let outcomes = ask_all(&session, limit).await;
    peer.good.store(true, Ordering::SeqCst);
    for (name, outcome) in ask_all(&session, Duration::from_secs(30)).await {
        assert_eq!(outcome.map_err(|error| error.to_string()), Ok(1), "{name} afterwards");
    }
    outcomes
}

/// No limit that is ever reached.
const AMPLE: Duration = Duration::from_secs(30);

async fn all_fail(case: impl Debug, script: Vec<Step>, kind: Kind) {
    for (name, outcome) in outcomes(script, AMPLE).await {
        let error = outcome.expect_err(&format!("{case:?}: {name} must fail"));
        assert_eq!(error.kind, kind, "{case:?}: {name}: {error}");
    }
}

fn unreadable() -> Kind {
    Kind::Status(Code::DataLoss)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_short_is_an_error() {
    for (case, cut) in [
        ("in a message", CUT),
        ("in a message's header", &CUT[..3]),
        ("after a message's header", &CUT[..5]),
        ("after a good message", &[]),
    ] {
        if !cut.is_empty() {
            all_fail(case, vec![head(), Data(cut), status("0")], unreadable()).await;
            all_fail(case, vec![head(), Good, Data(cut), status("0")], unreadable()).await;
        }
        all_fail(case, vec![head(), Good, Data(cut), End], unreadable()).await;
        all_fail(case, vec![head(), Good, Data(cut), Reset(Reason::NO_ERROR)], unreadable()).await;
        all_fail(case, vec![head(), Good, Data(cut), Trailers(vec![("x", b"y")])], unreadable()).await;
        // Who is told of an error hears of that, not of the cut.
        all_fail(case, vec![head(), Data(cut), status("7")], Kind::Status(Code::PermissionDenied)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_status_at_its_end_is_an_error() {
    all_fail("nothing", vec![head(), End], unreadable()).await;
    all_fail("headers alone", vec![Only(200, vec![TYPE])], unreadable()).await;
    let early = || Head(200, vec![TYPE, ("grpc-status", b"0")]);
    all_fail("a status before the messages", vec![early(), Good, End], unreadable()).await;
    all_fail("a status before nothing", vec![early(), End], unreadable()).await;
    all_fail("a status before, a cut after", vec![early(), Good, Data(CUT), status("0")], unreadable()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unary_answer_is_one_message() {
    for (script, listed) in [
        (vec![head(), status("0")], 0),
        (vec![Only(200, vec![TYPE, ("grpc-status", b"0")])], 0),
        (vec![head(), Good, Good, status("0")], 2),
    ] {
        for (name, outcome) in outcomes(script.clone(), AMPLE).await {
            let expected = if is_unary(name) { Err(unreadable()) } else { Ok(listed) };
            assert_eq!(outcome.map_err(|error| error.kind), expected, "{script:?}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_an_error() {
    let gzip = || Head(200, vec![TYPE, ("grpc-encoding", b"gzip")]);
    all_fail("a flag", vec![head(), Data(&[1, 0, 0, 0, 1, 0]), status("0")], unreadable()).await;
    all_fail("no flag", vec![head(), Data(&[7, 0, 0, 0, 1, 0]), status("0")], unreadable()).await;
    all_fail("gzip", vec![gzip(), Data(&[1, 0, 0, 0, 1, 0]), status("0")], unreadable()).await;
    let garbage = vec![head(), Data(&[0, 0, 0, 0, 2, 0xff, 0xff]), status("0")];
    all_fail("no message", garbage, Kind::Status(Code::Internal)).await;
    let web = || Head(200, vec![("content-type", b"text/html")]);
    all_fail("a web page", vec![web(), Data(b"<html>"), End], unreadable()).await;
    let web = || Head(200, vec![("content-type", b"application/grpc-web+proto")]);
    all_fail("gRPC-Web", vec![web(), Good, End], unreadable()).await;
    for (http, code) in [(404, Code::Unimplemented), (403, Code::PermissionDenied), (418, Code::Unknown)] {
        let page = vec![Head(http, vec![("content-type", b"text/html")]), Data(b"<html>"), End];
        all_fail(http, page, Kind::Status(code)).await;
        all_fail(http, vec![Head(http, vec![TYPE]), Good, status("0")], Kind::Status(code)).await;
    }
    // The encoding is told, and not used.
    for (name, outcome) in outcomes(vec![gzip(), Good, status("0")], AMPLE).await {
        assert_eq!(outcome.map_err(|error| error.to_string()), Ok(1), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_would_fill_the_memory_is_not_decoded() {
    // Each two bytes are an empty message within: of Get's answer a notification, of Subscribe's an update of its own.
    let nothings = 4_300_000;
    let mut update = vec![0x0a];
    prost::encoding::encode_varint(nothings * 2, &mut update);
    update.extend([0x22, 0].repeat(usize::try_from(nothings).expect("fits")));
    for (name, message) in [("Get", [0x0a, 0].repeat(usize::try_from(nothings).expect("fits"))), ("ONCE", update)] {
        let length = u32::try_from(message.len()).expect("far below the longest message");
        let framed: &'static [u8] = [&[0], &length.to_be_bytes()[..], &message].concat().leak();
        let peer = Peer::new(vec![head(), Data(framed), status("0")]);
        let gnmi = Gnmi::new(session(peer.listen().await).await);
        let paths = ["/system/state".parse::<Path>().expect("a path")];
        let until = Instant::now() + AMPLE;
        let outcome = match name {
            "Get" => gnmi.get(&Get::all(&paths), until).await.map(drop),
            _ => gnmi.once(&paths, Call::read("gNMI.Subscribe", until)).await.map(drop),
        };
        let error = outcome.expect_err("it would be gigabytes");
        assert_eq!(error.kind, Kind::Status(Code::ResourceExhausted), "{name}: {error}");
        assert!(error.message.contains("in memory"), "{name}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_none_is_an_error() {
    for number in ["abc", "-1", "", "0x0", "0 0"] {
        all_fail(number, vec![head(), Good, status(number)], unreadable()).await;
        all_fail(number, vec![Only(200, vec![TYPE, ("grpc-status", number.as_bytes())])], unreadable()).await;
    }
    for number in ["99", "00", "17"] {
        all_fail(number, vec![head(), Good, status(number)], Kind::Status(Code::Unknown)).await;
    }
    let both = Trailers(vec![("grpc-status", b"0"), ("grpc-status", b"5")]);
    all_fail("two statuses", vec![head(), Good, both], unreadable()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_of_a_peer_makes_us_panic_or_forget_its_code() {
    let strange: [(&str, &[u8]); 5] = [
        ("grpc-status-details-bin", b"!!!notbase64"),
        ("grpc-message", b"caf\xe9 %FF%"),
        ("x-bin", b"\xff\xfe"),
        ("x-bin", b"!!!"),
        ("grpc-status-details-bin", b"\xff"),
    ];
    let refused = [&[TYPE, ("grpc-status", b"5")], &strange[..]].concat();
    let missing = Kind::Status(Code::NotFound);
    all_fail("trailers", vec![head(), Good, Trailers(refused[1..].to_vec())], missing).await;
    all_fail("headers alone", vec![Only(200, refused.clone())], missing).await;
    all_fail("headers before", vec![Head(200, refused), End], missing).await;
    let head = Head(200, [&[TYPE], &strange[..]].concat());
    let trailers = Trailers([&[("grpc-status", &b"0"[..])], &strange[..]].concat());
    for (name, outcome) in outcomes(vec![head, Good, trailers], AMPLE).await {
        assert_eq!(outcome.map_err(|error| error.to_string()), Ok(1), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_are_no_answer() {
    let huge: &'static [u8] = vec![b'x'; 200 << 10].leak();
    let limit = Duration::from_millis(300);
    for trailers in [vec![("x", huge), ("grpc-status", b"5")], vec![("grpc-status", b"5"), ("grpc-message", huge)]] {
        for (name, outcome) in outcomes(vec![head(), Good, Trailers(trailers)], limit).await {
            outcome.expect_err(name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_or_connection_that_breaks_in_the_middle_is_an_error() {
    for broken in [Reset(Reason::INTERNAL_ERROR), Reset(Reason::CANCEL), GoAway(Reason::ENHANCE_YOUR_CALM)] {
        let script = vec![head(), Good, Data(CUT), broken.clone()];
        for (name, outcome) in outcomes(script, Duration::from_millis(300)).await {
            let error = outcome.expect_err(name);
            let told = matches!(error.kind, Kind::Timeout | Kind::Status(_));
            assert!(told, "{broken:?}: {name}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_cannot_be_read_may_have_been_made() {
    for script in [
        vec![head(), Data(CUT), status("0")],
        vec![head(), Good, End],
        vec![head(), Good, Reset(Reason::NO_ERROR)],
        vec![head(), status("0")],
    ] {
        let peer = Peer::new(script.clone());
        let session = session(peer.listen().await).await;
        let until = Instant::now() + AMPLE;
        let reboot = System::new(session.clone()).reboot(RebootMethod::Cold, &[], "", false, until).await;
        let error = reboot.expect_err("nobody knows");
        assert_eq!(error.kind, Kind::OutcomeUnknown, "{script:?}: {error}");
        assert_eq!(peer.asked.load(Ordering::SeqCst), 1, "{script:?}");
    }
    let archive = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(archive.path(), [0; 1024]).expect("a tar without a file");
    let source = Source::file(archive.path().to_owned()).expect("a file");
    let deployment = Deployment::image(source, "image", "v1");
    for script in [vec![head(), Data(CUT), status("0")], vec![head(), End]] {
        let session = session(Peer::new(script.clone()).listen().await).await;
        let deployed = Containerz::new(session).deploy(&deployment, Instant::now() + AMPLE).await;
        let error = deployed.expect_err("nobody knows");
        assert_eq!(error.kind, Kind::OutcomeUnknown, "{script:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_read_as_it_comes_ends_in_the_same_errors() {
    let peer = Peer::new(vec![head(), Good, Data(CUT), status("0")]);
    let session = session(peer.listen().await).await;
    let paths = ["/system/state".parse::<Path>().expect("a path")];
    let until = Instant::now() + AMPLE;
    let opened = Gnmi::new(session.clone()).stream(&paths, StreamMode::OnChange, until).await;
    let mut stream = opened.expect("a subscription");
    assert!(stream.next(until).await.expect("a leaf").is_some());
    assert_eq!(stream.next(until).await.expect_err("it is cut").kind, unreadable());
    let mut log = Containerz::new(session).log_stream("c", true, until).await.expect("a log");
    assert_eq!(log.next(until).await.expect("a line"), Some(LogItem::Line("line".into())));
    assert_eq!(log.next(until).await.expect_err("it is cut").kind, unreadable());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn plugins_and_container_runtimes_are_read_alike() {
    use holdfast::cri::ContainerRuntime;
    use holdfast::storage::{Csi, CsiOptions, Endpoint};
    for (script, kind) in [
        (vec![head(), Data(CUT), status("0")], unreadable()),
        (vec![head(), Good, Data(CUT), status("0")], unreadable()),
        (vec![head(), Good, End], unreadable()),
        (
            vec![Only(200, vec![TYPE, ("grpc-status", b"5"), ("grpc-status-details-bin", b"!")])],
            Kind::Status(Code::NotFound),
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("runtime.sock");
        let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
        let peer = Peer::new(script.clone());
        let runtime = peer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(runtime.clone().serve(stream));
            }
        });
        let error = ContainerRuntime::at(&socket).pods(Instant::now() + AMPLE).await.expect_err("no list");
        assert_eq!(error.kind, kind, "{script:?}: {error}");
        let controller = Some(Endpoint::Tcp(peer.listen().await));
        let options = CsiOptions { controller, folder: folder.path().to_owned(), ..CsiOptions::default() };
        let connected = move || Csi::connect(options, std::time::Instant::now() + AMPLE).err();
        let error: Option<Error> = tokio::task::spawn_blocking(connected).await.expect("no panic");
        let error = error.expect("no driver");
        assert_eq!(error.kind, kind, "{script:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_tells_how_long_the_whole_took() {
    let silent = Silent::listen().await;
    let session = session(silent.address).await;
    let limit = Duration::from_millis(300);
    for (name, outcome) in ask_all(&session, limit).await {
        let error = outcome.expect_err(name);
        assert_eq!(error.kind, Kind::Timeout, "{name}: {error}");
        assert!(error.after >= Some(limit), "{name}: {error}");
    }
    silent.asked("/Time", 1).await;
}
