//! Addresses of devices and proxies: a host, by name or address, and a port.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::error::Error;

/// The port that IANA gave gNMI and gNOI.
pub const DEFAULT_PORT: u16 = 9339;

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// A DNS name, an IPv4 address, or an IPv6 address without brackets, perhaps with a `%ZONE`.
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

impl Address {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address, each with or without a `%ZONE` behind an
    /// IPv6 address; `port` is its port where it says none.
    pub(super) fn parse(text: &str, port: u16) -> Result<Self, Error> {
        let bad =
            |why: &str| Error::invalid(format!("address {text:?}: {why}")).hint("write HOST, HOST:PORT or [IPV6]:PORT");
        let (host, written) = match text.strip_prefix('[') {
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
        let port = match written {
            None => port,
            Some(digits) => match digits.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(bad("the port must be a number from 1 to 65535")),
            },
        };
        let host = match host.split_once('%') {
            None => host.to_owned(),
            Some((_, "")) => return Err(bad("the zone behind % is missing")),
            Some((address, _)) if address.parse::<Ipv6Addr>().is_err() => {
                return Err(bad("only an IPv6 address has a zone behind a %"));
            }
            // URLs write the % of a zone as %25.
            Some((address, zone)) => match zone.strip_prefix("25") {
                Some(decoded) if decoded.starts_with(|first: char| !first.is_ascii_digit()) => {
                    format!("{address}%{decoded}")
                }
                _ => host.to_owned(),
            },
        };
        Ok(Self { host, port })
    }

    /// The host as others know it: a zone says only which of this machine's interfaces leads there.
    pub fn name(&self) -> &str {
        without_zone(&self.host)
    }

    /// The zone of an IPv6 address, if it has one.
    pub fn zone(&self) -> Option<&str> {
        self.host.split_once('%').map(|(_, zone)| zone)
    }

    /// Host and port as HTTP has them, without a zone.
    pub fn authority(&self) -> String {
        Self { host: self.name().to_owned(), port: self.port }.to_string()
    }

    /// Whether it is an IPv6 address that means something on one link alone, and the link is not said.
    pub fn misses_zone(&self) -> bool {
        self.host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_unicast_link_local())
    }
}

/// A host without brackets, and without the zone of an IPv6 address.
pub(super) fn without_zone(host: &str) -> &str {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match bare.split_once('%') {
        Some((address, _)) if address.contains(':') => address,
        _ => bare,
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text, DEFAULT_PORT)
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
            ("[fe80::1%eth0]:6030", "[fe80::1%eth0]:6030"),
            ("fe80::1%2", "[fe80::1%2]:9339"),
            ("[fe80::1%25eth0]", "[fe80::1%eth0]:9339"),
            ("[fe80::1%251]", "[fe80::1%251]:9339"),
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), printed);
        }
    }

    #[test]
    fn bad_addresses_are_refused_with_what_to_write() {
        for text in [
            "",
            ":9339",
            "lab:",
            "lab:0",
            "lab:99999",
            "[::1",
            "[::1]x",
            "http://lab",
            "a b",
            "[fe80::1%]",
            "lab%eth0",
            "10.0.0.1%eth0",
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.hint.is_some(), "{text}");
        }
    }

    #[test]
    fn a_zone_is_for_this_machine_alone() {
        let address: Address = "[fe80::1%eth0]:6030".parse().expect("an address");
        assert_eq!((address.name(), address.zone()), ("fe80::1", Some("eth0")));
        assert_eq!(address.authority(), "[fe80::1]:6030");
        assert!(!address.misses_zone());
        assert!("fe80::1".parse::<Address>().expect("an address").misses_zone());
        assert_eq!(without_zone("[fe80::1%eth0]"), "fe80::1");
        assert_eq!(without_zone("a.example"), "a.example");
    }
}
