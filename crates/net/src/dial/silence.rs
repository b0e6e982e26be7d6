//! A peer that has gone silent under a pending call: it is asked for a sign of life.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderValue, Request, header};
use hyper::client::conn::http2::SendRequest;
use tonic::body::Body;

use super::answer;
use super::connection::{Connection, ConnectionState, USER_AGENT, Watched, WeakConnection};
use crate::waiting;

/// How many HTTP/2 pings a server takes, of a client that sends nothing else, before it ends the connection.
const PINGS: u32 = 3;

/// Asks a peer that has gone silent under a pending call for a sign of life, and suspects it to be gone without one.
pub(super) async fn watch(connection: WeakConnection, watched: Watched) {
    let Watched { patience, outage, .. } = watched;
    let mut asked_at = None;
    let mut pings = 0;
    loop {
        waiting::pause(patience.silence / 4).await;
        let Some(Connection { send, shared }) = connection.upgrade() else { return };
        if shared.lost.borrow().is_some() {
            return;
        }
        let silent = shared.traffic.silent_for();
        let now = tokio::time::Instant::now();
        if shared.pending.load(Ordering::Acquire) == 0 || silent < patience.silence {
            asked_at = None;
            shared.suspect(false);
            continue;
        }
        match asked_at {
            None => {
                let written = shared.traffic.written();
                if shared.closing.borrow().is_none() {
                    ask_for_a_sign(send, &shared);
                } else if pings < PINGS && silent >= patience.silence * 10_u32.pow(pings) {
                    // One that wants no further calls answers a ping, but does not take many.
                    pings += 1;
                    shared.traffic.ping();
                } else if !outage.is_expected() {
                    continue;
                }
                asked_at = Some((now, written));
            }
            Some((asked, written)) if now - asked >= patience.answer => {
                if outage.is_expected() {
                    shared.abandon(&shared.silence());
                    return;
                }
                let left = shared.traffic.written() > written || shared.traffic.is_blocked();
                // One that takes no more calls at a time was not asked: its silence says nothing.
                shared.suspect(left);
                if !left && shared.closing.borrow().is_some() {
                    asked_at = None; // only the question showed that it wants no further calls
                }
            }
            Some(_) => {}
        }
    }
}

/// The question is a call whose headers are all there is of it, for they are under no flow control: a peer that takes
/// no more of an upload for a while can answer it. Any answer is bytes from the peer, an error too.
pub(super) fn ask_for_a_sign(mut send: SendRequest<Body>, shared: &Arc<ConnectionState>) {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = http::Method::POST;
    let path = "/gnoi.system.System/Time";
    let Ok(uri) = format!("{}{path}", shared.origin.to_string().trim_end_matches('/')).parse() else { return };
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(credentials) = &shared.credentials {
        credentials.apply(headers);
    }
    let sent = send.try_send_request(request);
    let mut lost = shared.lost.subscribe();
    tokio::spawn(async move {
        let nobody_has_it = async { while lost.changed().await.is_ok() {} };
        tokio::select! {
            _ = answer::read(path, sent) => {}
            () = nobody_has_it => {}
        }
    });
}
