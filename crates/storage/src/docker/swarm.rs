//! A Swarm over the nodes, as its manager tells of it.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bollard::errors::Error as Refusal;
use bollard::models::{NodeState, ServiceSpec, SwarmInitRequest, SwarmJoinRequest, Task};
use bollard::query_parameters::{ListNodesOptions, ListServicesOptionsBuilder, ListTasksOptionsBuilder};

use super::engine::Engine;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For one question to the manager.
const QUESTION: Duration = Duration::from_secs(5);

/// A Swarm.
#[derive(Clone)]
pub struct Swarm {
    manager: Engine,
}

impl Swarm {
    /// The Swarm that this engine manages.
    pub fn of(manager: Engine, deadline: Instant) -> Result<Self> {
        let swarm = manager.info(deadline)?.swarm.unwrap_or_default();
        if swarm.control_available == Some(true) {
            return Ok(Self { manager });
        }
        Err(Error::invalid("the engine manages no Swarm").hint("give the address of a manager: docker swarm init"))
    }

    /// A new Swarm of one manager at this address.
    pub fn init(manager: Engine, address: &str, deadline: Instant) -> Result<Self> {
        let request = SwarmInitRequest {
            listen_addr: Some(format!("{address}:2377")),
            advertise_addr: Some(address.to_owned()),
            ..SwarmInitRequest::default()
        };
        manager.call("swarm init", deadline, manager.api().init_swarm(request))?;
        Ok(Self { manager })
    }

    /// An engine joins as a worker, from its own address.
    pub fn join(&self, engine: &Engine, manager: &str, address: &str, deadline: Instant) -> Result<()> {
        let inspected = self.manager.call("swarm inspect", deadline, self.manager.api().inspect_swarm())?;
        let request = SwarmJoinRequest {
            listen_addr: Some(format!("{address}:2377")),
            advertise_addr: Some(address.to_owned()),
            remote_addrs: Some(vec![format!("{manager}:2377")]),
            join_token: inspected.join_tokens.and_then(|tokens| tokens.worker),
            ..SwarmJoinRequest::default()
        };
        engine.call("swarm join", deadline, engine.api().join_swarm(request))
    }

    /// The hostnames of the nodes that the manager calls ready.
    pub fn ready(&self, deadline: Instant) -> Result<BTreeSet<String>> {
        let listed = self.manager.call("list nodes", deadline, self.manager.api().list_nodes(None::<ListNodesOptions>));
        let ready = listed?
            .into_iter()
            .filter(|node| node.status.as_ref().and_then(|status| status.state) == Some(NodeState::READY));
        Ok(ready.filter_map(|node| node.description?.hostname).collect())
    }

    /// Waits until the manager calls a node ready, or any longer ready.
    pub fn wait_ready(&self, node: &str, ready: bool, deadline: Instant) -> Result<()> {
        let what = format!("what the manager shall think of {node} ({})", if ready { "ready" } else { "down" });
        let waited = wait_until(deadline, &what, || {
            self.ready(Instant::now() + QUESTION).is_ok_and(|nodes| nodes.contains(node) == ready)
        });
        waited.map_err(Error::of_lab)
    }

    /// As [`Engine::late`], of the manager.
    pub fn late(&self, error: Error) -> Error {
        self.manager.late(error)
    }

    /// Makes a service.
    pub fn create(&self, service: ServiceSpec, deadline: Instant) -> Result<()> {
        self.manager.call("create a service", deadline, self.manager.api().create_service(service, None)).map(drop)
    }

    /// Removes a service, if it is there.
    pub fn remove(&self, service: &str, deadline: Instant) -> Result<()> {
        self.manager.settle("remove a service", deadline, self.manager.api().delete_service(service))
    }

    /// The task of a service with one replica that never restarts; none before the manager made it.
    pub fn task(&self, service: &str, deadline: Instant) -> Result<Option<Task>> {
        let filters = HashMap::from([("service".to_owned(), vec![service.to_owned()])]);
        let options = ListTasksOptionsBuilder::default().filters(&filters).build();
        let listing = self.manager.api().list_tasks(Some(options));
        match self.manager.ask("list tasks", deadline, listing)? {
            Ok(tasks) => Ok(tasks.into_iter().next()),
            // it says so of a service that is gone
            Err(Refusal::DockerResponseServerError { .. }) => Ok(None),
            Err(error) => Err(self.manager.refused(error, "list tasks")),
        }
    }

    /// The names of the services with these labels.
    pub fn labelled(&self, labels: &[String], deadline: Instant) -> Result<Vec<String>> {
        let filters = HashMap::from([("label".to_owned(), labels.to_vec())]);
        let options = ListServicesOptionsBuilder::default().filters(&filters).build();
        let found = self.manager.call("list services", deadline, self.manager.api().list_services(Some(options)))?;
        Ok(found.into_iter().filter_map(|service| service.spec?.name).collect())
    }
}
