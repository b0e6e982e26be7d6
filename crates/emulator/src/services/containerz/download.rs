//! `Deploy` with `remote_download`: the device fetches an archive by HTTP, and loads it as if it had been sent.

use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tonic::Status;

use super::ContainerzService;
use super::deploy::{Answers, disk, send};
use holdfast_wire::gnoi::common::RemoteDownload;
use holdfast_wire::gnoi::common::remote_download::Protocol;
use holdfast_wire::gnoi::containerz::deploy_response::Response as Answer;
use holdfast_wire::gnoi::containerz::{DeployResponse, ImageTransfer, ImageTransferSuccess};

/// How long a server may take for all of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the head of its answer may be, in bytes.
const HEAD: u64 = 64 << 10;

impl ContainerzService {
    /// What of a download this device does not do.
    pub(super) fn check_download(download: &RemoteDownload) -> Result<(), Status> {
        if download.credentials.is_some() {
            return Err(Status::unimplemented("credentials for remote downloads are not supported"));
        }
        if download.protocol() != Protocol::Http {
            return Err(Status::unimplemented("the emulated device fetches by HTTP alone"));
        }
        parted(&download.path).map(drop)
    }

    pub(super) async fn fetch(&self, transfer: &ImageTransfer, url: &str, answers: &Answers) -> Result<(), Status> {
        let spool = tempfile::NamedTempFile::new_in(self.control_processor().store.incoming())
            .map_err(|error| disk(&error))?
            .into_temp_path();
        let fetched = tokio::time::timeout(PATIENCE, get(url, &spool)).await;
        let size = fetched.unwrap_or_else(|_| Err(format!("{url}: no answer in time"))).map_err(Status::internal)?;
        self.store_image(transfer, spool.to_path_buf(), size).await?;
        let success = ImageTransferSuccess {
            name: transfer.name.clone(),
            tag: transfer.tag.clone(),
            image_size: 0, // as SONiC says it
        };
        send(answers, DeployResponse { response: Some(Answer::ImageTransferSuccess(success)) }).await
    }
}

/// `HOST:PORT` and the path of `http://HOST[:PORT]/PATH`.
fn parted(url: &str) -> Result<(String, String), Status> {
    let rest = url.strip_prefix("http://").filter(|rest| !rest.contains(char::is_whitespace));
    let rest = rest.ok_or_else(|| Status::invalid_argument("path must be http://HOST:PORT/FILE"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:80") };
    Ok((host, format!("/{path}")))
}

/// Fetches a file and gives its size, by HTTP/1.0: a server's answer ends with its connection.
async fn get(url: &str, into: &Path) -> Result<u64, String> {
    let said = |error: std::io::Error| format!("{url}: {error}");
    let (host, path) = parted(url).map_err(|status| status.message().to_owned())?;
    let mut stream = TcpStream::connect(&host).await.map_err(said)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(said)?;
    let mut head = BufReader::new(stream).take(HEAD);
    let (mut status, mut announced) = (String::new(), None);
    loop {
        let mut line = String::new();
        head.read_line(&mut line).await.map_err(said)?;
        let text = line.trim_end();
        match (status.is_empty(), text) {
            (true, "") => return Err(format!("{url}: no HTTP")),
            (true, text) => text.clone_into(&mut status),
            (false, "") => break,
            (false, text) => {
                let length = text.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
                announced = length.and_then(|(_, length)| length.trim().parse::<u64>().ok()).or(announced);
            }
        }
    }
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("{url}: {status}"));
    }
    let mut file = File::create(into).await.map_err(said)?;
    let size = tokio::io::copy(&mut head.into_inner(), &mut file).await.map_err(said)?;
    file.flush().await.map_err(said)?;
    match announced {
        Some(announced) if announced != size => Err(format!("{url}: {size} of {announced} bytes came")),
        _ => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::parted;

    #[test]
    fn an_address_has_a_host_a_port_and_a_path() {
        let of = |url: &str| parted(url).map_err(|status| status.code());
        assert_eq!(of("http://lab:81/a/b.tar"), Ok(("lab:81".to_owned(), "/a/b.tar".to_owned())));
        assert_eq!(of("http://lab/b.tar"), Ok(("lab:80".to_owned(), "/b.tar".to_owned())));
        for wrong in ["lab/b.tar", "https://lab/b.tar", "http://lab/a b"] {
            assert_eq!(of(wrong), Err(tonic::Code::InvalidArgument), "{wrong}");
        }
    }
}
