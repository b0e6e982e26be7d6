//! The test container's ledger over gRPC, through the death of its process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use holdfast_ledger::{Place, Receipt, Record, verify};
use holdfast_net::dial::{Call, Security, Session, Settings, Target};
use holdfast_wire::ledger::ledger_client::LedgerClient;
use holdfast_wire::ledger::{AppendRequest, DescribeRequest, Description, ReadRequest};
use tokio::time::Instant;

struct Container {
    process: Child,
    session: Session,
}

impl Container {
    async fn start(ledger: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cntrsrv"))
            .args(["--port", "0", "--ledger"])
            .envs([("HOLDFAST_RUN", "r1"), ("TOKEN", "secret")])
            .arg(ledger)
            .stdout(Stdio::piped())
            .spawn()
            .expect("cntrsrv");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let port = line.trim().rsplit(':').next().expect("a port");
        let target = Target::parse(&format!("127.0.0.1:{port}"), Security::unverified()).expect("an address");
        let session = Session::connect(target, Settings::default()).await.expect("a session");
        Self { process, session }
    }

    async fn append(&self, payload: &[u8]) -> Result<Record, tonic::Status> {
        let connection = self.session.connection(deadline()).await.expect("a connection");
        let origin = connection.origin();
        let request = AppendRequest { payload: payload.to_vec() };
        let sent = LedgerClient::with_origin(connection, origin).append(request).await?.into_inner();
        Ok(Record::parse(&sent.block).expect("a record"))
    }

    async fn describe(&self) -> Description {
        let connection = self.session.connection(deadline()).await.expect("a connection");
        let origin = connection.origin();
        let described = LedgerClient::with_origin(connection, origin).describe(DescribeRequest {}).await;
        described.expect("a description").into_inner()
    }

    async fn records(&self) -> Vec<Record> {
        let call = Call::read("Ledger.Read", deadline());
        let read = self.session.call(call, |connection| async move {
            let origin = connection.origin();
            let mut stream = LedgerClient::with_origin(connection, origin).read(ReadRequest {}).await?.into_inner();
            let mut records = Vec::new();
            while let Some(sent) = stream.message().await? {
                records.push(Record::parse(&sent.block).expect("a record"));
            }
            Ok(records)
        });
        read.await.expect("records")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }
}

fn deadline() -> Instant {
    Instant::now() + std::time::Duration::from_secs(10)
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_survive_the_death_of_their_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger");
    let mut acknowledged = Vec::new();
    for life in 0..3 {
        let container = Container::start(&path).await;
        for number in 0..5 {
            acknowledged.push(container.append(format!("{life}.{number}").as_bytes()).await.expect("acknowledged"));
        }
        drop(container);
    }
    let container = Container::start(&path).await;
    let records = container.records().await;
    drop(container);
    assert_eq!(records.len(), 15);
    let mut writers: Vec<_> = records.iter().map(|record| record.head.writer()).collect();
    writers.dedup();
    let receipts: Vec<_> = acknowledged.into_iter().map(Receipt::from).collect();
    assert_eq!(verify(&receipts, records.into_iter().map(Place::Record)), []);
    assert_eq!(writers.len(), 3, "each life is an incarnation of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_volume_and_with_a_damaged_ledger_it_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let container = Container::start(&folder.path().join("nowhere/ledger")).await;
    let refused = container.append(b"x").await.expect_err("no volume");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    drop(container);
    let path = folder.path().join("ledger");
    std::fs::write(&path, "nonsense\n").expect("written");
    let container = Container::start(&path).await;
    assert_eq!(container.append(b"x").await.expect_err("damaged").code(), tonic::Code::DataLoss);
    let large = container.append(&vec![0; 100_000]).await.expect_err("too large");
    assert_eq!(large.code(), tonic::Code::InvalidArgument);
    drop(container);
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "nonsense\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_describes_its_environment_its_volume_and_its_incarnation() {
    let folder = tempfile::tempdir().expect("a folder");
    let container = Container::start(&folder.path().join("ledger")).await;
    let described = container.describe().await;
    assert_eq!(container.append(b"x").await.expect("acknowledged").head.writer(), described.writer);
    assert_eq!(described.environment.get("HOLDFAST_RUN").map(String::as_str), Some("r1"));
    assert!(described.environment.keys().all(|name| name.starts_with("HOLDFAST_")), "{:?}", described.environment);
    assert!(described.mounted && described.writable);
    drop(container);
    let container = Container::start(&folder.path().join("nowhere/ledger")).await;
    let described = container.describe().await;
    assert!(!described.mounted && !described.writable);
    drop(container);
}
