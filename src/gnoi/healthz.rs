//! gNOI Healthz: the health of components, and what the device collected on it.

use prost::Message;
use tokio::time::Instant;

use super::download::{Destination, Download, Downloaded};
use super::file::finish;
use crate::dial::whole::LONGEST_MESSAGE;
use crate::dial::{Call, Connection, Session};
use crate::error::{Error, Kind, Result};
use crate::gnmi::Path;
use crate::wire::gnoi::healthz::artifact_header::ArtifactType;
use crate::wire::gnoi::healthz::artifact_response::Contents;
use crate::wire::gnoi::healthz::healthz_client::HealthzClient;
use crate::wire::gnoi::healthz::{
    ArtifactHeader, ArtifactRequest, CheckRequest, ComponentStatus, GetRequest, ListRequest,
};
use tonic::Code;

/// The client. Clones share its session.
#[derive(Clone)]
pub struct Healthz {
    session: Session,
}

fn client(connection: Connection) -> HealthzClient<Connection> {
    let origin = connection.origin();
    HealthzClient::with_origin(connection, origin).max_decoding_message_size(LONGEST_MESSAGE)
}

impl Healthz {
    /// Over `session`.
    pub fn new(session: Session) -> Self {
        Self { session }
    }

    /// `gnoi.healthz.Healthz/Get`: the latest event of a component.
    pub async fn get(&self, component: &Component, deadline: Instant) -> Result<ComponentStatus> {
        let ask = |path: Path| {
            let request = GetRequest { path: Some(path.to_gnoi()) };
            self.session.call(Call::read("Healthz.Get", deadline), move |connection| {
                let request = request.clone();
                async move { Ok(client(connection).get(request).await?.into_inner().component) }
            })
        };
        Ok(in_any_form(component, ask).await?.unwrap_or_default())
    }

    /// `gnoi.healthz.Healthz/List`: the events of a component; without those that somebody acknowledged, unless asked.
    pub async fn list(
        &self,
        component: &Component,
        include_acknowledged: bool,
        deadline: Instant,
    ) -> Result<Vec<ComponentStatus>> {
        let ask = |path: Path| {
            let request = ListRequest { path: Some(path.to_gnoi()), include_acknowledged };
            self.session.call(Call::read("Healthz.List", deadline), move |connection| {
                let request = request.clone();
                async move { Ok(client(connection).list(request).await?.into_inner().statuses) }
            })
        };
        in_any_form(component, ask).await
    }

    /// `gnoi.healthz.Healthz/Check`: has the device look at a component, or collect more on an event.
    pub async fn check(&self, component: &Component, event_id: &str, deadline: Instant) -> Result<ComponentStatus> {
        let ask = |path: Path| {
            let request = CheckRequest { path: Some(path.to_gnoi()), event_id: event_id.to_owned() };
            crate::gnoi::tell(&self.session, "gnoi.healthz.CheckRequest", &request);
            self.session.call(Call::write("Healthz.Check", deadline), move |connection| {
                let request = request.clone();
                async move { Ok(client(connection).check(request).await?.into_inner().status) }
            })
        };
        Ok(in_any_form(component, ask).await?.unwrap_or_default())
    }

    /// `gnoi.healthz.Healthz/Artifact`, into a file of this machine's: bytes as they come, or each message after its
    /// length, as protobuf delimits them.
    pub async fn artifact(
        &self,
        id: &str,
        destination: &Destination,
        deadline: Instant,
    ) -> Result<(ArtifactHeader, Downloaded)> {
        let request = ArtifactRequest { id: id.to_owned() };
        let came = self.session.call(Call::read("Healthz.Artifact", deadline), |connection| {
            let request = request.clone();
            async move {
                let mut pieces = client(connection).artifact(request).await?.into_inner();
                let mut download = match Download::begin(destination) {
                    Ok(download) => download,
                    Err(error) => return Ok(Err(error)),
                };
                let (mut header, mut whole) = (None, false);
                while let Some(piece) = pieces.message().await? {
                    let written = match piece.contents {
                        Some(Contents::Header(came)) => {
                            header = Some(came);
                            Ok(())
                        }
                        Some(Contents::Bytes(bytes)) => download.write(&bytes),
                        Some(Contents::Proto(message)) => download.write(&message.encode_length_delimited_to_vec()),
                        Some(Contents::Trailer(_)) => {
                            whole = true;
                            Ok(())
                        }
                        None => Ok(()),
                    };
                    if let Err(error) = written {
                        return Ok(Err(error));
                    }
                }
                Ok(Ok((download, header, whole)))
            }
        });
        let finished = match came.await? {
            Ok((download, header, whole)) => finished(download, header, whole, destination.check).await,
            Err(error) => Err(error),
        };
        finished.map_err(|error| Error { device: Some(self.session.name().into()), ..error })
    }
}

async fn finished(
    download: Download,
    header: Option<ArtifactHeader>,
    whole: bool,
    check: bool,
) -> Result<(ArtifactHeader, Downloaded)> {
    if !whole && check {
        let what = "the artifact ended without its trailer: something of it is missing";
        return Err(Error::new(Kind::Status(Code::DataLoss), what).hint("fetch it again, or take it as it is"));
    }
    let header = header.unwrap_or_default();
    let (hash, size) = match &header.artifact_type {
        Some(ArtifactType::File(file)) => (file.hash.clone(), u64::try_from(file.size).ok().filter(|size| *size > 0)),
        _ => (None, None),
    };
    let mut came = finish(download, hash, size).await?;
    if !whole {
        came.verified = Some(false);
    }
    Ok((header, came))
}

/// What Healthz is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// By its name, in the form that the device takes.
    Named(String),
    /// By this path alone.
    At(Path),
}

impl std::str::FromStr for Component {
    type Err = Error;

    /// A component's name, or a path such as `/components/component[name=X]`, with origin openconfig unless it begins
    /// with another.
    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid("a component has a name"));
        }
        if !text.contains('[') || !text.contains('/') {
            return Ok(Self::Named(text.to_owned()));
        }
        let mut path: Path = text.parse().map_err(Error::from)?;
        if path.origin.is_empty() {
            "openconfig".clone_into(&mut path.origin);
        }
        Ok(Self::At(path))
    }
}

impl Component {
    /// The forms of its path, the field's usual one first.
    fn paths(&self) -> Vec<Path> {
        match self {
            Self::At(path) => vec![path.clone()],
            Self::Named(name) => {
                let full = Path::component(name);
                vec![full.clone(), Path { origin: String::new(), ..full }, Path::bare(name)]
            }
        }
    }
}

/// Asks in the first form that the device does not refuse as one it does not know; else what it said to the first.
async fn in_any_form<T, F: Future<Output = Result<T>>>(component: &Component, ask: impl Fn(Path) -> F) -> Result<T> {
    let mut first = None;
    for path in component.paths() {
        match ask(path).await {
            Err(error) if matches!(error.code(), Some(Code::NotFound | Code::InvalidArgument)) => {
                first.get_or_insert(error);
            }
            answered => return answered,
        }
    }
    Err(first.unwrap_or_else(|| Error::invalid("a component has a path")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_a_name_or_a_path() {
        let named = |text: &str| text.parse::<Component>().expect("a component");
        assert_eq!(named("0/RP0/CPU0"), Component::Named("0/RP0/CPU0".to_owned()));
        assert_eq!(named("Rack 0"), Component::Named("Rack 0".to_owned()));
        assert_eq!(named("/components/component[name=A]"), Component::At(Path::component("A")));
        assert!("".parse::<Component>().is_err());
    }
}
