//! Plugins that are absent, refuse, hang, speak something else, or answer nonsense: each a clear error in time.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast::error::{ConnectFault, Error, Kind, Result};
use holdfast::storage::csi::{Backend, routes};
use holdfast::storage::{
    Attachment, Calls, Csi, CsiOptions, DockerPlugin, DockerPluginOptions, Endpoint, Volume, VolumeRequest, Volumes,
};

const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(1500)
}

fn csi(socket: &Path, deadline: Instant) -> Result<Csi> {
    csi_by(socket, Calls::default(), deadline)
}

fn csi_by(socket: &Path, calls: Calls, deadline: Instant) -> Result<Csi> {
    let nodes = BTreeMap::from([("node1".to_owned(), Endpoint::Unix(socket.to_owned()))]);
    let folder = socket.parent().expect("a folder").to_owned();
    Csi::connect(CsiOptions { nodes, folder, calls, ..CsiOptions::default() }, deadline)
}

fn docker(socket: &Path, deadline: Instant) -> Result<DockerPlugin> {
    let nodes = BTreeMap::from([("node1".to_owned(), socket.to_owned().into())]);
    DockerPlugin::connect(DockerPluginOptions { nodes, ..DockerPluginOptions::default() }, deadline)
}

/// Runs what blocks as holdfast does: beside a runtime's own threads.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// A socket on which every client is told `answer` once it said something.
fn talker(folder: &Path, answer: &'static str) -> PathBuf {
    let silent = Silent::listen(folder);
    silent.say(answer);
    silent.path
}

