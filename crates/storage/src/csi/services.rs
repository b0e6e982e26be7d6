//! The services of a plugin as they are asked, and whether it is up.

use std::time::{Duration, Instant};

use tonic::Code;

use super::calls::Caller;
use super::endpoint::Endpoint;
use super::rpc::{Rpc, may_be_starting};
use holdfast_net::dial::Connection;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_net::waiting::blocking;
use holdfast_wire::csi;
use holdfast_wire::csi::controller_client::ControllerClient;
use holdfast_wire::csi::identity_client::IdentityClient;
use holdfast_wire::csi::node_client::NodeClient;

/// For a plugin to say who it is, before another is asked; when all have been, twice as long.
pub const ATTEMPT: Duration = Duration::from_secs(1);
/// And however often it was asked.
const LONGEST: Duration = Duration::from_secs(600);
/// From one of them to the next.
const LOOK: Duration = Duration::from_millis(20);
/// An answer may have so many bytes: what is too large is told by us, and not by a code that a driver may use too.
const LARGEST: usize = 64 << 20;

pub fn identity(connection: Connection) -> IdentityClient<Connection> {
    identity_within(LARGEST, connection)
}

pub fn controller(connection: Connection) -> ControllerClient<Connection> {
    controller_within(LARGEST, connection)
}

pub fn node(connection: Connection) -> NodeClient<Connection> {
    node_within(LARGEST, connection)
}

/// Whose answers have so many bytes at most.
pub fn identity_within(largest: usize, connection: Connection) -> IdentityClient<Connection> {
    let origin = connection.origin();
    IdentityClient::with_origin(connection, origin).max_decoding_message_size(largest)
}

/// The same.
pub fn controller_within(largest: usize, connection: Connection) -> ControllerClient<Connection> {
    let origin = connection.origin();
    ControllerClient::with_origin(connection, origin).max_decoding_message_size(largest)
}

/// The same.
pub fn node_within(largest: usize, connection: Connection) -> NodeClient<Connection> {
    let origin = connection.origin();
    NodeClient::with_origin(connection, origin).max_decoding_message_size(largest)
}

pub fn probe(caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<()> {
    let answer = caller.ask_once(socket, Rpc::Probe, deadline, async |connection| {
        identity(connection).probe(csi::ProbeRequest {}).await
    })?;
    match answer.ready {
        Some(false) => Err(Error::new(Kind::Status(Code::Unavailable), "the plugin says that it is not ready")),
        _ => Ok(()),
    }
}

/// Waits until a plugin says that it is ready. Each attempt may take longer than the last: whether it hangs or takes its
/// time is not known.
pub fn ready(caller: &Caller, socket: &Endpoint, deadline: Instant) -> Result<()> {
    let mut limit = ATTEMPT;
    let last_attempt = deadline.checked_sub(ATTEMPT).unwrap_or(deadline);
    blocking::until(last_attempt, LOOK, || {
        let answer = probe(caller, socket, deadline.min(Instant::now() + limit));
        limit = limit.saturating_mul(2).min(LONGEST); // who refuses at once is asked often
        match answer {
            Err(error) if may_be_starting(&error) => Err(error),
            answer => Ok(answer),
        }
    })?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csi::calls::Calls;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_plugin_whose_socket_comes_late_is_waited_for_to_the_end() {
        let caller = Caller::new(Calls::default());
        let socket = Endpoint::Unix("/nowhere/plugin.sock".into());
        let deadline = Instant::now() + ATTEMPT + LOOK * 90; // more looks than a second can be doubled
        let late = tokio::task::block_in_place(|| ready(&caller, &socket, deadline));
        let error = late.expect_err("nobody is there");
        assert!(matches!(error.kind, Kind::Connect(_)), "{error}");
    }
}
