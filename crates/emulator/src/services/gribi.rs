//! gRIBI: Get, of a device that nothing was injected into.

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use holdfast_wire::gribi::g_ribi_server::GRibi;
use holdfast_wire::gribi::get_request::NetworkInstance;
use holdfast_wire::gribi::{AftType, GetRequest, GetResponse};

/// gRIBI of either control processor.
pub struct GribiService;

#[tonic::async_trait]
impl GRibi for GribiService {
    type GetStream = ReceiverStream<Result<GetResponse, Status>>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let request = request.into_inner();
        if !matches!(request.network_instance, Some(NetworkInstance::All(_))) || request.aft() != AftType::All {
            return Err(Status::invalid_argument(
                "the emulated device tells of all network instances and tables alone",
            ));
        }
        let (sender, stream) = tokio::sync::mpsc::channel(1);
        let _ = sender.try_send(Ok(GetResponse {})); // the channel has room for it
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
