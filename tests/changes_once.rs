//! Changes whose connection ends in the middle: each reaches the device once at most, wherever it ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use holdfast::dial::{Security, Session, Settings, Target};
use holdfast::error::{Kind, Result};
use holdfast::gnmi::Path;
use holdfast::gnoi::System;
use holdfast::gnoi::containerz::{Containerz, Deployment, StartOptions, VolumeOptions};
use holdfast::image::Source;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Where the connection of a change ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    AtTheRequest,
    AfterHeaders,
    AfterAMessage,
    AfterTheWholeAnswer,
    /// With GOAWAY, while the call goes on, and then without an answer.
    AfterGoAway,
}

const ENDS: [Ends; 5] =
    [Ends::AtTheRequest, Ends::AfterHeaders, Ends::AfterAMessage, Ends::AfterTheWholeAnswer, Ends::AfterGoAway];
/// What changes nothing, and is asked before and after a change.
const READS: [&str; 5] = ["ListImage", "ListContainer", "ListVolume", "Time", "Capabilities"];

/// A device that answers reads, and ends the connection of each change.
#[derive(Clone)]
struct Device {
    ends: Ends,
    changes: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Device {
    async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let device = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(device.clone().serve(stream));
            }
        });
        address
    }

    async fn serve(self, stream: TcpStream) {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let (end, mut ending) = mpsc::unbounded_channel();
        loop {
            tokio::select! {
                biased;
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                        if READS.contains(&name.as_str()) {
                            answer(respond, None, true);
                            continue;
                        }
                        *self.changes.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
                        if self.ends == Ends::AfterGoAway {
                            connection.graceful_shutdown();
                        }
                        tokio::spawn(change(self.ends, respond, end.clone()));
                    }
                    _ => return,
                },
                Some(()) = ending.recv() => return,
            }
        }
    }
}

fn answer(mut respond: SendResponse<Bytes>, message: Option<Bytes>, whole: bool) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).expect("a response");
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    if let Some(message) = message {
        let _ = stream.send_data(message, false); // the client may have gone
    }
    if whole {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static("0"))]);
        let _ = stream.send_trailers(trailers);
    }
    std::mem::forget(stream); // dropped, it would be reset
}

async fn change(ends: Ends, respond: SendResponse<Bytes>, end: mpsc::UnboundedSender<()>) {
    let nothing = || Some(Bytes::from_static(&[0, 0, 0, 0, 0]));
    match ends {
        Ends::AtTheRequest => drop(end.send(())),
        Ends::AfterHeaders => answer(respond, None, false),
        Ends::AfterAMessage => answer(respond, nothing(), false),
        Ends::AfterTheWholeAnswer => answer(respond, nothing(), true),
        Ends::AfterGoAway => std::mem::forget(respond),
    }
    holdfast::waiting::pause(Duration::from_millis(5)).await; // what was answered leaves first, mostly
    let _ = end.send(());
}

async fn outcomes(address: SocketAddr) -> Vec<(&'static str, Result<()>)> {
    let session = || async {
        let target = Target::parse(&address.to_string(), Security::Plaintext).expect("an address");
        Session::connect(target, Settings::default()).await.expect("a session")
    };
    let until = || Instant::now() + Duration::from_millis(1_200);
    let (containerz, system) = (Containerz::new(session().await), System::new(session().await));
    let start = StartOptions {
        image_name: "app".into(),
        tag: "v1".into(),
        instance_name: "web".into(),
        ..StartOptions::default()
    };
    let volume = VolumeOptions { name: "data".into(), ..VolumeOptions::default() };
    let archive = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(archive.path(), [0; 1024]).expect("a tar without a file");
    let source = Source::file(archive.path().to_owned()).expect("a file");
    let deployment = Deployment::image(source, "app", "v1");
    let standby = Path::component("Supervisor2");
    vec![
        ("StartContainer", containerz.start(&start, until()).await.map(drop)),
        ("UpdateContainer", containerz.update(&start, false, until()).await.map(drop)),
        ("StopContainer", containerz.stop("web", true, false, until()).await),
        ("RemoveContainer", containerz.remove("web", true, false, until()).await.map(drop)),
        ("CreateVolume", containerz.create_volume(&volume, until()).await.map(drop)),
        ("RemoveVolume", containerz.ask_to_remove_volume("data", true, until()).await),
        ("RemoveImage", containerz.remove_image("app", "v1", true, false, until()).await.map(drop)),
        ("Deploy", containerz.deploy(&deployment, until()).await),
        ("SwitchControlProcessor", system.switch_control_processor(&standby, until()).await.map(drop)),
        ("KillProcess", system.kill_process("agent", true, until()).await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_never_made_again_after_its_connection_ended() {
    for ends in ENDS {
        let device = Device { ends, changes: Arc::default() };
        let outcomes = outcomes(device.listen().await).await;
        let came = device.changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, outcome) in outcomes {
            // on a busy machine it may be under way when the connection of the one before it ends
            let times = came.get(name).copied().unwrap_or_default();
            assert!(times == 1 || times == 0 && outcome.is_err(), "{ends:?}: {name} came {came:?} times: {outcome:?}");
            // Nobody says that it was not made.
            if let Err(error) = outcome {
                let open = matches!(error.kind, Kind::OutcomeUnknown | Kind::Status(_));
                assert!(open, "{ends:?}: {name}: {error}");
            }
        }
    }
}

/// Its farewell and a change cross: whether the device let that in, is told by the number in the farewell alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_begins_as_the_device_says_farewell_is_made_once() {
    let rounds = (0..8).map(|_| {
        tokio::spawn(async {
            for _ in 0..100 {
                let device = Device { ends: Ends::AfterGoAway, changes: Arc::default() };
                let target =
                    Target::parse(&device.listen().await.to_string(), Security::Plaintext).expect("an address");
                let system = System::new(Session::connect(target, Settings::default()).await.expect("a session"));
                let until = Instant::now() + Duration::from_secs(5);
                let outcome = system.kill_process("agent", true, until).await;
                let came = device.changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
                assert!(came.values().all(|times| *times == 1), "{came:?}: {outcome:?}");
            }
        })
    });
    for round in rounds.collect::<Vec<_>>() {
        round.await.expect("none is made twice");
    }
}
