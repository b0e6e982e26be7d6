//! Why gRIBI refuses a session or a Flush: its status, with the reason in the details as gRIBI has it.

use prost::Message;
use tonic::{Code, Status};

use holdfast_wire::google::rpc;
use holdfast_wire::gribi::flush_response_error::Reason as FlushReason;
use holdfast_wire::gribi::modify_rpc_error_details::Reason;
use holdfast_wire::gribi::{FlushResponseError, ModifyRpcErrorDetails};

/// Why a client's session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModifyRefused {
    NotOneOfThree,
    ParametersUnsupported,
    ParametersAgain,
    ParametersDiffer,
    ElectionInAllPrimary,
    ZeroElectionId,
    NoNetworkInstance,
    /// The chassis booted.
    Gone,
}

/// Why nothing is flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushRefused {
    NoNetworkInstance,
    EmptyNetworkInstance,
    NoElection,
    ZeroElectionId,
    NotPrimary,
}

impl From<ModifyRefused> for Status {
    fn from(refused: ModifyRefused) -> Self {
        use ModifyRefused as R;
        let (code, reason, why) = match refused {
            R::NotOneOfThree => {
                let why = "a message has one of operation, params and election_id";
                (Code::InvalidArgument, None, why)
            }
            R::ParametersUnsupported => {
                let why = "the device has one primary client: redundancy SINGLE_PRIMARY must be asked for first";
                (Code::Unimplemented, Some(Reason::UnsupportedParams), why)
            }
            R::ParametersAgain => {
                let why = "the session has its parameters already";
                (Code::FailedPrecondition, Some(Reason::ModifyNotAllowed), why)
            }
            R::ParametersDiffer => {
                let why = "another client has other parameters";
                (Code::FailedPrecondition, Some(Reason::ParamsDifferFromOtherClients), why)
            }
            R::ElectionInAllPrimary => {
                let why = "without parameters all clients are primary, and none is elected";
                (Code::FailedPrecondition, Some(Reason::ElectionIdInAllPrimary), why)
            }
            R::ZeroElectionId => (Code::InvalidArgument, None, "an election id is never 0"),
            R::NoNetworkInstance => (Code::InvalidArgument, None, "an operation names no network instance"),
            R::Gone => (Code::Unavailable, None, "the device booted"),
        };
        match reason {
            None => Self::new(code, why),
            Some(reason) => {
                detailed(code, why, "ModifyRPCErrorDetails", &ModifyRpcErrorDetails { reason: reason as i32 })
            }
        }
    }
}

impl From<FlushRefused> for Status {
    fn from(refused: FlushRefused) -> Self {
        use FlushRefused as R;
        let (code, reason, why) = match refused {
            R::NoNetworkInstance => {
                (Code::InvalidArgument, FlushReason::UnspecifiedNetworkInstance, "no network instance is named")
            }
            R::EmptyNetworkInstance => {
                (Code::InvalidArgument, FlushReason::InvalidNetworkInstance, "the network instance's name is empty")
            }
            R::NoElection => {
                let why = "one client is the primary: an election id or override must be given";
                (Code::FailedPrecondition, FlushReason::UnspecifiedElectionBehavior, why)
            }
            R::ZeroElectionId => (Code::InvalidArgument, FlushReason::InvalidElectionId, "an election id is never 0"),
            R::NotPrimary => (Code::FailedPrecondition, FlushReason::NotPrimary, "a higher election id is known"),
        };
        detailed(code, why, "FlushResponseError", &FlushResponseError { status: reason as i32 })
    }
}

fn detailed(code: Code, why: &str, name: &str, details: &impl Message) -> Status {
    let any =
        prost_types::Any { type_url: format!("type.googleapis.com/gribi.{name}"), value: details.encode_to_vec() };
    let status = rpc::Status { code: code as i32, message: why.to_owned(), details: vec![any] };
    Status::with_details(code, why, status.encode_to_vec().into())
}
