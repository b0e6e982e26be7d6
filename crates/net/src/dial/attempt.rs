//! One try of a call, on one connection.

use std::future::Future;
use std::pin::Pin;

use tokio::time::Instant;
use tonic::Status;

use super::answer::{is_of_go_away, is_transport, is_unprocessed, unless_it_panics};
use super::connection::{Pending, root_cause};
use super::{Call, Connection};
use crate::waiting::{pause, reached};
use holdfast_wire::gnoi::system::TimeRequest;
use holdfast_wire::gnoi::system::system_client::SystemClient;

/// How long a peer may be silent that is asked whether it is there.
const QUESTION: std::time::Duration = std::time::Duration::from_secs(2);

/// What came of a try.
pub enum Outcome {
    /// The peer, or something between, answered.
    Answered(Result<(), Status>),
    /// The peer did certainly not take it.
    Unprocessed(String),
    /// The connection was lost first, or given up.
    Lost(String),
    /// The call's deadline came first.
    TooLate,
}

/// A call under way: it leaves its answer with whoever made it.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<(), Status>> + Send + 'a>>;

/// Sends a call on a connection. Of one type for all calls: what goes on around a call is compiled once, and not for each.
pub type Sending<'a> = dyn Fn(Connection) -> Answering<'a> + Send + Sync + 'a;

/// A call that was sent on one connection and is not over.
pub struct Attempt<'a> {
    call: Call,
    connection: Connection,
    began: Instant,
    /// The newest stream before it.
    opened: u32,
    answer: Answering<'a>,
    _pending: Pending,
}

impl<'a> Attempt<'a> {
    /// Sends it.
    pub fn begin(call: Call, connection: &Connection, send: &Sending<'a>) -> Self {
        Self {
            call,
            connection: connection.clone(),
            began: Instant::now(),
            opened: connection.opened(),
            answer: Box::pin(unless_it_panics(send(connection.clone()))),
            _pending: connection.pending(),
        }
    }

    /// Waits for what comes of it.
    pub async fn outcome(&mut self) -> Outcome {
        let Self { call, connection, began, opened, answer, .. } = self;
        let impatience = async {
            match call.attempt {
                None => std::future::pending().await,
                Some(limit) => loop {
                    let silent = connection.silent_for().min(began.elapsed());
                    if silent >= limit {
                        return format!("no answer for {:.1} s", silent.as_secs_f64());
                    }
                    pause(limit.checked_sub(silent).unwrap_or_default()).await;
                },
            }
        };
        tokio::select! {
            biased;
            answer = answer => sorted(connection, *opened, answer),
            why = connection.lost() => Outcome::Lost(why),
            () = reached(call.deadline) => Outcome::TooLate,
            why = impatience => Outcome::Lost(why),
        }
    }
}

/// Asks what any device answers. It goes by this connection alone, as a change does: the answer says something of it.
pub async fn ask_time(connection: &Connection, deadline: Instant) -> Outcome {
    let question = Call::write("System.Time", deadline).probing(QUESTION);
    let ask = |connection: Connection| -> Answering<'static> {
        Box::pin(async move {
            let origin = connection.origin();
            SystemClient::with_origin(connection, origin).time(TimeRequest {}).await.map(drop)
        })
    };
    Attempt::begin(question, connection, &ask).outcome().await
}

/// An answer, or the loss of the connection that kept it away. `opened` was the newest stream before the call.
fn sorted(connection: &Connection, opened: u32, answer: Result<(), Status>) -> Outcome {
    // hyper gives up with the same error what it began in the moment in which the peer's farewell came, which may have let
    // it in: only the number in that tells.
    let shut_out = |status: &Status| is_of_go_away(status) && connection.takes_none_above(opened);
    match answer {
        Err(status) if is_unprocessed(&status) || shut_out(&status) => Outcome::Unprocessed(root_cause(&status)),
        Err(status) if connection.loss().is_some() || is_transport(&status) => {
            Outcome::Lost(connection.loss().unwrap_or_else(|| root_cause(&status)))
        }
        answer => Outcome::Answered(answer),
    }
}
