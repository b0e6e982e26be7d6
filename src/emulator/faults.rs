//! The emulator's failpoints: their names, and what an action does to an RPC.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::service::Routes;

use super::chassis::Inner;
use super::state::Loading;
use crate::error::code_by_name;
use crate::failpoint::{Action, Name};

macro_rules! rpcs {
    ($($service:literal: $($rpc:literal),+;)+) => {
        &[
            $($(
                Name { name: concat!($service, ".", $rpc), help: concat!("before ", $rpc, " is done") },
                Name { name: concat!($service, ".", $rpc, ".after"), help: concat!("after ", $rpc, " was done, before it is answered") },
            )+)+
            Name { name: "containerz.Deploy.chunk", help: "each chunk of a transfer, before it is stored" },
            Name { name: "gnmi.Subscribe.update", help: "each message of a subscription; return{\"leaf\": value} puts other values into it" },
            Name { name: "roles.single", help: "gNMI shows the active control processor alone" },
            Name { name: "roles.none", help: "gNMI shows no redundant-role at all" },
            Name { name: "roles.two_primaries", help: "gNMI calls both control processors PRIMARY" },
            Name { name: "switchover.ignored", help: "answers with success and does nothing" },
            Name { name: "switchover.claimed", help: "reports the roles swapped for three seconds and does nothing" },
            Name { name: "switchover.reversed", help: "swaps the roles, and swaps them back as soon as the old active is up" },
            Name { name: "switchover.never_redundant", help: "the old active never comes back in step" },
            Name { name: "reboot.ignored", help: "answers with success and does nothing" },
            Name { name: "reboot.one_card", help: "reboots the active card alone" },
            Name { name: "sync.image", help: "an image is not copied to the standby" },
            Name { name: "sync.container", help: "a container is not copied to the standby" },
            Name { name: "sync.volume", help: "a volume is not copied to the standby" },
            Name { name: "load.image.lost", help: "an image is gone when a new active loads" },
            Name { name: "load.image.replaced", help: "another image has its name when a new active loads" },
            Name { name: "load.image.resurrected", help: "a removed image is back when a new active loads" },
            Name { name: "load.image.resurrected_late", help: "a removed image is back two seconds after a new active loaded" },
            Name { name: "load.container.lost", help: "a container is gone when a new active loads" },
            Name { name: "load.container.stopped", help: "a container is stopped when a new active loads" },
            Name { name: "load.container.restarting", help: "a container restarts for ever when a new active loads" },
            Name { name: "load.container.mute", help: "a container is listed as running and does not answer" },
            Name { name: "load.container.replaced", help: "a container is of another image when a new active loads" },
            Name { name: "load.container.resurrected", help: "a removed container is back when a new active loads" },
            Name { name: "load.container.resurrected_late", help: "a removed container is back two seconds after a new active loaded" },
            Name { name: "load.volume.lost", help: "a volume is gone when a new active loads" },
            Name { name: "load.volume.options_lost", help: "a volume has lost its driver options and labels when a new active loads" },
            Name { name: "load.volume.resurrected", help: "a removed volume is back when a new active loads" },
            Name { name: "load.volume.resurrected_late", help: "a removed volume is back two seconds after a new active loaded" },
            Name { name: "load.lists_empty", help: "lists are empty for a second after a new active loaded" },
        ]
    };
}

/// Every failpoint of the emulated device.
pub const FAILPOINTS: &[Name] = rpcs! {
    "containerz": "Deploy", "ListImage", "RemoveImage", "StartContainer", "ListContainer", "StopContainer",
        "RemoveContainer", "UpdateContainer", "Log", "CreateVolume", "ListVolume", "RemoveVolume", "StartPlugin",
        "StopPlugin", "ListPlugins", "RemovePlugin", "RemovePluginTar";
    "system": "SwitchControlProcessor", "Reboot", "RebootStatus", "CancelReboot", "Time", "Ping";
    "gnmi": "Capabilities", "Get", "Set", "Subscribe";
};

/// Does to an operation at `site` what is armed there.
pub async fn pass(chassis: &Arc<Inner>, index: usize, site: &str) -> Result<(), Status> {
    match chassis.failpoints.hit(site) {
        None | Some(Action::Off) => Ok(()),
        Some(Action::Error { code, message }) => {
            let code = code.as_deref().and_then(code_by_name).unwrap_or(tonic::Code::Unknown);
            Err(Status::new(code, message))
        }
        Some(Action::Delay(milliseconds)) => {
            tokio::time::sleep(Duration::from_millis(milliseconds.unsigned_abs())).await;
            Ok(())
        }
        Some(Action::Panic(_)) => {
            chassis.crash(index);
            std::future::pending().await
        }
        Some(Action::Return(_)) => Err(Status::internal(format!("return has no meaning at {site}"))),
    }
}

/// All RPCs of a control processor, with the failpoints around each.
#[derive(Clone)]
pub struct Faulty {
    inner: Routes,
    chassis: Arc<Inner>,
    index: usize,
}

impl Faulty {
    pub fn new(inner: Routes, chassis: Arc<Inner>, index: usize) -> Self {
        Self { inner, chassis, index }
    }
}

impl Service<http::Request<Body>> for Faulty {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        <Routes as Service<http::Request<Body>>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let site = site_of(request.uri().path());
        let (chassis, index) = (self.chassis.clone(), self.index);
        let mut inner = self.inner.clone();
        Box::pin(async move {
            if site.starts_with("containerz.") && chassis.state().loading == Loading::Underway {
                return Ok(Status::unavailable("the container runtime is loading").into_http());
            }
            if let Err(status) = pass(&chassis, index, &site).await {
                return Ok(status.into_http());
            }
            let response = inner.call(request).await?;
            match pass(&chassis, index, &format!("{site}.after")).await {
                Ok(()) => Ok(response),
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// `/gnoi.containerz.Containerz/Deploy` is `containerz.Deploy`.
fn site_of(path: &str) -> String {
    let (service, rpc) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let service = service.rsplit('.').next().unwrap_or_default().to_lowercase();
    format!("{service}.{rpc}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_has_its_site() {
        for path in ["/gnoi.containerz.Containerz/Deploy", "/gnoi.system.System/Reboot", "/gnmi.gNMI/Subscribe"] {
            let site = site_of(path);
            assert!(FAILPOINTS.iter().any(|known| known.name == site), "{site}");
        }
    }
}
