//! gNMI Set: all of a request, or nothing of it.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use tonic::Status;

use super::asked;
use crate::configuration::{Configuration, factory};
use crate::shared::SharedChassis;
use crate::state::now;
use holdfast_wire::gnmi::update_result::Operation;
use holdfast_wire::gnmi::{self, SetRequest, SetResponse, UpdateResult};
use holdfast_wire::path::Path;
use holdfast_wire::value::{Value, leaves};

/// A request as it is carried out: first on a copy.
struct Change {
    prefix: gnmi::Path,
    configuration: Configuration,
    cli: Vec<String>,
    done: Vec<UpdateResult>,
}

/// Does what a request says, in the specification's order: delete, union_replace, replace, update.
pub fn set(chassis: &SharedChassis, index: usize, request: SetRequest) -> Result<SetResponse, Status> {
    let extension = asked::extensions(&request.extension)?;
    let mut held = chassis.config.lock().unwrap_or_else(PoisonError::into_inner);
    let mut change = Change {
        prefix: request.prefix.clone().unwrap_or_default(),
        configuration: held.clone(),
        cli: Vec::new(),
        done: Vec::new(),
    };
    for path in &request.delete {
        change.delete(path)?;
    }
    change.union_replace(&request.union_replace)?;
    for update in &request.replace {
        change.put(update, Operation::Replace)?;
    }
    for update in &request.update {
        change.put(update, Operation::Update)?;
    }
    *held = change.configuration;
    drop(held);
    change.cli.iter().for_each(|text| chassis.cli.take(index, text));
    chassis.announce();
    let timestamp = i64::try_from(now()).unwrap_or(i64::MAX);
    Ok(SetResponse { response: change.done, timestamp, prefix: request.prefix, extension, ..SetResponse::default() })
}

impl Change {
    /// The path in full, without the origin that it has anyway.
    fn full(&self, path: Option<&gnmi::Path>) -> Result<Path, Status> {
        let mut full = asked::joined(&self.prefix, path)?;
        asked::check_origin(&full, true)?;
        if full.origin != "cli" {
            full.origin.clear();
        }
        Ok(full)
    }

    fn note(&mut self, path: Option<&gnmi::Path>, operation: Operation) {
        self.done.push(UpdateResult { path: path.cloned(), op: operation as i32, ..UpdateResult::default() });
    }

    fn delete(&mut self, path: &gnmi::Path) -> Result<(), Status> {
        let gone = self.full(Some(path))?;
        if gone.origin == "cli" {
            return Err(Status::invalid_argument("origin cli has no delete"));
        }
        self.configuration.retain(|path, _| !gone.covers(path));
        self.note(Some(path), Operation::Delete);
        Ok(())
    }

    /// Replaces the whole configuration with all that is given together; what is given twice must be the same.
    fn union_replace(&mut self, updates: &[gnmi::Update]) -> Result<(), Status> {
        if updates.is_empty() {
            return Ok(());
        }
        self.configuration = factory();
        let mut given: BTreeSet<Path> = BTreeSet::new();
        for update in updates {
            let before = self.configuration.clone();
            self.put(update, Operation::UnionReplace)?;
            let path = self.full(update.path.as_ref())?;
            let put = self.configuration.iter().filter(|(known, _)| path.origin != "cli" && path.covers(known));
            if let Some((twice, _)) =
                put.clone().find(|(known, value)| given.contains(*known) && before.get(*known) != Some(*value))
            {
                return Err(Status::invalid_argument(format!("union_replace has two values for {twice}")));
            }
            given.extend(put.map(|(known, _)| known.clone()));
        }
        Ok(())
    }

    fn put(&mut self, update: &gnmi::Update, operation: Operation) -> Result<(), Status> {
        let path = self.full(update.path.as_ref())?;
        let value = Value::from_update(update)
            .ok_or_else(|| Status::invalid_argument(format!("{path} comes without a value")))?;
        if path.origin == "cli" {
            self.cli.push(value.to_string());
        } else {
            if path.elements.iter().any(|element| element.name == "state") {
                return Err(Status::invalid_argument(format!("{path} is state, which cannot be set")));
            }
            if asked::is_pattern(&path) {
                return Err(Status::invalid_argument(format!("{path} has a wildcard, which cannot be set")));
            }
            if operation == Operation::Replace {
                self.configuration.retain(|known, _| !path.covers(known));
            }
            self.configuration.extend(leaves(path, value));
        }
        self.note(update.path.as_ref(), operation);
        Ok(())
    }
}
