//! Reaching a target and keeping it: addresses, transport, dialling through an outage, and the session on top.

mod alerts;
pub mod answer;
mod attempt;
mod call;
mod certificate;
mod certificate_files;
pub mod connection;
mod connections;
pub mod connector;
pub mod credentials;
mod dialler;
mod following;
mod guard;
mod patience;
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
pub use following::{Following, Next, OnLoss, Opened, Opener, ResumeLimits, Resumed};
pub use guard::GRACE;
pub use proxy::Proxy;
pub use session::{Session, Settings};
pub use target::{Address, Security, Target};
pub use timeline::{Event, EventKind, Field, Fields, Timeline};
pub use tls::Tls;
