//! The sign of life that a silent peer is asked for.

use http::{HeaderValue, Request, Uri, header};
use hyper::client::conn::http2::SendRequest;
use tokio::sync::watch;
use tonic::body::Body;

use super::{Credentials, answer};

/// The question is a call whose headers are all there is of it, for they are under no flow control: a peer that takes
/// no more of an upload for a while can answer it. Any answer is bytes from the peer, an error too.
pub(super) fn ask(
    mut send: SendRequest<Body>,
    origin: &Uri,
    credentials: Option<&Credentials>,
    user_agent: &'static str,
    mut lost: watch::Receiver<Option<String>>,
) {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = http::Method::POST;
    let path = "/gnoi.system.System/Time";
    let Ok(uri) = format!("{}{path}", origin.to_string().trim_end_matches('/')).parse() else { return };
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(user_agent));
    if let Some(credentials) = credentials {
        credentials.apply(headers);
    }
    let sent = send.try_send_request(request);
    tokio::spawn(async move {
        let nobody_has_it = async { while lost.changed().await.is_ok() {} };
        tokio::select! {
            _ = answer::read(path, sent) => {}
            () = nobody_has_it => {}
        }
    });
}
