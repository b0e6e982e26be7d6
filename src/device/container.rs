//! The container's own services, on its published port: does it answer, and what does its ledger hold.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Code, Status};

use super::Device;
use crate::dial::{Address, Call, Connection, Credentials, Security, Session, Settings, Target, Tcp, open};
use crate::error::{ConnectFault, Error, Kind, Result};
use crate::ledger::Record;
use crate::wire::cntr::cntr_client::CntrClient;
use crate::wire::cntr::dial_request::Request as Ask;
use crate::wire::cntr::dial_response::Response as DialAnswer;
use crate::wire::cntr::{DialRequest, PingRequest, Service};
use crate::wire::gnmi::CapabilityResponse;
use crate::wire::ledger::ledger_client::LedgerClient;
use crate::wire::ledger::{self, AppendRequest, DescribeRequest, ReadRequest};

/// How long after a connection came about it may be closed again and count as refused: a proxy in front of containers
/// takes connections for them, and closes those that it has nobody for.
const SECOND_THOUGHTS: Duration = Duration::from_millis(300);

/// What a container shall ask for where it dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerQuestion {
    /// Nothing: that there is a connection is all.
    Nothing,
    /// Ping, of another test container.
    Ping,
    /// gNMI Capabilities.
    Gnmi,
    /// gRIBI Get of everything.
    Gribi,
}

impl FromStr for ContainerQuestion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nothing" => Ok(Self::Nothing),
            "ping" => Ok(Self::Ping),
            "gnmi" => Ok(Self::Gnmi),
            "gribi" => Ok(Self::Gribi),
            _ => Err(Error::invalid(format!("a container can ask for ping, gnmi, gribi or nothing, not for {text:?}"))),
        }
    }
}

/// What a container was told where it dialled.
#[derive(Debug, Clone, PartialEq)]
pub enum ContainerAnswer {
    /// That there is a connection.
    Connected,
    /// Another container's clock.
    Pong(SystemTime),
    /// gNMI Capabilities.
    Gnmi(CapabilityResponse),
    /// The first message of gRIBI's Get, in bytes as they came.
    Gribi(Vec<u8>),
}

impl Device {
    /// Has the container on `port` dial `address`, log in there with `credentials`, and ask:
    /// `openconfig.featureprofiles.cntr.Cntr/Dial`.
    pub async fn dial_from_container(
        &self,
        (host, port): (Option<&str>, u16),
        address: &str,
        question: ContainerQuestion,
        credentials: Option<&Credentials>,
        deadline: Instant,
    ) -> Result<ContainerAnswer> {
        let request = DialRequest {
            addr: address.to_owned(),
            username: credentials.map(|given| given.username().to_owned()).unwrap_or_default(),
            password: credentials.map(|given| given.password().to_owned()).unwrap_or_default(),
            request: match question {
                ContainerQuestion::Nothing => None,
                ContainerQuestion::Ping => Some(Ask::Ping(PingRequest {})),
                ContainerQuestion::Gnmi => Some(Ask::Srv(Service::StGnmi as i32)),
                ContainerQuestion::Gribi => Some(Ask::Srv(Service::StGribi as i32)),
            },
        };
        let asked = self.ask_container(host, port, Call::write("Cntr.Dial", deadline), |connection| {
            let request = request.clone();
            async move {
                let origin = connection.origin();
                Ok(CntrClient::with_origin(connection, origin).dial(request).await?.into_inner())
            }
        });
        answer(question, asked.await?.response).map_err(|what| {
            Error::new(Kind::Status(Code::DataLoss), what)
                .during(self.name(), "Cntr.Dial", Duration::ZERO)
                .hint("the container answered another question than it was asked")
        })
    }

