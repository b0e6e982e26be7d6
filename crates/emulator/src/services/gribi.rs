//! gRIBI: Modify, Get and Flush of what its clients programmed. Nothing is forwarded by it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::feed;
use crate::rib::Session;
use crate::shared::SharedChassis;
use holdfast_wire::gribi::flush_response::Result as Flushed;
use holdfast_wire::gribi::g_ribi_server::GRibi;
use holdfast_wire::gribi::get_request::NetworkInstance;
use holdfast_wire::gribi::{
    AftType, FlushRequest, FlushResponse, GetRequest, GetResponse, ModifyRequest, ModifyResponse,
};

/// How many entries one message carries.
const ENTRIES: usize = 100;

/// gRIBI of a control processor.
pub struct GribiService {
    chassis: Arc<SharedChassis>,
    index: usize,
}

impl GribiService {
    pub fn new(chassis: Arc<SharedChassis>, index: usize) -> Self {
        Self { chassis, index }
    }
}

#[tonic::async_trait]
impl GRibi for GribiService {
    type ModifyStream = ReceiverStream<Result<ModifyResponse, Status>>;
    type GetStream = ReceiverStream<Result<GetResponse, Status>>;

    async fn modify(&self, request: Request<Streaming<ModifyRequest>>) -> Result<Response<Self::ModifyStream>, Status> {
        let (messages, stream) = mpsc::channel(4);
        let life = self.chassis.control_processors[self.index].life();
        let work = converse(self.chassis.clone(), self.chassis.rib.join(), request.into_inner(), messages.clone());
        tokio::spawn(feed(life, messages, work));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let request = request.into_inner();
        let table = AftType::try_from(request.aft).unwrap_or(AftType::Invalid);
        if table == AftType::Invalid {
            return Err(Status::invalid_argument("aft names no table"));
        }
        let entries = match &request.network_instance {
            Some(NetworkInstance::All(_)) => self.chassis.rib.installed(None, table),
            Some(NetworkInstance::Name(name)) if !name.is_empty() => self.chassis.rib.installed(Some(name), table),
            _ => return Err(Status::invalid_argument("no network instance is named")),
        };
        let mut responses: Vec<_> =
            entries.chunks(ENTRIES).map(|entry| GetResponse { entry: entry.to_vec() }).collect();
        if responses.is_empty() {
            responses.push(GetResponse::default()); // a list that is empty, and not none
        }
        let (messages, stream) = mpsc::channel(4);
        let life = self.chassis.control_processors[self.index].life();
        let kept = messages.clone();
        tokio::spawn(feed(life, kept, async move {
            for response in responses {
                if messages.send(Ok(response)).await.is_err() {
                    return;
                }
            }
        }));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn flush(&self, request: Request<FlushRequest>) -> Result<Response<FlushResponse>, Status> {
        self.chassis.rib.flush(request.into_inner())?;
        Ok(Response::new(FlushResponse { timestamp: clock(&self.chassis), result: Flushed::Ok as i32 }))
    }
}

/// A client's session, until either side ends it.
async fn converse(
    chassis: Arc<SharedChassis>,
    session: Session,
    mut requests: Streaming<ModifyRequest>,
    messages: mpsc::Sender<Result<ModifyResponse, Status>>,
) {
    while let Ok(Some(request)) = requests.message().await {
        let answer = session.take(request, clock(&chassis)).map_err(Status::from);
        let ends = answer.is_err();
        if messages.send(answer).await.is_err() || ends {
            return;
        }
    }
}

/// The device's clock, in nanoseconds since the epoch.
fn clock(chassis: &SharedChassis) -> i64 {
    i64::try_from(chassis.clock()).unwrap_or(i64::MAX)
}
