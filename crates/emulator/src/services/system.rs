//! gNOI System: switchover, reboot, time and ping.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::tree;
use crate::failover;
use crate::health::PROCESS;
use crate::settings::Quirk;
use crate::shared::SharedChassis;
use crate::sites::Step;
use crate::state::{PendingReboot, Refused, now};
use holdfast_wire::gnoi::system::reboot_status::Status as RebootState;
use holdfast_wire::gnoi::system::system_server::System;
use holdfast_wire::gnoi::system::{
    CancelRebootRequest, CancelRebootResponse, KillProcessRequest, KillProcessResponse, PingRequest, PingResponse,
    RebootMethod, RebootRequest, RebootResponse, RebootStatus, RebootStatusRequest, RebootStatusResponse,
    SetPackageRequest, SetPackageResponse, SwitchControlProcessorRequest, SwitchControlProcessorResponse, TimeRequest,
    TimeResponse, TracerouteRequest, TracerouteResponse,
};
use holdfast_wire::gnoi::types;
use holdfast_wire::path::Path;

/// What a path of a form that the device does not know is answered with.
const WRONG_FORM: [(Quirk, Code); 4] = [
    (Quirk::PathFormNotFound, Code::NotFound),
    (Quirk::PathFormInternal, Code::Internal),
    (Quirk::PathFormUnimplemented, Code::Unimplemented),
    (Quirk::PathFormPrecondition, Code::FailedPrecondition),
];

/// gNOI System of one control processor.
pub struct SystemService {
    chassis: Arc<SharedChassis>,
    index: usize,
}

impl SystemService {
    pub fn new(chassis: Arc<SharedChassis>, index: usize) -> Self {
        Self { chassis, index }
    }

    /// The control processor that a path names.
    fn named(&self, path: &types::Path) -> Result<usize, Status> {
        self.check_form(path)?;
        let name = Path::component_of(path).ok_or_else(|| Status::invalid_argument("the path names no component"))?;
        let found = self.chassis.settings.names.iter().position(|known| known == name);
        found.ok_or_else(|| Status::not_found(format!("there is no control processor {name:?}")))
    }

    /// Whether a path has the form that this device knows, where it knows one only.
    fn check_form(&self, path: &types::Path) -> Result<(), Status> {
        let has = |quirk| self.chassis.has(quirk);
        let code = WRONG_FORM.into_iter().find(|(quirk, _)| has(*quirk)).map(|(_, code)| code);
        let keyed = path.elem.iter().any(|element| !element.key.is_empty());
        let (full, bare) = (path.elem.len() > 1, path.elem.len() == 1 && !keyed);
        let known = if has(Quirk::FullPathOnly) {
            full
        } else if has(Quirk::PathOriginRefused) {
            full && path.origin.is_empty()
        } else if has(Quirk::KeyedElementOnly) {
            keyed && !full
        } else if has(Quirk::NameOnly) || code.is_some() {
            bare
        } else {
            true
        };
        let wrong = || Status::new(code.unwrap_or(Code::InvalidArgument), "this path form is not supported");
        if known { Ok(()) } else { Err(wrong()) }
    }
}

#[tonic::async_trait]
impl System for SystemService {
    async fn switch_control_processor(
        &self,
        request: Request<SwitchControlProcessorRequest>,
    ) -> Result<Response<SwitchControlProcessorResponse>, Status> {
        let path = request.into_inner().control_processor;
        let path = path.ok_or_else(|| Status::invalid_argument("no control processor is named"))?;
        let target = self.named(&path)?;
        let uptime = now().saturating_sub(self.chassis.state().control_processor(self.index).boot_time);
        let answer = SwitchControlProcessorResponse {
            control_processor: Some(path),
            version: tree::software(&self.chassis),
            uptime: i64::try_from(uptime).unwrap_or(i64::MAX),
        };
        if target == self.chassis.state().active() {
            return Ok(Response::new(answer));
        }
        let accepted = self.chassis.request(|state| {
            let ready = self.chassis.says_ready(state) || self.chassis.defects.skips(Step::RefuseStandby);
            state.accept_switchover(ready)
        });
        accepted.map_err(refused)?;
        self.chassis.spawn_move(failover::switch_over(self.chassis.clone()));
        Ok(Response::new(answer))
    }

    async fn reboot(&self, request: Request<RebootRequest>) -> Result<Response<RebootResponse>, Status> {
        let request = request.into_inner();
        match request.method() {
            RebootMethod::Cold | RebootMethod::Unknown => {}
            other => {
                return Err(Status::unimplemented(format!("reboot method {} is not supported", other.as_str_name())));
            }
        }
        let named: Vec<_> = request.subcomponents.iter().map(|path| self.named(path)).collect::<Result<_, _>>()?;
        let later = (request.delay > 0)
            .then(|| PendingReboot { due: now().saturating_add(request.delay), message: request.message });
        self.chassis.request(|state| state.accept_reboot(later.clone(), request.force)).map_err(refused)?;
        match later {
            None => begin_reboot(&self.chassis, &named),
            Some(pending) => {
                let delay = Duration::from_nanos(request.delay);
                self.chassis.spawn(reboot_later(self.chassis.clone(), named, delay, pending));
            }
        }
        Ok(Response::new(RebootResponse {}))
    }

