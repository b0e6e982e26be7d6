//! A container engine's plugin, as far as an engine needs it to call it enabled: its socket answers, and it implements
//! an interface of nobody's. HTTP/1.1 with JSON on a unix socket (Docker's plugin API).

use std::io;
use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

/// Serves the plugin's socket until this is dropped.
pub async fn serve(socket: &Path) -> io::Result<()> {
    if let Err(error) = std::fs::remove_file(socket)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (status, body) = match request.uri().path() {
        "/Plugin.Activate" => (200, r#"{"Implements":["holdfast.cntrsrv/1.0"]}"#),
        _ => (404, r#"{"Err":"this plugin does nothing"}"#),
    };
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let kind = http::HeaderValue::from_static("application/vnd.docker.plugins.v1.2+json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(answer)
}
