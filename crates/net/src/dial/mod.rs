//! Reaching a target and keeping it: addresses, transport, dialling through an outage, and the session on top.

mod alerts;
pub mod answer;
mod call;
mod certificate;
mod certificate_files;
pub mod connection;
pub mod connector;
pub mod credentials;
mod dialler;
mod guard;
mod proxy;
pub mod session;
pub mod target;
pub mod timeline;
pub mod tls;
mod tls_failure;
mod traffic;
pub mod trust;
mod verify;

pub use call::{Call, Repeat};
pub use connection::Connection;
pub use connector::{BoxedIo, Connector, Tcp};
pub use credentials::Credentials;
pub use dialler::open;
pub use proxy::Proxy;
pub use session::{Session, Settings};
pub use target::{Address, Security, Target};
pub use timeline::{Event, EventKind, Field, Fields, Timeline};
pub use tls::Tls;
