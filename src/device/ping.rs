//! Whether a container answers on its published port: `openconfig.featureprofiles.cntr.Cntr/Ping` over TLS.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Device;
use crate::dial::{Address, Call, Security, Session, Settings, Target};
use crate::error::Result;
use crate::wire::cntr::PingRequest;
use crate::wire::cntr::cntr_client::CntrClient;

impl Device {
    /// Asks the container on `port` of the device's own address (or of `host`) for its clock.
    pub async fn ping_container(&self, host: Option<&str>, port: u16, deadline: Instant) -> Result<SystemTime> {
        let began = Instant::now();
        let host = match (host, self.session.current().await) {
            (Some(host), _) => host.to_owned(),
            (None, Some(connection)) => connection.address().host.clone(),
            (None, None) => self.session.target().addresses[0].host.clone(),
        };
        let address = Address { host, port };
        let target = Target {
            name: format!("{} container on {address}", self.name()),
            addresses: vec![address],
            security: Security::unverified(),
            credentials: None,
        };
        let left = deadline.saturating_duration_since(began).max(Duration::from_millis(1));
        let asked = async {
            let session = Session::connect(target, Settings { dial_timeout: left, ..*self.session.settings() }).await?;
            session
                .call(Call::read("Cntr.Ping", deadline), |connection| async move {
                    let origin = connection.origin();
                    Ok(CntrClient::with_origin(connection, origin).ping(PingRequest {}).await?.into_inner())
                })
                .await
        };
        let pong = asked.await.map_err(|error| error.during(self.name(), "Cntr.Ping", began.elapsed()))?;
        let stamp = pong.timestamp.unwrap_or_default();
        Ok(SystemTime::try_from(stamp).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}
