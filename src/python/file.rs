//! gNOI File.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::{Seconds, Secret, Whole, duration};
use super::both_worlds::both_worlds;
use super::errors::invalid;
use super::results::{self, object};
use crate::device::Device as CoreDevice;
use crate::gnoi::{Destination, Downloaded, Hash};
use crate::wire::gnoi::common::{RemoteDownload, remote_download::Protocol};
use crate::wire::gnoi::file::StatInfo;
use crate::wire::gnoi::types::{Credentials, HashType, credentials::Password};

/// How long a file may be on its way where nobody says.
pub const TRANSFER: Duration = Duration::from_secs(600);

fn stats(py: Python<'_>, stats: Vec<StatInfo>) -> PyResult<Py<PyAny>> {
    results::tuple(py, stats, |py, stat| {
        object!(py, "StatInfo",
            path: stat.path,
            size: stat.size,
            last_modified: results::nanoseconds(py, Some(stat.last_modified).filter(|time| *time > 0))?,
            permissions: stat.permissions,
            umask: stat.umask,
        )
    })
}

fn hash(py: Python<'_>, hash: Option<HashType>) -> PyResult<Py<PyAny>> {
    results::text(py, hash.as_ref().and_then(Hash::said).map_or_else(String::new, |hash| hash.to_string()))
}

/// A file that came, and what the device calls it.
pub fn downloaded(py: Python<'_>, (name, kind, came): (String, &str, Downloaded)) -> PyResult<Py<PyAny>> {
    let hash = came.hash.map(|hash| hash.to_string());
    object!(py, "Downloaded",
        path: came.path.display().to_string(),
        name: name,
        kind: kind,
        size: came.size,
        hash: hash.unwrap_or_default(),
        verified: came.verified,
    )
}

both_worlds! {
    /// gNOI File of a device.
    File and AsyncFile over CoreDevice, in Client;

    /// Stat.
    #[pyo3(signature = (path, *, timeout=None))]
    fn stat(device, path: String, timeout: Option<Seconds>) => self::stats {
        async move { device.file.stat(&path, device.session().deadline(duration(timeout))).await }
    }

    /// Get, into a file of this machine's.
    #[pyo3(signature = (path, to, *, limit=None, check=true, timeout=None))]
    fn get(device, path: String, to: PathBuf, limit: Option<Whole<u64>>, check: bool, timeout: Option<Seconds>)
        => self::downloaded
    {
        async move {
            let destination = Destination { path: to, limit: limit.map(|limit| limit.0), check };
            let deadline = device.session().deadline(duration(timeout).or(Some(TRANSFER)));
            let came = device.file.get(&path, &destination, deadline).await?;
            Ok((path, "file", came))
        }
    }

    /// TransferToRemote: the device itself sends a file elsewhere.
    #[pyo3(signature = (path, remote, *, protocol="SFTP", username="", password=None, timeout=None))]
    fn transfer_to_remote(device, path: String, remote: String, protocol: &str, username: &str,
        password: Option<Secret>, timeout: Option<Seconds>) => self::hash
    {
        let protocol = Protocol::from_str_name(protocol).filter(|known| *known != Protocol::Unknown);
        let protocol = protocol.ok_or_else(|| invalid("protocol: give SFTP, SCP, HTTP or HTTPS"))?;
        let credentials = (!username.is_empty() || password.is_some()).then(|| Credentials {
            username: username.to_owned(),
            password: password.map(|secret| Password::Cleartext(secret.0)),
        });
        let remote =
            RemoteDownload { path: remote, protocol: protocol as i32, credentials, ..RemoteDownload::default() };
        async move {
            let deadline = device.session().deadline(duration(timeout).or(Some(TRANSFER)));
            device.file.transfer_to_remote(&path, remote, deadline).await
        }
    }
}
