//! One request and its answer over HTTP/1.1.

use std::future::{Future, ready};
use std::pin::pin;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinError;

use super::connection::root_cause;

/// Why no answer came, as far as it was said: an alert of TLS, for one, that came before the request was sent, the
/// connection alone knows.
#[derive(Debug)]
pub struct NoAnswer {
    connection: Option<hyper::Error>,
    request: Option<hyper::Error>,
}

impl NoAnswer {
    /// Whether what came is no HTTP.
    pub fn is_parse(&self) -> bool {
        [&self.connection, &self.request].into_iter().flatten().any(hyper::Error::is_parse)
    }

    /// The cause, without what surrounds it.
    pub fn why(&self) -> String {
        self.said().map_or_else(|| "the peer closed the connection".to_owned(), |error| root_cause(error))
    }

    fn said(&self) -> Option<&hyper::Error> {
        self.connection.as_ref().or(self.request.as_ref())
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.why())
    }
}

impl std::error::Error for NoAnswer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.said().map(|error| error as _)
    }
}

/// Sends `request`, and waits for its answer for as long as `connection` goes on. A request that is sent while the
/// connection ends may lie between the two, where nobody takes it and nobody refuses it.
pub async fn answer<B>(
    mut send: SendRequest<B>,
    request: Request<B>,
    connection: &mut (impl Future<Output = Result<hyper::Result<()>, JoinError>> + Unpin),
) -> Result<Response<Incoming>, NoAnswer>
where
    B: Body + 'static,
{
    let (answer, ended) = {
        let mut asked = pin!(send.send_request(request));
        tokio::select! {
            biased;
            answer = &mut asked => (Some(answer), None),
            // the answer may have come just before the end
            ended = &mut *connection => tokio::select! {
                biased;
                answer = asked => (Some(answer), Some(ended)),
                () = ready(()) => (None, Some(ended)),
            },
        }
    };
    let request = match answer {
        Some(Ok(answer)) => return Ok(answer),
        Some(Err(error)) => Some(error),
        None => None,
    };
    drop(send);
    let ended = match ended {
        Some(ended) => ended,
        None => connection.await,
    };
    Err(NoAnswer { connection: ended.ok().and_then(Result::err), request })
}
