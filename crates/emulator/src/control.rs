//! The control socket: the failpoints of an emulator in another process. A line of JSON asks, a line of JSON answers.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::arming::Failpoints;
use super::trouble::not_accepted;
use holdfast_net::error::{Error, Kind, Result};

/// Its name in the state folder.
pub const SOCKET: &str = "control.sock";
/// The longest line that is read, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// What can be asked.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    Arm { name: String, terms: String },
    Disarm { name: String },
    Hits { name: String },
    Release { name: String },
    Reached { name: String, times: u64, seconds: f64 },
    Armed {},
}

/// What is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum ControlAnswer {
    Ok(Value),
    Error { message: String, hint: Option<String>, timeout: bool },
}

/// The socket, which is gone with this.
pub struct Control {
    path: PathBuf,
    listener: UnixListener,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // its folder is gone already
    }
}

impl Control {
    /// Opens it in `folder`, for this user alone (mode 0600) from its first moment.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let private = tempfile::Builder::new().prefix(".control-").tempdir_in(folder)?;
        let draft = private.path().join(SOCKET);
        let listener = bind(private.path())?;
        std::fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
        let path = folder.join(SOCKET);
        std::fs::rename(&draft, &path)?;
        Ok(Self { path, listener })
    }

    /// Answers for as long as it is run.
    pub async fn serve(self, failpoints: Failpoints) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(converse(stream, failpoints.clone()))),
                Err(error) => not_accepted("the control socket", &error).await,
            }
        }
    }
}

/// A socket's path may have no more than 107 bytes; by way of the open folder any folder's does.
fn bind(folder: &Path) -> io::Result<UnixListener> {
    let open = File::open(folder)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
    UnixListener::bind(if short.exists() { short.join(SOCKET) } else { folder.join(SOCKET) })
}

async fn converse(stream: UnixStream, failpoints: Failpoints) {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = String::new();
        let Ok(1..) = (&mut reading).take(MAX_LINE).read_line(&mut line).await else { return };
        let answer = match serde_json::from_str(&line) {
            Ok(ask) => tell(ask, &failpoints).await,
            Err(error) => Err(Error::invalid(format!("the control socket does not understand that: {error}"))),
        };
        let answer = answer.map_or_else(
            |error| ControlAnswer::Error {
                timeout: error.kind == Kind::Timeout,
                message: error.message,
                hint: error.hint,
            },
            ControlAnswer::Ok,
        );
        let mut text = serde_json::to_vec(&answer).unwrap_or_default();
        text.push(b'\n');
        if writing.write_all(&text).await.is_err() {
            return;
        }
    }
}

async fn tell(ask: Ask, failpoints: &Failpoints) -> Result<Value> {
    Ok(match ask {
        Ask::Arm { name, terms } => json!(failpoints.arm(&name, &terms)?),
        Ask::Disarm { name } => json!(failpoints.disarm(&name)?),
        Ask::Hits { name } => json!(failpoints.hits(&name)?),
        Ask::Release { name } => json!(failpoints.release(&name)?),
        Ask::Reached { name, times, seconds } => {
            let patience = Duration::try_from_secs_f64(seconds)
                .map_err(|_| Error::invalid(format!("{seconds} is no time in seconds")))?;
            json!(failpoints.reached(&name, times, patience).await?)
        }
        Ask::Armed {} => {
            failpoints.armed().into_iter().map(|armed| json!([armed.name, armed.terms, armed.hits])).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_with_a_long_name_has_one_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = folder.path().join("x".repeat(200));
        std::fs::create_dir(&long).expect("a folder");
        let control = Control::open(&long).expect("a socket");
        let mode = std::fs::metadata(long.join(SOCKET)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&long).expect("a folder").count(), 1);
        drop(control);
        assert_eq!(std::fs::read_dir(&long).expect("a folder").count(), 0);
    }
}
