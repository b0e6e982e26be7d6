//! The test container's service: what `cntrsrv` serves in a container, and what the emulated containers serve.

pub mod ledger;
pub mod plugin;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut, Bytes};
use tokio::time::{Instant, timeout};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Response, Status};

use holdfast_net::dial::{Address, Credentials, Security, Session, Settings, Target, Timeline};
use holdfast_net::dial::{Connector, Tcp};
use holdfast_wire::cntr::cntr_client::CntrClient;
use holdfast_wire::cntr::cntr_server::{Cntr, CntrServer};
use holdfast_wire::cntr::dial_request::Request as Ask;
use holdfast_wire::cntr::dial_response::Response as DialAnswer;
use holdfast_wire::cntr::{DialRequest, DialResponse, PingRequest, PingResponse, Service as Kind};
use holdfast_wire::gnmi::CapabilityRequest;
use holdfast_wire::gnmi::g_nmi_client::GNmiClient;

/// Where it listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 60061;

/// What one Dial may take.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// `openconfig.featureprofiles.cntr.Cntr`
#[derive(Debug, Default, Clone, Copy)]
pub struct CntrService;

impl CntrService {
    /// Ready to be served.
    pub fn server() -> CntrServer<Self> {
        CntrServer::new(Self)
    }
}

#[tonic::async_trait]
impl Cntr for CntrService {
    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        Ok(Response::new(PingResponse { timestamp: Some(SystemTime::now().into()) }))
    }

    async fn dial(&self, request: Request<DialRequest>) -> Result<Response<DialResponse>, Status> {
        let request = request.into_inner();
        let asked = timeout(DIAL_LIMIT, dial(request)).await;
        asked.unwrap_or_else(|_| Err(Status::deadline_exceeded("the dialled address does not answer")))
    }
}

async fn dial(request: DialRequest) -> Result<Response<DialResponse>, Status> {
    let address: Address = request.addr.parse().map_err(|error| to_status(&error))?;
    let credentials = match (request.username.as_str(), request.password.as_str()) {
        ("", "") => None,
        (username, password) => Some(Credentials::new(username, password).map_err(|error| to_status(&error))?),
    };
    let (name, security) = (address.to_string(), Security::unverified());
    let target = Target { name, addresses: vec![address], security, credentials, proxy: None };
    let settings = Settings { dial_timeout: DIAL_LIMIT / 2, once: true, ..Settings::default() };
    let connector: Arc<dyn Connector> = Arc::new(Tcp);
    let session = Session::connect_with(connector, target, settings, Timeline::default())
        .await
        .map_err(|error| to_status(&error))?;
    let connection = session.connection(Instant::now() + DIAL_LIMIT).await.map_err(|error| to_status(&error))?;
    let origin = connection.origin();
    let response = match request.request {
        None => None,
        Some(Ask::Ping(ping)) => {
            Some(DialAnswer::Pong(CntrClient::with_origin(connection, origin).ping(ping).await?.into_inner()))
        }
        Some(Ask::Srv(service)) => match Kind::try_from(service) {
            Ok(Kind::StGnmi) => {
                let mut client = GNmiClient::with_origin(connection, origin);
                let answer = client.capabilities(CapabilityRequest::default()).await?.into_inner();
                let bytes = prost::Message::encode_to_vec(&answer);
                Some(DialAnswer::GnmiResponse(any("gnmi.CapabilityResponse", bytes)))
            }
            Ok(Kind::StGribi) => {
                let mut grpc = tonic::client::Grpc::with_origin(connection, origin);
                grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
                let path = PathAndQuery::from_static("/gribi.gRIBI/Get");
                let asked = grpc.server_streaming(Request::new(Bytes::from_static(GRIBI_GET_ALL)), path, Raw).await?;
                let first = asked.into_inner().message().await?;
                Some(DialAnswer::GribiResponse(any("gribi.GetResponse", first.unwrap_or_default().to_vec())))
            }
            _ => return Err(Status::invalid_argument("srv must be ST_GNMI or ST_GRIBI")),
        },
    };
    Ok(Response::new(DialResponse { response }))
}

/// `GetRequest{all: Empty{}, aft: ALL}` of gRIBI: fields 2 and 3.
const GRIBI_GET_ALL: &[u8] = &[0x12, 0x00, 0x18, 0x01];

fn any(name: &str, value: Vec<u8>) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value }
}

fn to_status(error: &holdfast_net::error::Error) -> Status {
    Status::new(error.code().unwrap_or(tonic::Code::Unavailable), error.to_string())
}

/// Messages as the bytes they are: a gRIBI answer is passed on, not read.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
