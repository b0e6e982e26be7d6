//! The upload's three parts, for `benches/run.py`: a server that discards, our sender, and a bare tonic stream.
//!
//! `serve CHUNK` prints where it listens; `send ADDRESS FILE`, `lockstep ADDRESS FILE` and `bare ADDRESS FILE` print
//! seconds and peak KiB.

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use holdfast::dial::{Security, Session, Settings, Target};
use holdfast::gnoi::Containerz;
use holdfast::gnoi::containerz::Deployment;
use holdfast::image::Source;
use holdfast::serve;
use holdfast::wire::gnoi::containerz::deploy_request::Request as Asked;
use holdfast::wire::gnoi::containerz::deploy_response::Response as Answer;
use holdfast::wire::gnoi::containerz::{
    DeployRequest, DeployResponse, ImageTransfer, ImageTransferEnd, ImageTransferProgress, ImageTransferReady,
    ImageTransferSuccess,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

const CHUNK: usize = 3_000_000;
const DEPLOY: &str = "/gnoi.containerz.Containerz/Deploy";

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let began = Instant::now();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", chunk] => return discard(chunk.parse().expect("a size")).await,
        ["send", address, file] => send(address, file, false).await,
        ["lockstep", address, file] => send(address, file, true).await,
        ["bare", address, file] => bare(address, file).await,
        _ => return println!("run it through `nox -s bench`"),
    }
    println!("{} {}", began.elapsed().as_secs_f64(), peak_kib());
}

async fn send(address: &str, file: &str, lockstep: bool) {
    let target = Target::parse(address, Security::Plaintext).expect("an address");
    let session = Session::connect(target, Settings::default()).await.expect("a session");
    let source = Source::file(PathBuf::from(file)).expect("a file");
    let deployment = Deployment { lockstep, ..Deployment::image(source, "bench", "v1") };
    let deadline = session.deadline(Some(Duration::from_secs(600)));
    Containerz::new(session).deploy(&deployment, deadline).await.expect("a transfer");
}

/// The same bytes with nothing of ours around them.
async fn bare(address: &str, file: &str) {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = channel.connect().await.expect("a channel");
    let (requests, outgoing) = mpsc::channel(2);
    let file = file.to_owned();
    std::thread::spawn(move || {
        let message = |request| DeployRequest { request: Some(request) };
        let first = message(Asked::ImageTransfer(ImageTransfer { name: "bench".into(), ..Default::default() }));
        requests.blocking_send(first).expect("a receiver");
        let mut file = std::fs::File::open(file).expect("a file");
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).expect("bytes");
            if chunk.is_empty() {
                break;
            }
            requests.blocking_send(message(Asked::Content(chunk.into()))).expect("a receiver");
        }
        requests.blocking_send(message(Asked::ImageTransferEnd(ImageTransferEnd {}))).expect("a receiver");
    });
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.expect("a channel");
    let codec = ProstCodec::<DeployRequest, DeployResponse>::default();
    let outgoing = Request::new(ReceiverStream::new(outgoing));
    let answers = grpc.streaming(outgoing, PathAndQuery::from_static(DEPLOY), codec).await.expect("a stream");
    let mut answers = answers.into_inner();
    while answers.message().await.expect("an answer").is_some() {}
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Serves Deploy and forgets every byte.
async fn discard(chunk_size: i32) {
    let listener = serve::listen(([127, 0, 0, 1], 0).into()).expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve::connection(stream, Discard(chunk_size), CancellationToken::new()));
    }
}

#[derive(Clone)]
struct Discard(i32);

impl tonic::codegen::Service<tonic::codegen::http::Request<tonic::body::Body>> for Discard {
    type Response = tonic::codegen::http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::codegen::http::Request<tonic::body::Body>) -> Self::Future {
        let forget = Forget(self.0);
        Box::pin(async move {
            if request.uri().path() != DEPLOY {
                return Ok(Status::new(Code::Unimplemented, "only Deploy").into_http());
            }
            let codec = ProstCodec::<DeployResponse, DeployRequest>::default();
            let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(8 << 20);
            Ok(grpc.streaming(forget, request).await)
        })
    }
}

#[derive(Clone)]
struct Forget(i32);

impl tonic::server::StreamingService<DeployRequest> for Forget {
    type Response = DeployResponse;
    type ResponseStream = ReceiverStream<Result<DeployResponse, Status>>;
    type Future = tonic::codegen::BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<DeployRequest>>) -> Self::Future {
        let (answers, stream) = mpsc::channel(4);
        let (chunk_size, mut bytes_received) = (self.0, 0);
        tokio::spawn(async move {
            let answer = |response| Ok(DeployResponse { response: Some(response) });
            let mut requests = request.into_inner();
            while let Ok(Some(message)) = requests.message().await {
                let response = match message.request {
                    Some(Asked::ImageTransfer(_)) => Answer::ImageTransferReady(ImageTransferReady { chunk_size }),
                    Some(Asked::Content(content)) => {
                        bytes_received += content.len() as u64;
                        Answer::ImageTransferProgress(ImageTransferProgress { bytes_received })
                    }
                    Some(Asked::ImageTransferEnd(_)) => Answer::ImageTransferSuccess(ImageTransferSuccess::default()),
                    None => continue,
                };
                let last = matches!(response, Answer::ImageTransferSuccess(_));
                if answers.send(answer(response)).await.is_err() || last {
                    return;
                }
            }
        });
        Box::pin(async move { Ok(Response::new(ReceiverStream::new(stream))) })
    }
}
