//! What runs the containers of one control processor.

pub mod docker;
mod emulated;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::store::{Container, Inventory};
pub use emulated::{EmulatedRuntime, Running};
use holdfast_image::{Archive, Image};

/// How a container is that a runtime was told to start. One that it does not tell of does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    Running,
    /// It ended, and is about to be started again by its restart policy.
    Restarting,
    /// With this exit code, where that is known.
    Ended(Option<i64>),
}

/// How a container is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It is told to end, and has a while for that.
    Politely,
    AtOnce,
}

/// What a container says, in pieces that are no lines.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// The states of containers, by name.
#[derive(Debug, Default)]
pub struct States(HashMap<String, ContainerState>);

impl States {
    /// Whether a container runs, or is about to again.
    pub fn runs(&self, name: &str) -> bool {
        matches!(self.of(name), Some(ContainerState::Running | ContainerState::Restarting))
    }

    /// How a container is.
    pub fn of(&self, name: &str) -> Option<ContainerState> {
        self.0.get(name).copied()
    }
}

impl FromIterator<(String, ContainerState)> for States {
    fn from_iter<T: IntoIterator<Item = (String, ContainerState)>>(states: T) -> Self {
        Self(states.into_iter().collect())
    }
}

/// Why a runtime did not do what it was told to.
#[derive(Debug)]
pub enum Failure {
    /// It cannot do that.
    Refused(String),
    /// It has no room for that.
    NoSpace(String),
    /// Nothing is known of what became of it.
    Away(String),
}

impl Failure {
    /// What a client is told, of what could not be done.
    pub fn status(&self, what: &str) -> Status {
        let code = match self {
            Self::Refused(_) | Self::Away(_) => Code::Unavailable,
            Self::NoSpace(_) => Code::ResourceExhausted,
        };
        Status::new(code, format!("{what}: {self}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::NoSpace(why) | Self::Away(why) => to.write_str(why),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// What runs the containers of one control processor. What has a body here is nothing to the emulated one, whose images
/// and volumes are what the store holds.
#[tonic::async_trait]
pub trait ContainerRuntime: Send + Sync {
    /// The states of all that it was told to start.
    async fn states(&self) -> Result<States, Failure>;

    /// Whether a container runs.
    async fn runs(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.states().await?.runs(name))
    }

    /// Starts a container. `life` ends when the control processor falls.
    async fn start(&self, container: &Container, life: CancellationToken) -> Result<(), Failure>;

    /// Ends a container, and returns once its ports are free.
    async fn stop(&self, name: &str, how: Stop) -> Result<(), Failure>;

    /// Ends all, as a control processor's fall does.
    async fn stop_all(&self);

    /// Ends a container at once, and forgets it.
    async fn remove(&self, name: &str) -> Result<(), Failure> {
        self.stop(name, Stop::AtOnce).await
    }

    /// What a container says. None: its record has it.
    fn log(&self, _name: &str, _follow: bool) -> Option<LogStream> {
        None
    }

    /// Takes an image in, of its archive.
    async fn add_image(&self, _image: &Image, _archive: &Archive) -> Result<(), Failure> {
        Ok(())
    }

    async fn remove_image(&self, _id: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn add_volume(&self, _name: &str) -> Result<(), Failure> {
        Ok(())
    }

    async fn remove_volume(&self, _name: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// Makes the standby's runtime hold what its store has, and no container.
    async fn hold(&self, _inventory: &Inventory) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes over what the volumes of the other control processor hold, whose containers have ended.
    async fn copy_from_peer(&self, _volumes: &[String]) -> Result<(), Failure> {
        Ok(())
    }

    /// The next container that ended by itself, and stays so.
    async fn next_ending(&self) -> String {
        std::future::pending().await
    }

    /// Lets go of all that nothing else keeps, once all has ended.
    async fn power_off(&self) {}
}
