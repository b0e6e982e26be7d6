//! `Log`.

use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::super::feed;
use super::{ContainerzService, Rows};
use crate::runtime::LogStream;
use crate::settings::Quirk;
use holdfast_wire::gnoi::containerz::{LogRequest, LogResponse};

/// How much of a log one message of `raw-log-chunks` carries.
const RAW_CHUNK: usize = 16;

impl ContainerzService {
    pub(super) fn container_log(&self, request: &LogRequest) -> Result<Response<Rows<LogResponse>>, Status> {
        if self.has(Quirk::LogUnimplemented) {
            return Err(Status::unimplemented("Log is not supported"));
        }
        let inventory = self.inventory();
        let name = match inventory.container(&request.instance_name) {
            Some(container) => container.name.clone(),
            None => self.defects().log_of_unknown(&inventory).ok_or_else(|| self.no_log(&request.instance_name))?,
        };
        let own = self.control_processor().runtime.log(&name, request.follow);
        let (messages, stream) = mpsc::channel(16);
        let (service, follow) = (self.clone(), request.follow);
        let life = self.control_processor().life();
        let kept = messages.clone();
        tokio::spawn(feed(life, kept, async move {
            match own {
                Some(log) => service.pass_on(log, &messages).await,
                None => service.send_log(&name, follow, &messages).await,
            }
        }));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    fn no_log(&self, name: &str) -> Status {
        if self.has(Quirk::EngineErrorsUnknown) {
            return Status::unknown(format!("Error response from daemon: No such container: {name}"));
        }
        Status::not_found(format!("there is no container {name:?}"))
    }

    async fn send_log(&self, name: &str, follow: bool, messages: &mpsc::Sender<Result<LogResponse, Status>>) {
        let mut state = self.chassis.watch();
        let mut sent = 0;
        loop {
            let Some(container) = self.inventory().container(name).cloned() else { return };
            for line in container.log.iter().skip(sent) {
                for msg in self.chunks(line) {
                    if messages.send(Ok(LogResponse { msg })).await.is_err() {
                        return;
                    }
                }
            }
            sent = container.log.len();
            if !follow || !self.control_processor().runtime.runs(name).await.unwrap_or(false) {
                return;
            }
            tokio::select! {
                () = messages.closed() => return,
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    /// A log of the runtime's own, line by line.
    async fn pass_on(&self, mut log: LogStream, messages: &mpsc::Sender<Result<LogResponse, Status>>) {
        let mut rest = Vec::new();
        while let Some(piece) = log.next().await {
            let piece = match piece {
                Ok(piece) => piece,
                Err(failure) => {
                    let _ = messages.send(Err(failure.status("the log"))).await; // the client is gone
                    return;
                }
            };
            rest.extend_from_slice(&piece);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if !self.send_line(&line[..end], messages).await {
                    return;
                }
            }
        }
        if !rest.is_empty() {
            self.send_line(&rest, messages).await;
        }
    }

    /// Whether the client still listens.
    async fn send_line(&self, line: &[u8], messages: &mpsc::Sender<Result<LogResponse, Status>>) -> bool {
        for msg in self.chunks(String::from_utf8_lossy(line).trim_end_matches('\r')) {
            if messages.send(Ok(LogResponse { msg })).await.is_err() {
                return false;
            }
        }
        true
    }

    fn chunks(&self, line: &str) -> Vec<String> {
        if !self.has(Quirk::RawLogChunks) {
            return vec![format!("{line}\n")];
        }
        let text: Vec<char> = format!("{line}\r\n").chars().collect();
        text.chunks(RAW_CHUNK).map(|chunk| chunk.iter().collect()).collect()
    }
}
