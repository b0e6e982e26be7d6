//! gNMI: Capabilities, Get, Set and Subscribe.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::subscriber::Subscriber;
use super::{asked, configure, older_form, tree};
use crate::settings::Quirk;
use crate::shared::SharedChassis;
use crate::stall::Stall;
use holdfast_wire::gnmi::g_nmi_server::GNmi;
use holdfast_wire::gnmi::get_request::DataType;
use holdfast_wire::gnmi::subscribe_request::Request as Asked;
use holdfast_wire::gnmi::{
    CapabilityRequest, CapabilityResponse, Encoding, GetRequest, GetResponse, ModelData, SetRequest, SetResponse,
    SubscribeRequest, SubscribeResponse,
};
use holdfast_wire::path::Path;

/// gNMI of one control processor.
pub struct GnmiService {
    chassis: Arc<SharedChassis>,
    index: usize,
}

impl GnmiService {
    pub fn new(chassis: Arc<SharedChassis>, index: usize) -> Self {
        Self { chassis, index }
    }

    fn check_encoding(&self, encoding: i32) -> Result<Encoding, Status> {
        let encoding = Encoding::try_from(encoding).map_err(|_| Status::invalid_argument("no such encoding"))?;
        asked::check_encoding(&self.chassis, encoding)?;
        Ok(encoding)
    }
}

#[tonic::async_trait]
impl GNmi for GnmiService {
    async fn capabilities(&self, request: Request<CapabilityRequest>) -> Result<Response<CapabilityResponse>, Status> {
        if self.chassis.has(Quirk::CapabilitiesUnimplemented) {
            return Err(Status::unimplemented("Capabilities is not supported"));
        }
        let model = |name: &str, version: &str| ModelData {
            name: name.to_owned(),
            organization: "OpenConfig working group".to_owned(),
            version: version.to_owned(),
        };
        let offered = asked::offered(&self.chassis).into_iter();
        Ok(Response::new(CapabilityResponse {
            supported_models: vec![model("openconfig-platform", "0.30.0"), model("openconfig-system", "2.3.0")],
            supported_encodings: offered.map(|encoding| encoding as i32).collect(),
            g_nmi_version: "0.10.0".to_owned(),
            extension: asked::extensions(&request.into_inner().extension)?,
        }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        if self.chassis.has(Quirk::GetRefused) {
            return Err(Status::unimplemented("Get is not supported"));
        }
        let request = request.into_inner();
        let encoding = self.check_encoding(request.encoding)?;
        let kind = DataType::try_from(request.r#type).map_err(|_| Status::invalid_argument("no such type of data"))?;
        let extension = asked::extensions(&request.extension)?;
        asked::check_target(&self.chassis, request.prefix.as_ref())?;
        let prefix = request.prefix.unwrap_or_default();
        let all = tree::leaves(&self.chassis);
        let mut notifications = Vec::new();
        for path in &request.path {
            let wanted = asked::joined(&prefix, Some(path))?;
            let answered = asked::answers(&self.chassis, &wanted)?;
            let there: Vec<_> = all.iter().filter(|(path, _)| answered && wanted.covers(path)).cloned().collect();
            if there.is_empty() {
                return Err(Status::not_found(format!("there is nothing at {wanted}")));
            }
            let found: Vec<_> = there.into_iter().filter(|(path, _)| is_of(kind, path)).collect();
            let mut notification = asked::notification(&self.chassis, &prefix, &found, encoding);
            if self.chassis.has(Quirk::OlderForm) {
                older_form::rewrite(&mut notification);
            }
            notifications.push(notification);
        }
        Ok(Response::new(GetResponse { notification: notifications, extension, ..GetResponse::default() }))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        configure::set(&self.chassis, self.index, request.into_inner()).map(Response::new)
    }

    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        if self.chassis.has(Quirk::NoSubscribe) {
            return Err(Status::unimplemented("Subscribe is not supported"));
        }
        let stall = request.extensions().get::<Stall>().cloned().unwrap_or_default();
        let mut requests = request.into_inner();
        let first = requests.message().await?.unwrap_or_default();
        let Some(Asked::Subscribe(list)) = first.request else {
            return Err(Status::invalid_argument("the first message must be a subscription list"));
        };
        let extensions = asked::extensions(&first.extension)?;
        let encoding = self.check_encoding(list.encoding)?;
        asked::check_target(&self.chassis, list.prefix.as_ref())?;
        let wanted = asked::wanted(&self.chassis, &list)?;
        let (messages, stream) = mpsc::channel(64);
        let kept = messages.clone();
        if self.chassis.state().has_switched_over() {
            let life = self.chassis.control_processors[self.index].life();
            if self.chassis.has(Quirk::SubscribeHangsAfterSwitchover) {
                tokio::spawn(super::feed(life, kept, async move { messages.closed().await }));
                return Ok(Response::new(ReceiverStream::new(stream)));
            }
            if self.chassis.has(Quirk::SubscribeEndsAfterSwitchover) {
                return Ok(Response::new(ReceiverStream::new(stream)));
            }
        }
        let (chassis, index) = (self.chassis.clone(), self.index);
        let subscriber = Subscriber { chassis, index, list, wanted, encoding, extensions, messages, stall };
        let life = self.chassis.control_processors[self.index].life();
        tokio::spawn(super::feed(life, kept, subscriber.feed(requests)));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// What repeats what configuration says: state, and not operational.
const APPLIED: [&str; 2] = ["hostname", "name"];

/// Whether a leaf is of the kind that a Get asks for: state lies below a `state` container, configuration does not.
fn is_of(kind: DataType, path: &Path) -> bool {
    let is_state = path.elements.iter().any(|element| element.name == "state");
    match kind {
        DataType::All => true,
        DataType::Config => !is_state,
        DataType::State => is_state,
        DataType::Operational => is_state && !APPLIED.contains(&path.leaf()),
    }
}
