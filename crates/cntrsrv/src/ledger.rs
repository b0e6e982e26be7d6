//! `holdfast.ledger.v1.Ledger`: the test container's ledger on its volume.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use holdfast_ledger as ledger;
use holdfast_ledger::{Opening, Refused, Writer};
use holdfast_wire::ledger::ledger_server::{Ledger, LedgerServer};
use holdfast_wire::ledger::{AppendRequest, DescribeRequest, Description, ReadRequest, Record};

/// Where a container keeps it: on whatever volume is mounted there.
pub const PATH: &str = "/data/holdfast.ledger";

/// Brings the volume's copy up to what the file holds.
pub type Mirror = Arc<dyn Fn() -> std::io::Result<()> + Send + Sync>;

/// Whether the ledger's volume is where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// It is, as far as the file system says.
    AsSeen,
    /// Nothing is mounted where the ledger is.
    Elsewhere,
    /// It is there, and cannot be written to.
    ReadOnly,
}

/// Of the environment, what Describe tells.
pub const VARIABLES: &str = "HOLDFAST_";

/// The ledger in one file, with one incarnation that writes it.
#[derive(Clone)]
pub struct LedgerService {
    path: PathBuf,
    environment: HashMap<String, String>,
    volume: Volume,
    /// Called after each record, before it is acknowledged: where a volume is replicated, its copy has it then.
    mirror: Mirror,
    incarnation: u64,
    /// Opened by the first append.
    writer: Arc<Mutex<Option<Writer>>>,
}

impl LedgerService {
    /// For the file `path`, in the environment of this process; each service is an incarnation of its own.
    pub fn new(path: PathBuf) -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let incarnation = RandomState::new().build_hasher().finish();
        let environment = std::env::vars().filter(|(name, _)| name.starts_with(VARIABLES)).collect();
        Self {
            path,
            environment,
            volume: Volume::AsSeen,
            mirror: Arc::new(|| Ok(())),
            incarnation,
            writer: Arc::default(),
        }
    }

    /// In a container of an emulated device: its environment, its volume, and who gets a copy of what is written.
    #[must_use]
    pub fn emulated(mut self, environment: HashMap<String, String>, volume: Volume, mirror: Mirror) -> Self {
        (self.environment, self.volume, self.mirror) = (environment, volume, mirror);
        self.environment.retain(|name, _| name.starts_with(VARIABLES));
        self
    }

    /// What serves it.
    pub fn server(self) -> LedgerServer<Self> {
        LedgerServer::new(self)
    }

    /// Only where a volume is: a ledger in the container's own layer would go with the container.
    fn check_volume(&self) -> Result<(), Status> {
        match self.path.parent() {
            Some(folder) if folder.is_dir() && self.volume != Volume::Elsewhere => Ok(()),
            _ => Err(Status::failed_precondition("there is no volume for the ledger: mount one at /data")),
        }
    }
}

#[tonic::async_trait]
impl Ledger for LedgerService {
    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<Record>, Status> {
        self.check_volume()?;
        if self.volume == Volume::ReadOnly {
            return Err(Status::internal(format!("{}: Read-only file system", self.path.display())));
        }
        let payload = request.into_inner().payload;
        if payload.len() > ledger::MAX_PAYLOAD {
            return Err(refused(Refused::TooLong { length: payload.len() }));
        }
        let service = self.clone();
        let appended = tokio::task::spawn_blocking(move || {
            let mut held = service.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut writer = match held.take() {
                Some(writer) => writer,
                None => Writer::open(&service.path, Opening { writer: service.incarnation, ..Opening::default() })?,
            };
            let record = writer.append(payload.as_slice()).and_then(|record| {
                let mirrored = (service.mirror)();
                let name = service.path.display().to_string();
                mirrored.map_err(|error| Refused::Disk { name, error })?;
                Ok(record)
            });
            *held = record.is_ok().then_some(writer); // after a failure it is opened, and so read, again
            record
        });
        let record = appended.await.map_err(|error| Status::internal(error.to_string()))?;
        record.map(|record| Response::new(message(&record))).map_err(refused)
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<Description>, Status> {
        let folder = self.path.parent();
        Ok(Response::new(Description {
            writer: format!("{:016x}", self.incarnation),
            environment: self.environment.clone(),
            mounted: self.volume != Volume::Elsewhere && folder.is_some_and(Path::is_dir),
            writable: self.volume == Volume::AsSeen && folder.is_some_and(is_writable),
        }))
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
            for record in &reading.records {
                if sender.send(Ok(message(record))).await.is_err() {
                    return;
                }
            }
            if reading.damaged {
                let last = reading.records.last().map_or(0, |record| record.head.number);
                let damaged = Status::data_loss(format!("what follows on record {last} is none"));
                let _ = sender.send(Err(damaged)).await; // the client is gone
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Whether the file system of a folder takes writes; permissions are another matter.
fn is_writable(folder: &Path) -> bool {
    use rustix::fs::{StatVfsMountFlags, statvfs};
    statvfs(folder).is_ok_and(|found| !found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn message(record: &ledger::Record) -> Record {
    Record { block: record.block() }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(refused: Refused) -> Status {
    match refused {
        Refused::Damaged { .. } => Status::data_loss(refused.to_string()),
        Refused::Begun { .. } => Status::failed_precondition(refused.to_string()),
        Refused::TooLong { .. } => Status::invalid_argument(refused.to_string()),
        Refused::Disk { .. } | Refused::Unknown { .. } => Status::internal(refused.to_string()),
    }
}
