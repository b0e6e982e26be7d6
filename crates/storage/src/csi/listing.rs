//! The list of a driver's volumes, page by page.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tonic::Code;

use super::client::Csi;
use super::endpoint::Endpoint;
use super::messages::{checked, otherwise, size};
use super::rpc::{Next, Rpc};
use super::services::controller;
use crate::volumes::{Capability, Volume};
use holdfast_net::error::{Error, Result};
use holdfast_wire::csi;

/// A list may have so many pages.
const PAGES: usize = 10_000;
/// So often may a list begin anew because a token is not valid any more: volumes come and go meanwhile.
const RESTARTS: usize = 10;

impl Csi {
    /// All volumes, in pages of so many entries at most; 0 leaves that to the driver.
    pub(super) fn listed(&self, node: &str, entries: i32, deadline: Instant) -> Result<Vec<Volume>> {
        if !self.introduced.provider.capabilities.contains(&Capability::List) {
            return Ok(Vec::new());
        }
        let socket = if self.introduced.topology.is_empty() {
            self.any_controller(if self.options.nodes.len() > 1 { node } else { "" }, deadline)?
        } else {
            self.controller_at(node, deadline)? // that of another node may know the volumes of its own place alone
        };
        let mut restarts = 0;
        loop {
            match self.pages(&socket, entries, deadline) {
                // "Caller SHOULD start the `ListVolumes` operation again with an empty `starting_token`"
                Err(error) if error.code() == Some(Code::Aborted) && restarts < RESTARTS => restarts += 1,
                Err(error) if restarts > 0 => {
                    let message = format!("{} (begun {} times)", error.message, restarts + 1);
                    return Err(Error { message, ..error });
                }
                listed => return listed,
            }
        }
    }

    fn pages(&self, socket: &Endpoint, entries: i32, deadline: Instant) -> Result<Vec<Volume>> {
        let (mut volumes, mut token, mut tokens) = (Vec::new(), String::new(), BTreeSet::new());
        let wrong = |why: String| otherwise(why).during(&socket.to_string(), "ListVolumes", Duration::ZERO);
        loop {
            let list = csi::ListVolumesRequest { max_entries: entries, starting_token: token.clone() };
            let is_first = token.is_empty();
            let about = |error: &Error| match error.code() {
                Some(Code::Aborted) if !is_first => Next::Never, // the token is not valid
                _ => Rpc::ListVolumes.about(error),
            };
            let page = self.caller.ask_while(socket, Rpc::ListVolumes, deadline, about, async |connection| {
                controller(connection).list_volumes(list.clone()).await
            })?;
            let many = page.entries.len();
            if entries > 0 && many > usize::try_from(entries).unwrap_or(usize::MAX) {
                return Err(wrong(format!("a page of {entries} entries at most was asked for, and has {many}")));
            }
            for entry in page.entries {
                volumes.extend(self.entry(entry)?);
            }
            if page.next_token.is_empty() {
                return Ok(volumes);
            }
            let often = tokens.len() >= PAGES;
            if often || !tokens.insert(page.next_token.clone()) {
                let times = if often { format!("after {PAGES} pages") } else { "twice".to_owned() };
                let why = format!("the pages never end: ListVolumes gave the token {:?} {times}", page.next_token);
                return Err(wrong(why));
            }
            token = page.next_token;
        }
    }

    fn entry(&self, entry: csi::list_volumes_response::Entry) -> Result<Option<Volume>> {
        let tells_nodes = self.introduced.provider.capabilities.contains(&Capability::ListNodes);
        let nodes = entry.status.filter(|_| tells_nodes).map(|status| self.names_of(&status.published_node_ids));
        let Some(volume) = entry.volume else { return Ok(None) };
        Ok(Some(Volume {
            id: volume.volume_id,
            nodes,
            accessible: self.accessible(&volume.accessible_topology),
            bytes: size(volume.capacity_bytes, Rpc::ListVolumes)?,
            context: checked(volume.volume_context, "volume context")?,
            ..Volume::default()
        }))
    }

    /// The nodes of these ids: a list may have others too, "The CO MUST be resilient to that". Where no node is known, the
    /// ids are passed on.
    fn names_of(&self, ids: &[String]) -> Vec<String> {
        let known = |id: &String| {
            let own = self.introduced.ids.iter().find(|(_, known)| *known == id).map(|(name, _)| name.clone());
            if self.options.nodes.is_empty() { Some(id.clone()) } else { own }
        };
        ids.iter().filter_map(known).collect()
    }
}
