//! An error before the first message of a stream ends with its status in the headers themselves ("trailers-only"), as
//! servers in Go send it: an empty frame of data behind them would be an end without a status for a client in Go.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use holdfast::emulator::{self, Chassis, Quirk};
use holdfast::wire::gnmi::{Encoding, SubscribeRequest, SubscriptionList, subscribe_request};
use holdfast::wire::gnoi::containerz::list_image_request::Filter as ImageFilter;
use holdfast::wire::gnoi::containerz::{
    DeployRequest, ImageTransfer, ListContainerRequest, ListImageRequest, ListVolumeRequest, LogRequest,
    deploy_request, list_container_request, list_volume_request,
};
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;

const LIMIT: Duration = Duration::from_secs(20);

/// What came before the body.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: Option<String>,
    /// Whether the frame of the headers is the last of the stream.
    ends: bool,
}

fn framed(message: &impl Message) -> Bytes {
    let content = message.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(content.len()).expect("a small message"));
    frame.put_slice(&content);
    frame.freeze()
}

async fn ask(chassis: &Chassis, path: &str, request: Bytes) -> Head {
    let asked = async {
        let stream = TcpStream::connect(chassis.address()).await.expect("a connection");
        let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let driver = tokio::spawn(connection);
        let mut client = client.ready().await.expect("room for a stream");
        let head = http::Request::post(format!("http://{}{path}", chassis.address()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        let (response, mut body) = client.send_request(head, false).expect("a stream");
        let _ = body.send_data(request, true); // who refuses at once may have ended the stream by now
        let response = response.await.expect("headers");
        let status = response.headers().get("grpc-status");
        let head = Head {
            status: status.map(|status| status.to_str().expect("a number").to_owned()),
            ends: response.body().is_end_stream(),
        };
        driver.abort();
        head
    };
    timeout(LIMIT, asked).await.unwrap_or_else(|_| panic!("{path}: no headers"))
}

fn ended(code: Code) -> Head {
    Head { status: Some((code as i32).to_string()), ends: true }
}

async fn device(quirks: &[Quirk]) -> Chassis {
    let settings = emulator::Settings { quirks: quirks.to_vec(), ..emulator::Settings::default() };
    Chassis::start(settings).await.expect("a chassis")
}

/// Each streaming RPC with a request that is refused, and the status of the refusal.
fn refused() -> Vec<(&'static str, Bytes, Code)> {
    let containers = list_container_request::Filter { key: "colour".to_owned(), value: vec!["blue".to_owned()] };
    let volumes = list_volume_request::Filter { key: "colour".to_owned(), value: vec!["blue".to_owned()] };
    let images = ImageFilter { key: "colour".to_owned(), value: vec!["blue".to_owned()] };
    let content = deploy_request::Request::Content(Bytes::from_static(b"x"));
    let nameless = deploy_request::Request::ImageTransfer(ImageTransfer::default());
    let list = SubscriptionList { encoding: Encoding::Bytes as i32, ..SubscriptionList::default() };
    let list = subscribe_request::Request::Subscribe(list);
    vec![
        (
            "/gnoi.containerz.Containerz/ListImage",
            framed(&ListImageRequest { filter: vec![images], ..ListImageRequest::default() }),
            Code::Unknown,
        ),
        (
            "/gnoi.containerz.Containerz/ListContainer",
            framed(&ListContainerRequest { filter: vec![containers], ..ListContainerRequest::default() }),
            Code::Unknown,
        ),
        ("/gnoi.containerz.Containerz/ListVolume", framed(&ListVolumeRequest { filter: vec![volumes] }), Code::Unknown),
        (
            "/gnoi.containerz.Containerz/Log",
            framed(&LogRequest { instance_name: "nobody".to_owned(), follow: true }),
            Code::NotFound,
        ),
        ("/gnoi.containerz.Containerz/Deploy", framed(&DeployRequest { request: Some(content) }), Code::Unavailable),
        (
            "/gnoi.containerz.Containerz/Deploy",
            framed(&DeployRequest { request: Some(nameless) }),
            Code::InvalidArgument,
        ),
        (
            "/gnmi.gNMI/Subscribe",
            framed(&SubscribeRequest { request: Some(list), ..SubscribeRequest::default() }),
            Code::Unimplemented,
        ),
        ("/gnoi.containerz.Containerz/NoSuchRpc", framed(&LogRequest::default()), Code::Unimplemented),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_before_the_first_message_is_told_by_the_headers() {
    let chassis = device(&[Quirk::FiltersRejected]).await;
    for (path, request, code) in refused() {
        assert_eq!(ask(&chassis, path, request).await, ended(code), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_that_a_failpoint_makes() {
    let chassis = device(&[]).await;
    for (path, request, _) in refused().into_iter().take(6) {
        let rpc = path.rsplit('/').next().expect("an RPC");
        chassis.failpoints().arm(&format!("containerz.{rpc}"), "1*error[ABORTED](no)").expect("a failpoint");
        assert_eq!(ask(&chassis, path, request).await, ended(Code::Aborted), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_its_status_behind_its_messages() {
    let chassis = device(&[]).await;
    let head = ask(&chassis, "/gnoi.containerz.Containerz/ListImage", framed(&ListImageRequest::default())).await;
    assert_eq!(head, Head { status: None, ends: false });
}