    /// Asks the container on `port` of the device's own address (or of `host`) for its clock:
    /// `openconfig.featureprofiles.cntr.Cntr/Ping`.
    pub async fn ping_container(&self, host: Option<&str>, port: u16, deadline: Instant) -> Result<SystemTime> {
        let asked = self.ask_container(host, port, Call::read("Cntr.Ping", deadline), |connection| async move {
            let origin = connection.origin();
            Ok(CntrClient::with_origin(connection, origin).ping(PingRequest {}).await?.into_inner())
        });
        let stamp = asked.await?.timestamp.unwrap_or_default();
        Ok(SystemTime::try_from(stamp).unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// Connects to `port` of the device's own address (or of `host`) over TCP, and asks nothing: whatever a container
    /// serves there, it takes connections.
    pub async fn connect_container(&self, host: Option<&str>, port: u16, deadline: Instant) -> Result<()> {
        let began = Instant::now();
        let refused = |why: String| Error::new(Kind::Connect(ConnectFault::Unreachable), why);
        let connected = async {
            let address = self.container_address(host, port, deadline).await?;
            let proxy = self.session.target().proxy.as_ref();
            let (mut stream, _) = timeout_at(deadline, open(&Tcp, proxy, &address, 0))
                .await
                .map_err(|_| refused(format!("{address} does not answer")))??;
            match timeout(SECOND_THOUGHTS, stream.read(&mut [0])).await {
                Ok(Ok(0) | Err(_)) => Err(refused(format!("{address} closes the connection that it took"))),
                Ok(Ok(_)) | Err(_) => Ok(()),
            }
        };
        connected.await.map_err(|error| error.during(self.name(), "connect to a container", began.elapsed()))
    }

    /// Appends a record to the ledger of the container on `port`; returned once it is on the container's volume:
    /// `holdfast.ledger.v1.Ledger/Append`.
    pub async fn append_record(
        &self,
        host: Option<&str>,
        port: u16,
        payload: Vec<u8>,
        deadline: Instant,
    ) -> Result<Record> {
        let asked = self.ask_container(host, port, Call::write("Ledger.Append", deadline), |connection| {
            let request = AppendRequest { payload: payload.clone() };
            async move { record(&ledger_client(connection).append(request).await?.into_inner()) }
        });
        asked.await
    }

    /// What the container on `port` sees of itself: `holdfast.ledger.v1.Ledger/Describe`.
    pub async fn describe_container(
        &self,
        host: Option<&str>,
        port: u16,
        deadline: Instant,
    ) -> Result<ledger::Description> {
        self.ask_container(host, port, Call::read("Ledger.Describe", deadline), |connection| async move {
            Ok(ledger_client(connection).describe(DescribeRequest {}).await?.into_inner())
        })
        .await
    }

    /// All records of the ledger of the container on `port`: `holdfast.ledger.v1.Ledger/Read`.
    pub async fn read_records(&self, host: Option<&str>, port: u16, deadline: Instant) -> Result<Vec<Record>> {
        self.ask_container(host, port, Call::read("Ledger.Read", deadline), |connection| async move {
            let mut stream = ledger_client(connection).read(ReadRequest {}).await?.into_inner();
            let mut records = Vec::new();
            while let Some(sent) = stream.message().await? {
                records.push(record(&sent)?);
                consume_budget().await; // else the deadline is not looked at under a flood
            }
            Ok(records)
        })
        .await
    }

    /// Makes a call to the container on `port`, over a session of its own.
    async fn ask_container<T, F, Fut>(&self, host: Option<&str>, port: u16, call: Call, send: F) -> Result<T>
    where
        T: Send,
        F: Fn(Connection) -> Fut + Send + Sync,
        Fut: Future<Output = std::result::Result<T, Status>> + Send,
    {
        let began = Instant::now();
        let asked = async { self.container_session(host, port, call.deadline).await?.call(call, send).await };
        asked.await.map_err(|error| error.during(self.name(), call.name, began.elapsed()))
    }

    /// Where the control processor answers that runs the containers.
    async fn host_in_charge(&self, deadline: Instant) -> Result<String> {
        let session = self.containerz.session();
        if !session.connection(deadline).await?.is_in_charge() {
            match self.system.time(deadline).await {
                Err(error) if error.code() == Some(Code::Unimplemented) => {
                    self.containerz.volumes(deadline).await?;
                }
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(session.connection(deadline).await?.address().host.clone())
    }

    async fn container_address(&self, host: Option<&str>, port: u16, deadline: Instant) -> Result<Address> {
        let host = match host.or(self.ways.container_host.as_deref()) {
            Some(host) => host.to_owned(),
            None => self.host_in_charge(deadline).await?,
        };
        Ok(Address { host, port })
    }

    async fn container_session(&self, host: Option<&str>, port: u16, deadline: Instant) -> Result<Session> {
        let address = self.container_address(host, port, deadline).await?;
        let target = Target {
            name: format!("{} container on {address}", self.name()),
            addresses: vec![address],
            security: Security::unverified(),
            credentials: None,
            proxy: self.session.target().proxy.clone(),
        };
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        Session::connect(target, Settings { dial_timeout: left, ..*self.session.settings() }).await
    }
}

fn answer(question: ContainerQuestion, answer: Option<DialAnswer>) -> std::result::Result<ContainerAnswer, String> {
    match (question, answer) {
        (ContainerQuestion::Nothing, None) => Ok(ContainerAnswer::Connected),
        (ContainerQuestion::Ping, Some(DialAnswer::Pong(pong))) => {
            let stamp = pong.timestamp.ok_or("the container's pong carries no time")?;
            SystemTime::try_from(stamp)
                .map(ContainerAnswer::Pong)
                .map_err(|error| format!("the container's pong: {error}"))
        }
        (ContainerQuestion::Gnmi, Some(DialAnswer::GnmiResponse(any))) => {
            let decoded: std::result::Result<CapabilityResponse, _> = prost::Message::decode(any.value.as_slice());
            decoded
                .map(ContainerAnswer::Gnmi)
                .map_err(|error| format!("the container's answer is no CapabilityResponse: {error}"))
        }
        (ContainerQuestion::Gribi, Some(DialAnswer::GribiResponse(any))) => Ok(ContainerAnswer::Gribi(any.value)),
        (question, _) => Err(format!("the container was to ask for {question:?}, and answers something else")),
    }
}

fn ledger_client(connection: Connection) -> LedgerClient<Connection> {
    let origin = connection.origin();
    LedgerClient::with_origin(connection, origin)
}

fn record(answer: &ledger::Record) -> std::result::Result<Record, Status> {
    Record::parse(&answer.block).ok_or_else(|| Status::data_loss("the container sent a record that is none"))
}
