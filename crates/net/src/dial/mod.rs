//! Reaching a target and keeping it: addresses, transport, dialling through an outage, and the session on top.

pub mod answer;
mod call;
pub mod connection;
pub mod connector;
pub mod credentials;
mod dialler;
mod guard;
pub mod session;
pub mod target;
pub mod timeline;
pub mod tls;
mod traffic;
pub mod trust;

pub use call::{Call, Repeat};
pub use connection::Connection;
pub use connector::{BoxedIo, Connector, Tcp};
pub use credentials::Credentials;
pub use session::{Session, Settings};
pub use target::{Address, Security, Target};
pub use timeline::{Event, EventKind, Field, Fields, Timeline};
pub use tls::Tls;
