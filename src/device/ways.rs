//! What a vendor does in its own way, as far as this code must know.

/// A device's ways. The default is the contract's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// A control processor is named by its bare name, without the path to it (tried second otherwise).
    pub name_only: bool,
    /// Where containers' ports are, if not on the device's own address.
    pub container_host: Option<String>,
    /// After a switchover, no connection from before it is any good, even if it lives.
    pub fresh_connection: bool,
}
