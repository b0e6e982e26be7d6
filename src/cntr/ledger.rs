//! `holdfast.ledger.v1.Ledger`: the test container's ledger on its volume.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::ledger::{self, Refused, Writer};
use crate::wire::ledger::ledger_server::{Ledger, LedgerServer};
use crate::wire::ledger::{AppendRequest, ReadRequest, Record};

/// Where a container keeps it: on whatever volume is mounted there.
pub const PATH: &str = "/data/holdfast.ledger";
/// The largest payload, in bytes.
const MAX_PAYLOAD: usize = 64 << 10;

/// Brings the volume's copy up to what the file holds.
pub type Mirror = Arc<dyn Fn() -> std::io::Result<()> + Send + Sync>;

/// The ledger in one file, with one incarnation that writes it.
#[derive(Clone)]
pub struct Service {
    path: PathBuf,
    /// Called after each record, before it is acknowledged: where a volume is replicated, its copy has it then.
    mirror: Mirror,
    incarnation: String,
    /// Opened by the first append.
    writer: Arc<Mutex<Option<Writer>>>,
}

impl Service {
    /// For the file `path`; each service is an incarnation of its own.
    pub fn server(path: PathBuf) -> LedgerServer<Self> {
        Self::mirrored(path, Arc::new(|| Ok(())))
    }

    /// As `server`, on a volume that is replicated.
    pub fn mirrored(path: PathBuf, mirror: Mirror) -> LedgerServer<Self> {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let incarnation = format!("{:016x}", RandomState::new().build_hasher().finish());
        LedgerServer::new(Self { path, mirror, incarnation, writer: Arc::default() })
    }

    /// Only where a volume is: a ledger in the container's own layer would go with the container.
    fn check_volume(&self) -> Result<(), Status> {
        match self.path.parent() {
            Some(folder) if folder.is_dir() => Ok(()),
            _ => Err(Status::failed_precondition("there is no volume for the ledger: mount one at /data")),
        }
    }
}

#[tonic::async_trait]
impl Ledger for Service {
    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<Record>, Status> {
        self.check_volume()?;
        let payload = request.into_inner().payload;
        if payload.len() > MAX_PAYLOAD {
            let what = format!("a record takes {MAX_PAYLOAD} bytes, and {} came", payload.len());
            return Err(Status::invalid_argument(what));
        }
        let service = self.clone();
        let appended = tokio::task::spawn_blocking(move || {
            let mut held = service.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut writer = match held.take() {
                Some(writer) => writer,
                None => Writer::open(&service.path, &service.incarnation)?,
            };
            let record = writer.append(&payload).and_then(|record| {
                let mirrored = (service.mirror)();
                mirrored.map_err(|error| Refused::Disk { path: service.path.clone(), error })?;
                Ok(record)
            });
            *held = record.is_ok().then_some(writer); // after a failure it is opened, and so read, again
            record
        });
        let record = appended.await.map_err(|error| Status::internal(error.to_string()))?;
        record.map(|record| Response::new(told(record))).map_err(refused)
    }

    type ReadStream = ReceiverStream<Result<Record, Status>>;

    async fn read(&self, _: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        self.check_volume()?;
        let path = self.path.clone();
        let bytes = match tokio::task::spawn_blocking(move || std::fs::read(path)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Ok(Err(error)) => return Err(Status::internal(error.to_string())),
            Err(error) => return Err(Status::internal(error.to_string())),
        };
        let (sender, stream) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move {
            let reading = ledger::read(&bytes);
            for record in reading.records {
                if sender.send(Ok(told(record))).await.is_err() {
                    return;
                }
            }
            if reading.remainder == ledger::Remainder::Damaged {
                let damaged = Status::data_loss(format!("what follows on byte {} is no record", reading.length));
                let _ = sender.send(Err(damaged)).await; // the client is gone
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

fn told(record: ledger::Record) -> Record {
    Record { number: record.number, writer: record.writer, payload: record.payload, hash: record.hash }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(refused: Refused) -> Status {
    match refused {
        Refused::Damaged { .. } => Status::data_loss(refused.to_string()),
        Refused::Disk { .. } | Refused::Unknown { .. } => Status::internal(refused.to_string()),
    }
}
