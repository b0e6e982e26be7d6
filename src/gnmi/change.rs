//! What a Set changed: what is read at the paths that it touches, before and after it.

use std::collections::BTreeMap;

use tokio::time::Instant;
use tonic::Code;

use super::client::Gnmi;
use super::path::Path;
use super::request::{DataType, Envelope, Get, Set};
use super::value::Value;
use crate::error::{Error, Result};
use crate::wire::gnmi::SetResponse;

/// A leaf of the configuration that is otherwise than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// In full.
    pub path: Path,
    /// None where it was not there.
    pub before: Option<Value>,
    /// None where it is not there any more.
    pub after: Option<Value>,
}

type Configuration = BTreeMap<Path, Value>;

impl Gnmi {
    /// A Set, and what it changed. Where the configuration cannot be read before it, nothing is set.
    pub async fn set_and_compare(&self, set: &Set, deadline: Instant) -> Result<(SetResponse, Vec<Change>)> {
        let touched = set.touched();
        let before = self.configuration(&touched, set, deadline).await.map_err(|error| {
            let message = format!("nothing was set, for what is there cannot be read: {}", error.message);
            Error { message, ..error }
        })?;
        let response = self.set(set, deadline).await?;
        let after = self.configuration(&touched, set, deadline).await.map_err(|error| {
            let message = format!("it was set, and what is there now cannot be read: {}", error.message);
            Error { message, ..error }
        })?;
        Ok((response, compared(before, after)))
    }

    /// One path after the other: of several, a device refuses all where one is not there.
    async fn configuration(&self, paths: &[Path], set: &Set, deadline: Instant) -> Result<Configuration> {
        let of_everything = !set.union_replace.is_empty();
        let Envelope { prefix, target, .. } = set.envelope.clone();
        let prefix = if of_everything { Path::default() } else { prefix };
        let mut found = Configuration::new();
        for path in paths {
            let envelope = Envelope { prefix: prefix.clone(), target: target.clone(), ..Envelope::default() };
            let get = Get { paths: vec![path.clone()], kind: DataType::Config, envelope };
            match self.get(&get, deadline).await {
                Ok(answer) => {
                    let leaves = answer.value.into_iter();
                    found.extend(leaves.filter_map(|leaf| Some((leaf.path, leaf.value?))));
                }
                Err(error) if error.code() == Some(Code::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

fn compared(before: Configuration, mut after: Configuration) -> Vec<Change> {
    let mut changes: Vec<Change> = before
        .into_iter()
        .map(|(path, before)| Change { after: after.remove(&path), path, before: Some(before) })
        .filter(|change| change.before != change.after)
        .collect();
    changes.extend(after.into_iter().map(|(path, after)| Change { path, before: None, after: Some(after) }));
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_went_and_changed_is_listed_and_what_stayed_is_not() {
        let of = |leaves: &[(&str, u64)]| -> Configuration {
            leaves.iter().map(|(path, value)| (path.parse().expect("a path"), Value::Uint(*value))).collect()
        };
        let changes = compared(of(&[("/a", 1), ("/b", 2), ("/c", 3)]), of(&[("/b", 2), ("/c", 4), ("/0", 5)]));
        let listed: Vec<_> = changes.iter().map(|each| (each.path.to_string(), &each.before, &each.after)).collect();
        assert_eq!(
            listed,
            [
                ("/0".to_owned(), &None, &Some(Value::Uint(5))),
                ("/a".to_owned(), &Some(Value::Uint(1)), &None),
                ("/c".to_owned(), &Some(Value::Uint(3)), &Some(Value::Uint(4))),
            ]
        );
    }
}
