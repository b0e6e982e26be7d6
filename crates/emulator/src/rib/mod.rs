//! What gRIBI programmed: the sessions of its clients, their election, and the entries as they were sent. One for the
//! whole chassis.

mod entries;
mod refused;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use entries::Entries;
pub use refused::{FlushRefused, ModifyRefused};

use holdfast_wire::gribi::aft_result::Status as Outcome;
use holdfast_wire::gribi::flush_request::{Election, NetworkInstance};
use holdfast_wire::gribi::session_parameters::{AftPersistence, AftResultStatusType, ClientRedundancy};
use holdfast_wire::gribi::session_parameters_result::Status as Accepted;
use holdfast_wire::gribi::{
    AftEntry, AftErrorDetails, AftOperation, AftResult, AftType, FlushRequest, ModifyRequest, ModifyResponse,
    SessionParameters, SessionParametersResult, Uint128,
};

/// What is programmed, and by whom.
#[derive(Default)]
pub struct Rib(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    clients: BTreeMap<u64, Client>,
    /// How many clients there were.
    joined: u64,
    /// The highest election id of any client, also of those that left, and whose it is.
    highest: Option<(u128, u64)>,
    entries: Entries,
}

/// A client as its session knows it.
#[derive(Default)]
struct Client {
    parameters: Option<Parameters>,
    election_id: Option<u128>,
}

/// What a client asked for, of what there is: one client is the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parameters {
    preserves: bool,
    fib_acknowledged: bool,
}

/// A client's session, which ends when this is dropped.
pub struct Session {
    rib: Arc<Rib>,
    client: u64,
}

impl Rib {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client's session begins.
    pub fn join(self: &Arc<Self>) -> Session {
        let mut tables = self.tables();
        tables.joined += 1;
        let client = tables.joined;
        tables.clients.insert(client, Client::default());
        Session { rib: self.clone(), client }
    }

    /// The chassis boots: nothing is programmed, and nobody was ever elected. Sessions of before are none any more.
    pub fn forget(&self) {
        let mut tables = self.tables();
        *tables = Tables { joined: tables.joined, ..Tables::default() };
    }

    /// What is installed in a network instance, or in all of them.
    pub fn installed(&self, network_instance: Option<&str>, table: AftType) -> Vec<AftEntry> {
        self.tables().entries.installed(network_instance, table)
    }

    /// Removes what is installed, where the election allows it.
    pub fn flush(&self, request: FlushRequest) -> Result<(), FlushRefused> {
        let network_instance = match request.network_instance {
            None => return Err(FlushRefused::NoNetworkInstance),
            Some(NetworkInstance::Name(name)) if name.is_empty() => return Err(FlushRefused::EmptyNetworkInstance),
            Some(NetworkInstance::Name(name)) => Some(name),
            Some(NetworkInstance::All(_)) => None,
        };
        let mut tables = self.tables();
        match request.election {
            None => return Err(FlushRefused::NoElection),
            Some(Election::Override(_)) => {}
            Some(Election::Id(id)) => match number(id) {
                0 => return Err(FlushRefused::ZeroElectionId),
                id if tables.highest.is_some_and(|(highest, _)| id < highest) => return Err(FlushRefused::NotPrimary),
                _ => {}
            },
        }
        tables.entries.flush(network_instance.as_deref());
        Ok(())
    }
}

impl Session {
    /// What a client's message comes to, at this time (in nanoseconds since the epoch); an error ends the session.
    pub fn take(&self, request: ModifyRequest, now: i64) -> Result<ModifyResponse, ModifyRefused> {
        let ModifyRequest { operation, params, election_id } = request;
        let mut tables = self.rib.tables();
        match (operation.is_empty(), params, election_id) {
            (true, Some(parameters), None) => tables.agree(self.client, &parameters),
            (true, None, Some(id)) => tables.elect(self.client, number(id)),
            (false, None, None) => tables.operate(self.client, operation, now),
            _ => Err(ModifyRefused::NotOneOfThree),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut tables = self.rib.tables();
        let client = tables.clients.remove(&self.client);
        if client.and_then(|client| client.parameters).is_some_and(|parameters| !parameters.preserves) {
            tables.entries.remove_of(self.client);
        }
    }
}

impl Tables {
    fn agree(&mut self, client: u64, asked: &SessionParameters) -> Result<ModifyResponse, ModifyRefused> {
        let asked = Parameters::of(asked)?;
        if self.client(client)?.parameters.is_some() {
            return Err(ModifyRefused::ParametersAgain);
        }
        if self.clients.values().filter_map(|other| other.parameters).any(|others| others != asked) {
            return Err(ModifyRefused::ParametersDiffer);
        }
        self.client(client)?.parameters = Some(asked);
        let result = SessionParametersResult { status: Accepted::Ok as i32 };
        Ok(ModifyResponse { session_params_result: Some(result), ..ModifyResponse::default() })
    }

