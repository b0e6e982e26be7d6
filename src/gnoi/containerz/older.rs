//! Which contract of Containerz a device serves. That of gNOI 0.2 to 0.4 (versions 0.1.1 and 0.1.2 of the service) has
//! the RPCs Deploy, Remove, List, Start, Stop and Log: `proto/older/containerz.proto`. Deploy alone is in both.

use tokio::time::Instant;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::{Containerz, client};
use crate::dial::{Call, Connection};
use crate::error::{Error, Result};
use crate::wire::gnoi::containerz::DeployRequest;

/// A version of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// 0.2.0, with ListImage, StartContainer and the like.
    Current,
    /// 0.1.1, as in gNOI 0.3.
    Older,
}

impl Contract {
    /// The number that its contract gives itself.
    pub fn version(self) -> &'static str {
        match self {
            Self::Current => "0.2.0",
            Self::Older => "0.1.1",
        }
    }
}

/// `gnoi.containerz.ListRequest` of 0.1.1.
#[derive(Clone, PartialEq, prost::Message)]
struct ListRequest {
    #[prost(bool, tag = "1")]
    all: bool,
}

/// `gnoi.containerz.ListResponse` of 0.1.1: that one comes is all that counts here.
#[derive(Clone, PartialEq, prost::Message)]
struct ListResponse {}

const OLDER: &str = "the device serves gNOI Containerz 0.1.1, of gNOI 0.3 (Deploy, Remove, List, Start, Stop, Log)";
const WORKS: &str =
    "what works there is deploy_remote: the device fetches an archive; nothing else can be tested on it";

impl Containerz {
    /// Which contract the device serves; None where it has no RPC of either. Changes nothing there.
    pub async fn contract(&self, deadline: Instant) -> Result<Option<Contract>> {
        let lists = [
            is_served(self.images_by(Call::read("Containerz.ListImage", deadline)).await)?,
            is_served(self.containers_by(true, Call::read("Containerz.ListContainer", deadline)).await)?,
            is_served(self.volumes_by(Call::read("Containerz.ListVolume", deadline)).await)?,
        ];
        if lists.contains(&true) {
            return Ok(Some(Contract::Current));
        }
        let older = is_served(self.older_list(deadline).await)? || is_served(self.empty_deploy(deadline).await)?;
        Ok(older.then_some(Contract::Older))
    }

    /// `outcome`, whose error says so where a list is missing because the device serves the older contract.
    pub(super) async fn naming_older<T>(&self, outcome: Result<T>, deadline: Instant) -> Result<T> {
        let Err(error) = outcome else { return outcome };
        if error.code() != Some(Code::Unimplemented) {
            return Err(error);
        }
        match Box::pin(self.contract(deadline)).await {
            Ok(Some(Contract::Older)) => {
                let message = format!("{}; {OLDER}", error.message);
                Err(Error { message, ..error }.hint(WORKS))
            }
            _ => Err(error),
        }
    }

    async fn older_list(&self, deadline: Instant) -> Result<()> {
        let call = Call::write("Containerz.List", deadline);
        let list = |connection: Connection| async move {
            let origin = connection.origin();
            let mut grpc = tonic::client::Grpc::with_origin(connection, origin);
            grpc.ready().await.map_err(Status::from_error)?;
            let path = PathAndQuery::from_static("/gnoi.containerz.Containerz/List");
            let codec = ProstCodec::<ListRequest, ListResponse>::default();
            let rows = grpc.server_streaming(Request::new(ListRequest { all: true }), path, codec).await?;
            rows.into_inner().message().await.map(drop)
        };
        self.session.call(call, list).await
    }

    /// A Deploy that ends before it begins: whoever has it refuses that, by a status of its own.
    async fn empty_deploy(&self, deadline: Instant) -> Result<()> {
        let deploy = |connection: Connection| async move {
            let answers = client(connection).deploy(tokio_stream::empty::<DeployRequest>()).await?;
            answers.into_inner().message().await.map(drop)
        };
        self.session.call(Call::write("Containerz.Deploy", deadline), deploy).await
    }
}

/// Whether the RPC is there, whatever it says; an error where nobody answered, or not to us.
fn is_served<T>(outcome: Result<T>) -> Result<bool> {
    match outcome {
        Ok(_) => Ok(true),
        Err(error) => match error.code() {
            None | Some(Code::Unauthenticated) => Err(error),
            Some(code) => Ok(code != Code::Unimplemented),
        },
    }
}
