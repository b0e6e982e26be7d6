//! The services of a control processor.

mod asked;
mod configure;
mod containerz;
mod file;
mod gnmi;
mod gribi;
mod healthz;
mod older_form;
mod subscriber;
pub mod system;
mod tree;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::service::Routes;

use super::layer::Faulty;
use super::settings::Quirk;
use super::shared::SharedChassis;
use super::sites::Step;
use holdfast_wire::gnmi::g_nmi_server::GNmiServer;
use holdfast_wire::gnoi::containerz::containerz_server::ContainerzServer;
use holdfast_wire::gnoi::file::file_server::FileServer;
use holdfast_wire::gnoi::healthz::healthz_server::HealthzServer;
use holdfast_wire::gnoi::system::system_server::SystemServer;
use holdfast_wire::gribi::g_ribi_server::GRibiServer;

/// Which services an address offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    All,
    Gnmi,
    Gnoi,
    /// gNMI, for containers.
    InnerGnmi,
    /// gRIBI, for containers.
    InnerGribi,
}

impl Offered {
    pub fn is_inner(self) -> bool {
        matches!(self, Self::InnerGnmi | Self::InnerGribi)
    }
}

/// Those that an address offers, for one control processor.
pub fn routes(chassis: &Arc<SharedChassis>, index: usize, offered: Offered) -> Routes {
    let mut routes = Routes::default();
    let gribi = || GRibiServer::new(gribi::GribiService::new(chassis.clone(), index));
    if offered == Offered::InnerGribi {
        return routes.add_service(gribi());
    }
    if matches!(offered, Offered::All | Offered::Gnoi) {
        let containerz = ContainerzServer::new(containerz::ContainerzService::new(chassis.clone(), index));
        routes = routes
            .add_service(containerz.max_decoding_message_size(8 << 20))
            .add_service(SystemServer::new(system::SystemService::new(chassis.clone(), index)))
            .add_service(FileServer::new(file::FileService::new(chassis.clone(), index)))
            .add_service(HealthzServer::new(healthz::HealthzService::new(chassis.clone())));
    }
    if offered != Offered::Gnoi {
        routes = routes.add_service(GNmiServer::new(gnmi::GnmiService::new(chassis.clone(), index)));
    }
    if matches!(offered, Offered::All | Offered::Gnmi) {
        routes = routes.add_service(gribi());
    }
    routes
}

/// Services that answer who may log in, and for containers only once their runtime has loaded.
#[derive(Clone)]
pub struct Gated {
    inner: Faulty,
    chassis: Arc<SharedChassis>,
    index: usize,
}

impl Gated {
    pub fn new(inner: Faulty, chassis: Arc<SharedChassis>, index: usize) -> Self {
        Self { inner, chassis, index }
    }
}

impl Service<http::Request<Body>> for Gated {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if !self.chassis.knows(request.headers()) {
            let given = request.headers().contains_key("username") || request.headers().contains_key("authorization");
            let why = if given { "wrong username or password" } else { "no username and password were given" };
            let answer = Status::unauthenticated(why).into_http();
            return Box::pin(std::future::ready(Ok(answer)));
        }
        if self.chassis.has(Quirk::RequestsLimited) && !self.chassis.limit.takes_another() {
            let answer = Status::resource_exhausted("the rate limit of 40 calls a second is exceeded").into_http();
            return Box::pin(std::future::ready(Ok(answer)));
        }
        let own_address = self.chassis.addresses.len() > 1;
        if own_address && self.chassis.state().answering() != Some(self.index) {
            let answer = Status::unavailable("this control processor stands by").into_http();
            return Box::pin(std::future::ready(Ok(answer)));
        }
        let containerz = request.uri().path().starts_with("/gnoi.containerz.");
        let plugins = containerz && request.uri().path().contains("Plugin");
        if containerz && self.chassis.has(Quirk::ContainerzNeedsCli) && !self.chassis.cli.has_containerz()
            || !containerz && self.chassis.has(Quirk::ContainerzAlone)
            || containerz && self.chassis.has(Quirk::OlderContainerz) && !request.uri().path().ends_with("/Deploy")
            || plugins && self.chassis.has(Quirk::PluginsUnimplemented)
            || self.lacks(request.uri().path())
        {
            let answer = Status::unimplemented("unknown service or method").into_http();
            return Box::pin(std::future::ready(Ok(answer)));
        }
        if containerz && let Err(status) = self.ready(request.uri().path()) {
            return Box::pin(std::future::ready(Ok(status.into_http())));
        }
        self.inner.call(request)
    }
}

impl Gated {
    /// Whether the device does not serve a whole service.
    fn lacks(&self, path: &str) -> bool {
        let services = [("/gnoi.file.", Quirk::FileUnimplemented), ("/gnoi.healthz.", Quirk::HealthzUnimplemented)];
        services.into_iter().any(|(service, quirk)| path.starts_with(service) && self.chassis.has(quirk))
    }

    /// Whether the container runtime takes a call.
    fn ready(&self, path: &str) -> Result<(), Status> {
        let state = self.chassis.state();
        let reads = ["/List", "/Log"].iter().any(|verb| path.contains(verb));
        if !state.has_loaded() {
            let unreachable = self.chassis.has(Quirk::RuntimeUnreachable);
            return Err(match (unreachable, reads) {
                (false, _) => Status::unavailable("the container runtime is loading"),
                (true, true) => Status::unknown("cannot connect to the container runtime: is it running?"),
                (true, false) => Status::internal("cannot connect to the container runtime"),
            });
        }
        let refused_for = LONGEST_REFUSAL.min(self.chassis.settings.timings.load * REFUSED_LOADS);
        let at_first = state.loaded_at.is_some_and(|loaded| loaded.elapsed() < refused_for);
        let refusals = [
            (Quirk::ChangesRefusedAtFirst, Status::unavailable("the container runtime is starting")),
            (Quirk::ChangesAbortedAtFirst, Status::aborted("another operation is under way")),
            (Quirk::ChangesFailAtFirst, Status::unknown(NO_DAEMON)),
        ];
        if let Some((_, refusal)) = refusals.into_iter().find(|(quirk, _)| self.chassis.has(*quirk))
            && at_first
            && !reads
        {
            return Err(refusal);
        }
        Ok(())
    }
}

/// What the reference server hands on of Docker's client.
const NO_DAEMON: &str =
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?";
/// How many times as long as the runtime loads it refuses changes, with `changes-refused-at-first`.
const REFUSED_LOADS: u32 = 5;
/// But no longer than this: whoever asks an emulated device again does so for its limit `start`, which is 2 s.
const LONGEST_REFUSAL: Duration = Duration::from_millis(1500);

impl SharedChassis {
    /// Whether a call's metadata names a user and the right password, where that is asked for.
    fn knows(&self, metadata: &http::HeaderMap) -> bool {
        let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let given = (text("username"), text("password"));
        let users = &self.settings.users;
        users.is_empty()
            || users.iter().any(|(name, password)| given == (name.as_str(), password.as_str()))
            || self.defects.skips(Step::RefuseLogin)
    }
}

/// Feeds a stream of answers. A control processor that falls ends none of its streams: they break with its sockets.
async fn feed<T>(life: CancellationToken, messages: mpsc::Sender<T>, work: impl Future<Output = ()>) {
    // What it ran stops with it, which shall not pass for the work's end.
    tokio::select! {
        biased;
        () = life.cancelled() => messages.closed().await,
        () = work => {}
    }
}
