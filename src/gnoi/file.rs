//! gNOI File: what lies on the device, and reading it. What changes files there (Put, Remove) is left out.

use tokio::time::Instant;

use super::download::{Destination, Download, Downloaded};
use crate::dial::whole::LONGEST_MESSAGE;
use crate::dial::{Call, Connection, Session};
use crate::error::{Error, Result};
use crate::wire::gnoi::common::RemoteDownload;
use crate::wire::gnoi::file::file_client::FileClient;
use crate::wire::gnoi::file::get_response::Response;
use crate::wire::gnoi::file::{GetRequest, StatInfo, StatRequest, TransferToRemoteRequest};
use crate::wire::gnoi::types::HashType;

/// The client. Clones share its session.
#[derive(Clone)]
pub struct File {
    session: Session,
}

fn client(connection: Connection) -> FileClient<Connection> {
    let origin = connection.origin();
    FileClient::with_origin(connection, origin).max_decoding_message_size(LONGEST_MESSAGE)
}

impl File {
    /// Over `session`.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// `gnoi.file.File/Stat`: a file itself, or what is in a folder.
    pub async fn stat(&self, path: &str, deadline: Instant) -> Result<Vec<StatInfo>> {
        let request = StatRequest { path: absolute(path)? };
        self.session
            .call(Call::read("File.Stat", deadline), |connection| {
                let request = request.clone();
                async move { Ok(client(connection).stat(request).await?.into_inner().stats) }
            })
            .await
    }

    /// `gnoi.file.File/Get`: a file of the device's, into one of this machine's. Over an outage it begins anew.
    pub async fn get(&self, path: &str, destination: &Destination, deadline: Instant) -> Result<Downloaded> {
        let request = GetRequest { remote_file: absolute(path)? };
        let came = self.session.call(Call::read("File.Get", deadline), |connection| {
            let request = request.clone();
            async move {
                let mut pieces = client(connection).get(request).await?.into_inner();
                let mut download = match Download::begin(destination) {
                    Ok(download) => download,
                    Err(error) => return Ok(Err(error)),
                };
                let mut hash = None;
                while let Some(piece) = pieces.message().await? {
                    match piece.response {
                        Some(Response::Contents(bytes)) => match download.write(&bytes) {
                            Ok(()) => {}
                            Err(error) => return Ok(Err(error)),
                        },
                        Some(Response::Hash(said)) => hash = Some(said),
                        None => {}
                    }
                }
                Ok(Ok((download, hash)))
            }
        });
        let finished = match came.await? {
            Ok((download, hash)) => finish(download, hash, None).await,
            Err(error) => Err(error),
        };
        finished.map_err(|error| Error { device: Some(self.session.name().into()), ..error })
    }

    /// `gnoi.file.File/TransferToRemote`: the device itself sends a file of its own elsewhere. The hash that it gives.
    pub async fn transfer_to_remote(
        &self,
        path: &str,
        remote: RemoteDownload,
        deadline: Instant,
    ) -> Result<Option<HashType>> {
        let request = TransferToRemoteRequest { local_path: absolute(path)?, remote_download: Some(remote) };
        crate::gnoi::tell(&self.session, "gnoi.file.TransferToRemoteRequest", &request);
        self.session
            .call(Call::write("File.TransferToRemote", deadline), |connection| {
                let request = request.clone();
                async move { Ok(client(connection).transfer_to_remote(request).await?.into_inner().hash) }
            })
            .await
    }
}

/// The hash takes its time for a large file, and nobody else's.
pub(super) async fn finish(download: Download, hash: Option<HashType>, size: Option<u64>) -> Result<Downloaded> {
    let finished = tokio::task::spawn_blocking(move || download.finish(hash.as_ref(), size)).await;
    finished.unwrap_or_else(|_| Err(Error::lab("what hashes a file ended; see stderr")))
}

/// From the root, or from that of a file system which the device has a name for, as in `harddisk:/core` or `flash:core`.
fn absolute(path: &str) -> Result<String> {
    let first = path.split('/').next().unwrap_or_default();
    let on_a_disk = first.split_once(':').is_some_and(|(disk, _)| !disk.is_empty());
    if path.starts_with('/') || on_a_disk {
        return Ok(path.to_owned());
    }
    Err(Error::invalid(format!("{path:?} is no path of a device's: it begins with /, or with a disk such as flash:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_at_a_root_or_at_a_disk() {
        for path in ["/", "/var/core/", "harddisk:/x", "flash:core", "disk0:", "/a:b"] {
            assert_eq!(absolute(path).expect(path), path);
        }
        for path in ["", "var/log", "core", ":x", "var/core:1", "\\x", "./x", ".."] {
            assert!(absolute(path).is_err(), "{path:?}");
        }
    }
}
