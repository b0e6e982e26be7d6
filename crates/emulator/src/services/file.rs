//! gNOI File: what lies on the active control processor, and what core files the standby has.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::feed;
use crate::settings::Quirk;
use crate::shared::SharedChassis;
use holdfast_wire::gnoi::file::file_server::File;
use holdfast_wire::gnoi::file::get_response::Response as Piece;
use holdfast_wire::gnoi::file::{
    GetRequest, GetResponse, PutRequest, PutResponse, RemoveRequest, RemoveResponse, StatInfo, StatRequest,
    StatResponse, TransferToRemoteRequest, TransferToRemoteResponse,
};
use holdfast_wire::gnoi::types::HashType;
use holdfast_wire::gnoi::types::hash_type::HashMethod;

/// What one message carries of a file, in bytes.
const PIECE: usize = 64_000;

/// gNOI File of one control processor.
pub struct FileService {
    chassis: Arc<SharedChassis>,
    index: usize,
}

impl FileService {
    pub fn new(chassis: Arc<SharedChassis>, index: usize) -> Self {
        Self { chassis, index }
    }

    /// Where the device shows the other control processor's core files, while that is up.
    fn standby_folder(&self) -> Option<String> {
        let standby = 1 - self.index;
        let shows = !self.chassis.has(Quirk::StandbyFilesHidden) && self.chassis.state().is_up(standby);
        let name = self.chassis.settings.names[standby].replace('/', "_");
        shows.then(|| format!("{}/{name}", self.chassis.control_processors[self.index].files.core_folder()))
    }

    /// Where a path lies on this machine.
    fn place(&self, path: &str) -> Result<PathBuf, Status> {
        if !path.starts_with('/') {
            return Err(Status::invalid_argument(format!("{path:?} is not absolute")));
        }
        let own = &self.chassis.control_processors[self.index].files;
        let of_standby = self.standby_folder().and_then(|folder| {
            let rest = path.strip_prefix(&folder)?;
            let inside = rest.is_empty() || rest.starts_with('/');
            let peer = &self.chassis.control_processors[1 - self.index].files;
            inside.then(|| peer.place(&format!("{}{rest}", peer.core_folder())))
        });
        of_standby.unwrap_or_else(|| own.place(path)).ok_or_else(|| Status::not_found(format!("{path:?} is not there")))
    }

    fn entries(&self, folder: &str, place: &Path) -> io::Result<Vec<StatInfo>> {
        let folder = folder.trim_end_matches('/');
        let mut found = Vec::new();
        for entry in std::fs::read_dir(place)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let bare = self.chassis.has(Quirk::BareFileNames);
            let path = if bare { name } else { format!("{folder}/{name}") };
            found.push(self.stat_info(path, &entry.metadata()?));
        }
        if let Some(standby) = self.standby_folder()
            && standby.strip_prefix(folder).is_some_and(|rest| rest.rfind('/') == Some(0))
            && let Ok(metadata) = std::fs::metadata(self.place(&standby).map_err(io::Error::other)?)
        {
            found.push(self.stat_info(standby, &metadata));
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn stat_info(&self, path: String, metadata: &Metadata) -> StatInfo {
        let written = metadata.modified().ok().filter(|_| !self.chassis.has(Quirk::NoFileTimes));
        let since = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        StatInfo {
            path,
            last_modified: u64::try_from(since.as_nanos()).unwrap_or_default(),
            permissions: as_written(metadata.permissions().mode() & 0o7777),
            size: metadata.len(),
            umask: as_written(0o022),
        }
    }
}

/// Permissions as gNOI writes them: octal, in decimal digits.
fn as_written(mode: u32) -> u32 {
    format!("{mode:o}").parse().unwrap_or_default()
}

fn refused(path: &str, error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Status::not_found(format!("{path:?} is not there")),
        io::ErrorKind::PermissionDenied => Status::permission_denied(format!("{path:?} may not be read")),
        _ => Status::internal(format!("{path:?}: {error}")),
    }
}

#[tonic::async_trait]
impl File for FileService {
    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatResponse>, Status> {
        let path = request.into_inner().path;
        let place = self.place(&path)?;
        let metadata = std::fs::metadata(&place).map_err(|error| refused(&path, &error))?;
        let stats = if metadata.is_dir() && self.chassis.has(Quirk::FolderStatUnimplemented) {
            return Err(Status::unimplemented("Stat of a folder is not supported"));
        } else if metadata.is_dir() && !self.chassis.has(Quirk::FolderStatItself) {
            self.entries(&path, &place).map_err(|error| refused(&path, &error))?
        } else {
            vec![self.stat_info(path, &metadata)]
        };
        Ok(Response::new(StatResponse { stats }))
    }

    type GetStream = ReceiverStream<Result<GetResponse, Status>>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let path = request.into_inner().remote_file;
        let place = self.place(&path)?;
        if place.is_dir() {
            return Err(Status::failed_precondition(format!("{path:?} is a folder")));
        }
        let file = tokio::fs::File::open(&place).await.map_err(|error| refused(&path, &error))?;
        let (messages, stream) = mpsc::channel(4);
        let hashed = !self.chassis.has(Quirk::NoFileHash);
        let life = self.chassis.control_processors[self.index].life();
        let kept = messages.clone();
        tokio::spawn(feed(life, kept, async move { send(file, hashed, &messages).await }));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn transfer_to_remote(
        &self,
        _: Request<TransferToRemoteRequest>,
    ) -> Result<Response<TransferToRemoteResponse>, Status> {
        Err(Status::unimplemented("the emulated device has no TransferToRemote"))
    }

    async fn put(&self, _: Request<Streaming<PutRequest>>) -> Result<Response<PutResponse>, Status> {
        Err(Status::unimplemented("the emulated device has no Put"))
    }

    async fn remove(&self, _: Request<RemoveRequest>) -> Result<Response<RemoveResponse>, Status> {
        Err(Status::unimplemented("the emulated device has no Remove"))
    }
}

async fn send(mut file: tokio::fs::File, hashed: bool, messages: &mpsc::Sender<Result<GetResponse, Status>>) {
    let mut hash = Sha256::new();
    loop {
        let mut piece = vec![0; PIECE];
        let message = match file.read(&mut piece).await {
            Ok(0) => break,
            Ok(count) => {
                piece.truncate(count);
                hash.update(&piece);
                Ok(GetResponse { response: Some(Piece::Contents(piece)) })
            }
            Err(error) => Err(Status::internal(error.to_string())),
        };
        let failed = message.is_err();
        if messages.send(message).await.is_err() || failed {
            return;
        }
    }
    if hashed {
        let hash = HashType { method: HashMethod::Sha256 as i32, hash: hash.finalize().to_vec() };
        let _ = messages.send(Ok(GetResponse { response: Some(Piece::Hash(hash)) })).await; // or the caller left
    }
}
