//! gNOI Healthz: the health of both control processors and of their processes, whichever of them is active.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use crate::health::{Artifact, Event, Health, PROCESS};
use crate::shared::SharedChassis;
use holdfast_wire::gnoi::healthz::artifact_header::ArtifactType;
use holdfast_wire::gnoi::healthz::artifact_response::Contents;
use holdfast_wire::gnoi::healthz::healthz_server::Healthz;
use holdfast_wire::gnoi::healthz::{
    AcknowledgeRequest, AcknowledgeResponse, ArtifactHeader, ArtifactRequest, ArtifactResponse, ArtifactTrailer,
    CheckRequest, CheckResponse, ComponentStatus, FileArtifactType, GetRequest, GetResponse, ListRequest, ListResponse,
    Status as Said,
};
use holdfast_wire::gnoi::types;
use holdfast_wire::gnoi::types::HashType;
use holdfast_wire::gnoi::types::hash_type::HashMethod;
use holdfast_wire::path::Path;

/// What one message carries of an artifact, in bytes.
const PIECE: usize = 32_000;

/// gNOI Healthz.
pub struct HealthzService {
    chassis: Arc<SharedChassis>,
}

/// A control processor, or a process on one, as a caller names it.
struct Named {
    path: types::Path,
    index: usize,
    process: Option<&'static str>,
}

impl HealthzService {
    pub fn new(chassis: Arc<SharedChassis>) -> Self {
        Self { chassis }
    }

    /// The component that a path names: a control processor, or its process, such as `Supervisor1-supervisor`.
    fn named(&self, path: Option<types::Path>) -> Result<Named, Status> {
        let path = path.ok_or_else(|| Status::invalid_argument("no component is named"))?;
        let name = Path::component_of(&path).ok_or_else(|| Status::invalid_argument("the path names no component"))?;
        let names = self.chassis.settings.names.iter().enumerate();
        let found = names.into_iter().find_map(|(index, known)| match name.strip_prefix(known.as_str())? {
            "" => Some((index, None)),
            rest => (rest.strip_prefix('-')? == PROCESS).then_some((index, Some(PROCESS))),
        });
        let (index, process) = found.ok_or_else(|| Status::not_found(format!("there is no component {name:?}")))?;
        Ok(Named { path, index, process })
    }

    fn health(&self, named: &Named) -> &Health {
        &self.chassis.control_processors[named.index].health
    }

    /// An event as the component sees it: what befell a process befell its control processor too.
    fn status(&self, named: &Named, event: &Event) -> ComponentStatus {
        let whole = ComponentStatus {
            path: Some(named.path.clone()),
            status: if event.healthy { Said::Healthy } else { Said::Unhealthy } as i32,
            artifacts: event.artifacts.iter().map(header).collect(),
            id: event.id.clone(),
            acknowledged: event.acknowledged,
            created: i64::try_from(event.created).ok().map(|nanoseconds| prost_types::Timestamp {
                seconds: nanoseconds / 1_000_000_000,
                nanos: i32::try_from(nanoseconds % 1_000_000_000).unwrap_or_default(),
            }),
            ..ComponentStatus::default()
        };
        match &event.process {
            Some(process) if named.process.is_none() => {
                let name = format!("{}-{process}", self.chassis.settings.names[named.index]);
                let inner = ComponentStatus { path: Some(Path::component(&name).to_gnoi()), ..whole.clone() };
                ComponentStatus { subcomponents: vec![inner], ..whole }
            }
            _ => whole,
        }
    }
}

fn header(artifact: &Artifact) -> ArtifactHeader {
    let hash = HashType { method: HashMethod::Sha256 as i32, hash: Sha256::digest(&artifact.contents).to_vec() };
    let file = FileArtifactType {
        name: artifact.name.clone(),
        mimetype: "text/plain".to_owned(),
        size: i64::try_from(artifact.contents.len()).unwrap_or_default(),
        hash: Some(hash),
        ..FileArtifactType::default()
    };
    ArtifactHeader { id: artifact.id.clone(), artifact_type: Some(ArtifactType::File(file)) }
}

#[tonic::async_trait]
impl Healthz for HealthzService {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let named = self.named(request.into_inner().path)?;
        let latest = self.health(&named).of(named.process).pop();
        let healthy = || ComponentStatus {
            path: Some(named.path.clone()),
            status: Said::Healthy as i32,
            ..ComponentStatus::default()
        };
        let component = latest.map_or_else(healthy, |event| self.status(&named, &event));
        Ok(Response::new(GetResponse { component: Some(component) }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let request = request.into_inner();
        let named = self.named(request.path)?;
        let events = self.health(&named).of(named.process);
        let listed = events.iter().filter(|event| request.include_acknowledged || !event.acknowledged);
        let statuses = listed.map(|event| self.status(&named, event)).collect();
        Ok(Response::new(ListResponse { statuses }))
    }

    async fn acknowledge(&self, request: Request<AcknowledgeRequest>) -> Result<Response<AcknowledgeResponse>, Status> {
        let request = request.into_inner();
        let named = self.named(request.path)?;
        let event = self.health(&named).change(&request.id, |event| event.acknowledged = true);
        let event = event.ok_or_else(|| Status::not_found(format!("there is no event {:?}", request.id)))?;
        Ok(Response::new(AcknowledgeResponse { status: Some(self.status(&named, &event)) }))
    }

    type ArtifactStream = tokio_stream::Iter<std::vec::IntoIter<Result<ArtifactResponse, Status>>>;

    async fn artifact(&self, request: Request<ArtifactRequest>) -> Result<Response<Self::ArtifactStream>, Status> {
        let id = request.into_inner().id;
        let held = self.chassis.control_processors.iter().find_map(|one| one.health.artifact(&id));
        let artifact = held.ok_or_else(|| Status::not_found(format!("there is no artifact {id:?}")))?;
        let message = |contents| Ok(ArtifactResponse { contents: Some(contents) });
        let mut messages = vec![message(Contents::Header(header(&artifact)))];
        messages.extend(artifact.contents.chunks(PIECE).map(|piece| message(Contents::Bytes(piece.to_vec()))));
        messages.push(message(Contents::Trailer(ArtifactTrailer {})));
        Ok(Response::new(tokio_stream::iter(messages)))
    }

    /// EMULATED: what is collected is a line that says so.
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner();
        let named = self.named(request.path)?;
        let text = format!("EMULATED: {} was looked at\n", self.chassis.settings.names[named.index]);
        let health = self.health(&named);
        let event = if request.event_id.is_empty() {
            health.record(named.process, true, "check.txt", &text)
        } else {
            let more = |event: &mut Event| {
                let artifact = Artifact::new(&event.id, event.artifacts.len() + 1, "check.txt", &text);
                event.artifacts.push(artifact);
            };
            let changed = health.change(&request.event_id, more);
            changed.ok_or_else(|| Status::not_found(format!("there is no event {:?}", request.event_id)))?
        };
        Ok(Response::new(CheckResponse { status: Some(self.status(&named, &event)) }))
    }
}