    fn elect(&mut self, client: u64, id: u128) -> Result<ModifyResponse, ModifyRefused> {
        let known = self.client(client)?;
        if known.parameters.is_none() {
            return Err(ModifyRefused::ElectionInAllPrimary);
        }
        if id == 0 {
            return Err(ModifyRefused::ZeroElectionId);
        }
        known.election_id = Some(id);
        let highest = match self.highest {
            Some((highest, _)) if id < highest => highest,
            _ => {
                self.highest = Some((id, client)); // of equal ones the latest: a client may come back with its own
                id
            }
        };
        Ok(ModifyResponse { election_id: Some(halves(highest)), ..ModifyResponse::default() })
    }

    fn operate(
        &mut self,
        client: u64,
        operations: Vec<AftOperation>,
        now: i64,
    ) -> Result<ModifyResponse, ModifyRefused> {
        let known = self.client(client)?;
        let (own, parameters) = (known.election_id, known.parameters.ok_or(ModifyRefused::ParametersUnsupported)?);
        if operations.iter().any(|operation| operation.network_instance.is_empty()) {
            return Err(ModifyRefused::NoNetworkInstance);
        }
        let mut result = Vec::new();
        for operation in operations {
            let id = operation.id;
            let said = |outcome: Outcome, why: Option<&str>| AftResult {
                id,
                status: outcome as i32,
                timestamp: now,
                error_details: why.map(|why| AftErrorDetails { error_message: why.to_owned() }),
            };
            let done = self
                .may(client, own, &operation)
                .and_then(|()| self.entries.apply(client, operation, parameters.fib_acknowledged));
            if let Err(why) = done {
                result.push(said(Outcome::Failed, Some(why)));
                continue;
            }
            result.push(said(Outcome::RibProgrammed, None));
            if parameters.fib_acknowledged {
                result.push(said(Outcome::FibProgrammed, None));
            }
        }
        Ok(ModifyResponse { result, ..ModifyResponse::default() })
    }

    /// Whether the client may program: it is the primary, and says so in the operation.
    fn may(&self, client: u64, own: Option<u128>, operation: &AftOperation) -> Result<(), &'static str> {
        let said = operation.election_id.map(number).ok_or("the operation has no election id")?;
        if own != Some(said) {
            return Err("the operation's election id is not the one that the client sent last");
        }
        if self.highest != Some((said, client)) {
            return Err("the client is not the primary");
        }
        Ok(())
    }

    /// It is there, unless the chassis booted since.
    fn client(&mut self, client: u64) -> Result<&mut Client, ModifyRefused> {
        self.clients.get_mut(&client).ok_or(ModifyRefused::Gone)
    }
}

impl Parameters {
    fn of(asked: &SessionParameters) -> Result<Self, ModifyRefused> {
        let unsupported = |_| ModifyRefused::ParametersUnsupported;
        let redundancy = ClientRedundancy::try_from(asked.redundancy).map_err(unsupported)?;
        let persistence = AftPersistence::try_from(asked.persistence).map_err(unsupported)?;
        let acknowledged = AftResultStatusType::try_from(asked.ack_type).map_err(unsupported)?;
        if redundancy != ClientRedundancy::SinglePrimary {
            return Err(ModifyRefused::ParametersUnsupported);
        }
        Ok(Self {
            preserves: persistence == AftPersistence::Preserve,
            fib_acknowledged: acknowledged == AftResultStatusType::RibAndFibAck,
        })
    }
}

fn number(id: Uint128) -> u128 {
    (u128::from(id.high) << 64) | u128::from(id.low)
}

fn halves(id: u128) -> Uint128 {
    let half = |shifted: u128| u64::try_from(shifted & u128::from(u64::MAX)).unwrap_or_default();
    Uint128 { high: half(id >> 64), low: half(id) }
}

#[cfg(test)]
mod tests;
