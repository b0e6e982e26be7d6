//! Starting and ending what a lab runs of its own.

use std::time::Instant;

use super::faults::end_process;
use super::namespace::Namespace;
use super::nodes::Namespaces;
use holdfast_net::error::{Error, Result};

impl Namespaces {
    /// Starts one of the lab's own by a shell's line.
    pub(super) fn start_part(&self, namespace: &Namespace, name: &str, command: &str) -> Result<()> {
        let started = self.start_in(namespace, name, command, None)?;
        self.parts.change(|parts| parts.insert(name.to_owned(), started));
        Ok(())
    }

    /// Ends one on a node by a signal.
    pub(super) fn end_part(&self, node: &str, name: &str, signal: &str, deadline: Instant) -> Result<()> {
        let pid = self.expect_end(name)?;
        self.within(node, |namespace| end_process(namespace, &pid, signal, deadline))
    }

    /// Ends one on the server by a signal.
    pub(super) fn end_part_of_server(&self, name: &str, signal: &str, deadline: Instant) -> Result<()> {
        let pid = self.expect_end(name)?;
        self.on_server(|server| end_process(server, &pid, signal, deadline))
    }

    /// The process of one that shall end.
    fn expect_end(&self, name: &str) -> Result<String> {
        let pid = self.pid_of(name)?;
        self.parts.change(|parts| parts.remove(name));
        Ok(pid)
    }

    /// One of a node's or of the server's that ended by itself.
    pub(super) fn ended_part(&self, node: &str) -> Option<Error> {
        let (name, status) = ["server", node].into_iter().find_map(|folder| self.parts.ended_in(folder))?;
        Some(Error::lab(self.how_it_ended(&name, &format!("{name} of the lab"), status)))
    }
}
