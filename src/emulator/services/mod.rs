//! The services of a control processor.

mod containerz;
mod gnmi;
mod system;
mod tree;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::chassis::Inner;
use crate::wire::gnmi::g_nmi_server::GNmiServer;
use crate::wire::gnoi::containerz::containerz_server::ContainerzServer;
use crate::wire::gnoi::system::system_server::SystemServer;

/// All of them, for one control processor.
pub fn routes(chassis: &Arc<Inner>, index: usize) -> Routes {
    let containerz = ContainerzServer::new(containerz::Service::new(chassis.clone(), index));
    Routes::new(containerz.max_decoding_message_size(8 << 20))
        .add_service(SystemServer::new(system::Service::new(chassis.clone(), index)))
        .add_service(GNmiServer::new(gnmi::Service::new(chassis.clone(), index)))
}

/// Feeds a stream of answers. A control processor that falls ends none of its streams: they break with its sockets.
async fn feed<T>(life: CancellationToken, messages: mpsc::Sender<T>, work: impl Future<Output = ()>) {
    if life.run_until_cancelled(work).await.is_none() {
        messages.closed().await;
    }
}
