//! The entries of all tables, by network instance and by what identifies each.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use holdfast_wire::gribi::aft_entry::{Entry, Status};
use holdfast_wire::gribi::aft_operation::{Entry as Sent, Operation};
use holdfast_wire::gribi::{AftEntry, AftOperation, AftType};
use holdfast_wire::gribi_aft::afts::label_entry_key::Label;

/// Entries as they were sent. None is looked into but for its key, so that none is missed by another that names it.
#[derive(Default)]
pub struct Entries(BTreeMap<Place, Installed>);

/// The network instance, the table, and the key in it.
type Place = (String, AftType, Key);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    /// One of the labels that have names.
    Reserved(i32),
    Text(String),
}

struct Installed {
    entry: Entry,
    /// Who added or replaced it last.
    client: u64,
    in_fib: bool,
}

impl Entries {
    /// Adds, replaces or deletes one; an error says why not.
    pub fn apply(&mut self, client: u64, operation: AftOperation, in_fib: bool) -> Result<(), &'static str> {
        let what = operation.op();
        let entry = entry_of(operation.entry.ok_or("the operation has no entry")?);
        let (table, key) = key_of(&entry)?;
        let place = (operation.network_instance, table, key);
        match what {
            Operation::Invalid => return Err("the operation is none of ADD, REPLACE and DELETE"),
            Operation::Replace if !self.0.contains_key(&place) => return Err("there is no such entry to replace"),
            Operation::Add | Operation::Replace => drop(self.0.insert(place, Installed { entry, client, in_fib })),
            Operation::Delete => drop(self.0.remove(&place)),
        }
        Ok(())
    }

    /// Those of a network instance, or of all, in a table, or in all.
    pub fn installed(&self, network_instance: Option<&str>, table: AftType) -> Vec<AftEntry> {
        let wanted = self.0.iter().filter(|((instance, in_table, _), _)| {
            network_instance.is_none_or(|wanted| wanted == instance) && (table == AftType::All || table == *in_table)
        });
        let listed = wanted.map(|((instance, ..), installed)| AftEntry {
            network_instance: instance.clone(),
            entry: Some(installed.entry.clone()),
            rib_status: Status::Programmed as i32,
            fib_status: if installed.in_fib { Status::Programmed } else { Status::Unavailable } as i32,
        });
        listed.collect()
    }

    /// Removes those of a network instance, or of all.
    pub fn flush(&mut self, network_instance: Option<&str>) {
        self.0.retain(|(instance, ..), _| network_instance.is_some_and(|flushed| flushed != instance));
    }

    /// Removes those of a client.
    pub fn remove_of(&mut self, client: u64) {
        self.0.retain(|_, installed| installed.client != client);
    }
}

fn entry_of(sent: Sent) -> Entry {
    match sent {
        Sent::Ipv4(entry) => Entry::Ipv4(entry),
        Sent::Ipv6(entry) => Entry::Ipv6(entry),
        Sent::Mpls(entry) => Entry::Mpls(entry),
        Sent::NextHopGroup(entry) => Entry::NextHopGroup(entry),
        Sent::NextHop(entry) => Entry::NextHop(entry),
        Sent::MacEntry(entry) => Entry::MacEntry(entry),
        Sent::PolicyForwardingEntry(entry) => Entry::PolicyForwardingEntry(entry),
    }
}

fn key_of(entry: &Entry) -> Result<(AftType, Key), &'static str> {
    let text = |text: &String| Key::Text(text.clone());
    Ok(match entry {
        Entry::Ipv4(entry) if !is_prefix::<Ipv4Addr>(&entry.prefix, 32) => return Err("the entry has no IPv4 prefix"),
        Entry::Ipv6(entry) if !is_prefix::<Ipv6Addr>(&entry.prefix, 128) => return Err("the entry has no IPv6 prefix"),
        Entry::Ipv4(entry) => (AftType::Ipv4, text(&entry.prefix)),
        Entry::Ipv6(entry) => (AftType::Ipv6, text(&entry.prefix)),
        Entry::Mpls(entry) => match entry.label.as_ref().ok_or("the entry has no label")? {
            Label::LabelUint64(label) => (AftType::Mpls, Key::Number(*label)),
            Label::LabelOpenconfigmplstypesmplslabelenum(label) => (AftType::Mpls, Key::Reserved(*label)),
        },
        Entry::NextHopGroup(entry) => (AftType::NexthopGroup, Key::Number(entry.id)),
        Entry::NextHop(entry) => (AftType::Nexthop, Key::Number(entry.index)),
        Entry::MacEntry(entry) if entry.mac_address.is_empty() => return Err("the entry has no MAC address"),
        Entry::MacEntry(entry) => (AftType::Mac, text(&entry.mac_address)),
        Entry::PolicyForwardingEntry(entry) => (AftType::PolicyForwarding, Key::Number(entry.index)),
    })
}

fn is_prefix<Address: FromStr>(text: &str, longest: u8) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    address.parse::<Address>().is_ok() && length.parse::<u8>().is_ok_and(|length| length <= longest)
}
