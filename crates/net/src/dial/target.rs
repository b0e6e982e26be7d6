//! Where a device is reached, and how.

use std::fmt;
use std::str::FromStr;

use super::Credentials;
use super::tls::Tls;
use crate::error::Error;

/// The port that IANA gave gNMI and gNOI.
pub const DEFAULT_PORT: u16 = 9339;

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

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// A DNS name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad =
            |why: &str| Error::invalid(format!("address {text:?}: {why}")).hint("write HOST, HOST:PORT or [IPV6]:PORT");
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| bad("the bracket is never closed"))?;
                (host, after.strip_prefix(':').or(if after.is_empty() { None } else { Some("?") }))
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.contains(['/', ' ', '@']) {
            return Err(bad("the host is missing or has characters no host has"));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) => match digits.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(bad("the port must be a number from 1 to 65535")),
            },
        };
        Ok(Self { host: host.to_owned(), port })
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
}

impl Target {
    /// Reads `HOST[:PORT][,HOST[:PORT]…]`.
    pub fn parse(text: &str, security: Security) -> Result<Self, Error> {
        let addresses = text.split(',').map(|part| part.trim().parse()).collect::<Result<Vec<Address>, _>>()?;
        Ok(Self { name: text.to_owned(), addresses, security, credentials: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_print() {
        for (text, printed) in [
            ("lab", "lab:9339"),
            ("lab:57400", "lab:57400"),
            ("[::1]:6030", "[::1]:6030"),
            ("[fd01::1]", "[fd01::1]:9339"),
            ("fd01::1", "[fd01::1]:9339"),
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), printed);
        }
    }

    #[test]
    fn bad_addresses_are_refused_with_what_to_write() {
        for text in ["", ":9339", "lab:", "lab:0", "lab:99999", "[::1", "[::1]x", "http://lab", "a b"] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.hint.is_some(), "{text}");
        }
    }

    #[test]
    fn a_target_may_have_several_addresses() {
        let target = Target::parse("10.0.0.1, 10.0.0.2:6030", Security::Plaintext).expect("two addresses");
        assert_eq!(target.addresses.len(), 2);
        assert_eq!(target.addresses[1].port, 6030);
    }
}
