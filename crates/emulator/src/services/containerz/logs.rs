//! `Log`.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::super::feed;
use super::{ContainerzService, Rows};
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
        let (messages, stream) = mpsc::channel(16);
        let (service, follow) = (self.clone(), request.follow);
        let life = self.control_processor().life();
        let kept = messages.clone();
        tokio::spawn(feed(life, kept, async move { service.send_log(&name, follow, &messages).await }));
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
            if !follow || !self.control_processor().runtime.runs(name) {
                return;
            }
            tokio::select! {
                () = messages.closed() => return,
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    fn chunks(&self, line: &str) -> Vec<String> {
        if !self.has(Quirk::RawLogChunks) {
            return vec![format!("{line}\n")];
        }
        let text: Vec<char> = format!("{line}\r\n").chars().collect();
        text.chunks(RAW_CHUNK).map(|chunk| chunk.iter().collect()).collect()
    }
}
