//! gNOI System: switchover, reboot, time and ping.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::dial::whole::{LONGEST_MESSAGE, all_of};
use crate::dial::{Call, Connection, Session};
use crate::error::{Error, Result};
use crate::gnmi::Path;
use crate::wire::gnoi::system::system_client::SystemClient;
use crate::wire::gnoi::system::{
    CancelRebootRequest, KillProcessRequest, PingRequest, PingResponse, RebootMethod, RebootRequest,
    RebootStatusRequest, RebootStatusResponse, SwitchControlProcessorRequest, SwitchControlProcessorResponse,
    TimeRequest, kill_process_request,
};

/// The client. Clones share its session.
#[derive(Clone)]
pub struct System {
    session: Session,
}

fn client(connection: Connection) -> SystemClient<Connection> {
    let origin = connection.origin();
    SystemClient::with_origin(connection, origin).max_decoding_message_size(LONGEST_MESSAGE)
}

impl System {
    /// Over `session`.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// `gnoi.system.System/SwitchControlProcessor`; `target` in the form the device wants.
    pub async fn switch_control_processor(
        &self,
        target: &Path,
        deadline: Instant,
    ) -> Result<SwitchControlProcessorResponse> {
        let request = SwitchControlProcessorRequest { control_processor: Some(target.to_gnoi()) };
        crate::gnoi::tell(&self.session, "gnoi.system.SwitchControlProcessorRequest", &request);
        self.session
            .call(Call::write("System.SwitchControlProcessor", deadline), |connection| {
                let request = request.clone();
                async move { Ok(client(connection).switch_control_processor(request).await?.into_inner()) }
            })
            .await
    }

    /// `gnoi.system.System/Reboot` of the chassis, or of `subcomponents`.
    pub async fn reboot(
        &self,
        method: RebootMethod,
        subcomponents: &[Path],
        message: &str,
        force: bool,
        deadline: Instant,
    ) -> Result<()> {
        let request = RebootRequest {
            method: method as i32,
            message: message.to_owned(),
            subcomponents: subcomponents.iter().map(Path::to_gnoi).collect(),
            force,
            ..RebootRequest::default()
        };
        crate::gnoi::tell(&self.session, "gnoi.system.RebootRequest", &request);
        self.session
            .call(Call::write("System.Reboot", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).reboot(request).await.map(|_| ()) }
            })
            .await
    }

    /// `gnoi.system.System/RebootStatus`
    pub async fn reboot_status(&self, subcomponents: &[Path], deadline: Instant) -> Result<RebootStatusResponse> {
        let request = RebootStatusRequest { subcomponents: subcomponents.iter().map(Path::to_gnoi).collect() };
        self.session
            .call(Call::read("System.RebootStatus", deadline), |connection| {
                let request = request.clone();
                async move { Ok(client(connection).reboot_status(request).await?.into_inner()) }
            })
            .await
    }

    /// `gnoi.system.System/CancelReboot`
    pub async fn cancel_reboot(&self, message: &str, subcomponents: &[Path], deadline: Instant) -> Result<()> {
        let request = CancelRebootRequest {
            message: message.to_owned(),
            subcomponents: subcomponents.iter().map(Path::to_gnoi).collect(),
        };
        crate::gnoi::tell(&self.session, "gnoi.system.CancelRebootRequest", &request);
        self.session
            .call(Call::write("System.CancelReboot", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).cancel_reboot(request).await.map(|_| ()) }
            })
            .await
    }

    /// `gnoi.system.System/KillProcess`, with SIGKILL.
    pub async fn kill_process(&self, name: &str, restart: bool, deadline: Instant) -> Result<()> {
        let signal = kill_process_request::Signal::Kill as i32;
        let request = KillProcessRequest { pid: 0, name: name.to_owned(), signal, restart };
        crate::gnoi::tell(&self.session, "gnoi.system.KillProcessRequest", &request);
        self.session
            .call(Call::write("System.KillProcess", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).kill_process(request).await.map(|_| ()) }
            })
            .await
    }

    /// `gnoi.system.System/Time`
    pub async fn time(&self, deadline: Instant) -> Result<SystemTime> {
        let nanoseconds = self
            .session
            .call(Call::read("System.Time", deadline), |connection| async move {
                Ok(client(connection).time(TimeRequest {}).await?.into_inner().time)
            })
            .await?;
        Ok(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds))
    }

    /// `gnoi.system.System/Ping`: each reply, then the summary, as the device sends them.
    pub async fn ping(&self, destination: &str, count: i32, deadline: Instant) -> Result<Vec<PingResponse>> {
        if destination.is_empty() || count < 1 {
            return Err(Error::invalid("ping needs a destination and a count of at least 1"));
        }
        let request = PingRequest { destination: destination.to_owned(), count, ..PingRequest::default() };
        self.session
            .call(Call::read("System.Ping", deadline), |connection| {
                let request = request.clone();
                async move { all_of(client(connection).ping(request).await?.into_inner(), |reply| reply).await }
            })
            .await
    }
}
