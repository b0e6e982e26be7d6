//! Where a device is reached, and how.

use super::tls::Tls;
use super::{Address, Credentials, Proxy};
use crate::error::Error;

/// How a connection is protected.
#[derive(Debug, Clone)]
pub enum Security {
    /// No TLS at all.
    Plaintext,
    /// TLS, with what it takes to trust the target.
    Tls(Tls),
}

impl Security {
    /// TLS whose certificate nobody checks, such as the test container's own port's.
    pub fn unverified() -> Self {
        Self::Tls(Tls::unverified())
    }
}

/// One device: its addresses (one shared, or one for each control processor), and how to log in.
#[derive(Debug, Clone)]
pub struct Target {
    /// What reports call it.
    pub name: String,
    /// Tried in turn.
    pub addresses: Vec<Address>,
    /// Transport security.
    pub security: Security,
    /// Sent as metadata with each call.
    pub credentials: Option<Credentials>,
    /// By whom the addresses are reached; straight, without one.
    pub proxy: Option<Proxy>,
}

impl Target {
    /// Reads `HOST[:PORT][,HOST[:PORT]…]`.
    pub fn parse(text: &str, security: Security) -> Result<Self, Error> {
        let addresses = text.split(',').map(|part| part.trim().parse()).collect::<Result<Vec<Address>, _>>()?;
        Ok(Self { name: text.to_owned(), addresses, security, credentials: None, proxy: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_have_several_addresses() {
        let target = Target::parse("10.0.0.1, 10.0.0.2:6030", Security::Plaintext).expect("two addresses");
        assert_eq!(target.addresses.len(), 2);
        assert_eq!(target.addresses[1].port, 6030);
    }
}