/// A socket on which nobody is told anything until it is to `say` something: then all are told that.
struct Silent {
    path: PathBuf,
    held: Arc<Mutex<(Option<&'static str>, Vec<UnixStream>)>>,
}

impl Silent {
    fn listen(folder: &Path) -> Self {
        let path = folder.join("plugin.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let silent = Self { path, held: Arc::default() };
        let held = silent.held.clone();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut said = [0; 4096];
                let _ = stream.read(&mut said); // whatever it is
                let mut held = held.lock().expect("no panic");
                match held.0 {
                    Some(answer) => drop(stream.write_all(answer.as_bytes())), // the client may be gone
                    None => held.1.push(stream),
                }
            }
        });
        silent
    }

    fn say(&self, answer: &'static str) {
        let mut held = self.held.lock().expect("no panic");
        held.0 = Some(answer);
        for mut stream in held.1.drain(..) {
            let _ = stream.write_all(answer.as_bytes()); // the client may be gone
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_absent_or_refuses_is_told_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let absent = folder.path().join("absent.sock");
    let refusing = folder.path().join("refusing.sock");
    drop(UnixListener::bind(&refusing).expect("a socket"));
    for path in [absent, refusing] {
        for error in beside(move || [csi(&path, soon()).err(), docker(&path, soon()).err()]).await {
            let error = error.expect("nobody is there");
            assert_eq!(error.kind, Kind::Connect(ConnectFault::Unreachable), "{error}");
            assert!(error.hint.is_some_and(|hint| hint.contains("is the plugin running")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_hangs_costs_no_more_than_the_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let silent = Silent::listen(folder.path());
    let ask = |deadline: fn() -> Instant| {
        let path = silent.path.clone();
        tokio::spawn(beside(move || [csi(&path, deadline()).err(), docker(&path, deadline()).err()]))
    };
    let (patient, hasty) = (ask(|| Instant::now() + Duration::from_secs(60)), ask(soon));
    for error in hasty.await.expect("no panic") {
        assert_eq!(error.expect("it hangs").kind, Kind::Timeout);
    }
    assert!(!patient.is_finished(), "the deadline ended it, not the plugin");
    silent.say(BAD_REQUEST);
    for error in patient.await.expect("no panic") {
        let error = error.expect("HTTP is no gRPC, and no answer of a plugin");
        assert_ne!(error.kind, Kind::Timeout, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_of_the_other_kind_is_known_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = talker(folder.path(), BAD_REQUEST);
    let error = beside(move || csi(&path, soon()).err()).await.expect("HTTP is no gRPC");
    assert_eq!(error.kind, Kind::Connect(ConnectFault::NotGrpc), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let socket = serve(folder.path(), Odd::default());
    let error = beside(move || docker(&socket, soon()).err()).await.expect("gRPC is no HTTP/1.1");
    assert!(matches!(error.kind, Kind::Connect(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_plugin_that_answers_nonsense_is_told_so() {
    for (answer, said) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"Implem\n", "no JSON"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"Implements\":[\"authz\"]}", "no JSON"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"Implements\":[\"authz\"]}", "is no volume driver"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 15\r\n\r\n{\"Err\":\"broken\"}", "HTTP status 500"),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 16\r\n\r\n{\"Err\":\"broken\"}", "broken"),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", "HTTP status 503"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = talker(folder.path(), answer);
        let error = beside(move || docker(&path, soon()).err()).await.expect(said);
        assert!(error.to_string().contains(said), "{answer}: {error}");
    }
}

/// A driver that is odd in some way.
#[derive(Debug, Clone, Default)]
struct Odd {
    id: String,
    bytes: u64,
    context: usize,
}

impl Backend for Odd {
    fn about(&self) -> (&'static str, String) {
        ("odd.holdfast", String::new())
    }

    fn node(&self) -> &'static str {
        "node1"
    }

    fn ready(&self, _: Instant) -> Result<()> {
        Ok(())
    }

    fn create(&self, request: &VolumeRequest, _: Instant) -> Result<Volume> {
        Ok(Volume { id: self.id.clone(), name: request.name.clone(), bytes: Some(self.bytes), ..Volume::default() })
    }

    fn remove(&self, _: &Volume, _: Instant) -> Result<()> {
        Ok(())
    }

    fn list(&self, _: Instant) -> Result<Vec<Volume>> {
        Ok(vec![Volume { id: self.id.clone(), ..Volume::default() }])
    }

    fn attach(&self, _: &Volume, _: &str, _: Instant) -> Result<Attachment> {
        Ok(Attachment { context: BTreeMap::from([("key".to_owned(), "x".repeat(self.context))]) })
    }

    fn detach(&self, _: &Volume, _: &str, _: Instant) -> Result<()> {
        Ok(())
    }

    fn stage(&self, _: &Volume, _: &Attachment, _: &Path, _: Instant) -> Result<()> {
        Err(Error::new(Kind::Status(tonic::Code::Internal), "the secret is hunter2?"))
    }

    fn unstage(&self, _: &str, _: &Path, _: Instant) -> Result<()> {
        Ok(())
    }

    fn publish(&self, _: &Volume, _: &Path, _: &Path, _: Instant) -> Result<()> {
        Ok(())
    }

    fn unpublish(&self, _: &str, _: &Path, _: Instant) -> Result<()> {
        Ok(())
    }

    fn is_published(&self, _: &str, _: &Path) -> bool {
        false
    }
}

fn serve(folder: &Path, odd: Odd) -> PathBuf {
    let path = folder.join("csi.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let connections = tokio_stream::wrappers::UnixListenerStream::new(listener);
    tokio::spawn(holdfast::serve::all(connections, routes(odd), tokio_util::sync::CancellationToken::new()));
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csi_driver_without_ids_or_with_megabytes_of_context_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let request = VolumeRequest { name: "v".into(), bytes: 1 << 20, ..VolumeRequest::default() };
    let socket = serve(folder.path(), Odd::default());
    let wanted = request.clone();
    let error = beside(move || csi(&socket, soon()).expect("a driver").create("node1", &wanted, soon()).err()).await;
    assert!(error.expect("no id").to_string().contains("without a volume id"));

    let folder = tempfile::tempdir().expect("a folder");
    let socket = serve(folder.path(), Odd { id: "v1".into(), bytes: 7, context: 10 << 20 });
    let error = beside(move || {
        let driver = csi(&socket, soon()).expect("a driver");
        let volume = driver.create("node1", &request, soon()).expect("a volume");
        assert_eq!(volume.bytes, Some(7), "what it says, not what was asked for");
        driver.attach(&volume, "node1", Instant::now() + Duration::from_secs(9)).err()
    });
    let error = error.await.expect("ten megabytes");
    assert!(error.to_string().contains("4194304 are taken"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_passes_calls_on_leaves_asking_again_to_whom_it_asks_for() {
    for (once, again) in [(false, 2), (true, 0)] {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = serve(folder.path(), Odd { id: "v1".into(), bytes: 7, context: 1 });
        let calls = Calls { once, ..Calls::default() };
        let asked = beside(move || {
            let driver = csi_by(&socket, calls, soon()).expect("a driver");
            let volume = Volume { id: "v1".into(), ..Volume::default() };
            let later = Instant::now() + Duration::from_secs(30);
            let refused = driver.stage(&volume, &Attachment::default(), "node1", later);
            assert_eq!(refused.expect_err("it never can").code(), Some(tonic::Code::Internal));
            driver.calls().into_iter().find(|calls| calls.name == "NodeStageVolume").expect("it was asked")
        });
        assert_eq!(asked.await.repeated, again);
    }
}