    async fn reboot_status(&self, _: Request<RebootStatusRequest>) -> Result<Response<RebootStatusResponse>, Status> {
        let state = self.chassis.state();
        let pending = state.pending_reboot.as_ref();
        Ok(Response::new(RebootStatusResponse {
            active: pending.is_some(),
            wait: pending.map_or(0, |pending| pending.due.saturating_sub(now())),
            when: pending.map_or(0, |pending| pending.due),
            reason: pending.map_or_else(String::new, |pending| pending.message.clone()),
            count: state.reboots,
            method: RebootMethod::Cold as i32,
            status: Some(RebootStatus { status: RebootState::Success as i32, message: String::new() }),
        }))
    }

    async fn cancel_reboot(&self, _: Request<CancelRebootRequest>) -> Result<Response<CancelRebootResponse>, Status> {
        self.chassis.update(|state| state.pending_reboot = None);
        Ok(Response::new(CancelRebootResponse {}))
    }

    async fn time(&self, _: Request<TimeRequest>) -> Result<Response<TimeResponse>, Status> {
        Ok(Response::new(TimeResponse { time: self.chassis.clock() }))
    }

    type PingStream = ReceiverStream<Result<PingResponse, Status>>;

    /// EMULATED: this machine's own addresses answer, all others are lost.
    async fn ping(&self, request: Request<PingRequest>) -> Result<Response<Self::PingStream>, Status> {
        let request = request.into_inner();
        let host = request.destination.trim_matches(['[', ']']);
        let own = host == "localhost"
            || host.parse().is_ok_and(|ip: std::net::IpAddr| {
                ip.is_loopback() || self.chassis.addresses.iter().any(|own| own.ip() == ip)
            });
        let count = if request.count == 0 { 5 } else { request.count.clamp(1, 1000) };
        let (replies, stream) = mpsc::channel(16);
        let source = self.chassis.addresses[0].ip().to_string();
        tokio::spawn(async move {
            for sequence in (1..=count).filter(|_| own) {
                let reply = PingResponse {
                    source: source.clone(),
                    time: 50_000,
                    bytes: 64,
                    sequence,
                    ttl: 64,
                    ..Default::default()
                };
                if replies.send(Ok(reply)).await.is_err() {
                    return;
                }
            }
            let received = if own { count } else { 0 };
            let time = if own { 50_000 } else { 0 };
            let summary = PingResponse {
                source,
                sent: count,
                received,
                min_time: time,
                avg_time: time,
                max_time: time,
                ..Default::default()
            };
            let _ = replies.send(Ok(summary)).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    type TracerouteStream = ReceiverStream<Result<TracerouteResponse, Status>>;

    async fn traceroute(&self, _: Request<TracerouteRequest>) -> Result<Response<Self::TracerouteStream>, Status> {
        Err(Status::unimplemented("the emulated device has no Traceroute"))
    }

    async fn set_package(
        &self,
        _: Request<Streaming<SetPackageRequest>>,
    ) -> Result<Response<SetPackageResponse>, Status> {
        Err(Status::unimplemented("the emulated device has no SetPackage"))
    }

    /// EMULATED: it has one process, without which its control processor cannot be.
    async fn kill_process(
        &self,
        request: Request<KillProcessRequest>,
    ) -> Result<Response<KillProcessResponse>, Status> {
        let request = request.into_inner();
        if request.name != PROCESS {
            return Err(Status::not_found(format!("there is no process {:?}: there is {PROCESS}", request.name)));
        }
        self.chassis.request(|state| state.accept(false)).map_err(refused)?;
        self.chassis.control_processors[self.index].health.process_crashed(PROCESS);
        self.chassis.spawn_move(failover::reboot_control_processor(self.chassis.clone(), self.index));
        Ok(Response::new(KillProcessResponse {}))
    }
}

fn refused(why: Refused) -> Status {
    match why {
        Refused::NotReady => Status::failed_precondition("the standby is not ready for a switchover"),
        Refused::UnderWay => Status::unavailable("a switchover or reboot is under way"),
    }
}

fn begin_reboot(chassis: &Arc<SharedChassis>, named: &[usize]) {
    match named {
        [index] => chassis.spawn_move(failover::reboot_control_processor(chassis.clone(), *index)),
        _ => chassis.spawn_move(failover::reboot_chassis(chassis.clone())),
    }
}

async fn reboot_later(chassis: Arc<SharedChassis>, named: Vec<usize>, delay: Duration, pending: PendingReboot) {
    let mut state = chassis.watch();
    let cancelled = state.wait_for(|state| state.pending_reboot.as_ref() != Some(&pending));
    if tokio::time::timeout(delay, cancelled).await.is_ok() {
        return;
    }
    let accepted = chassis.request(|state| {
        state.pending_reboot = None;
        state.accept(false)
    });
    chassis.announce(); // it is no longer pending, whatever came of it
    if accepted.is_ok() {
        begin_reboot(&chassis, &named);
    }
}
