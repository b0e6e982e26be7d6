//! A volume's whole life with each call made twice: what is done already is done, and the answer is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::volumes::{Volume, VolumeRequest, Volumes};
use holdfast_net::error::{Error, Kind, Result};

/// Who is mounted for.
const TASK: &str = "holdfast-twice";

type Context = BTreeMap<String, String>;

/// Makes a volume, has it mounted on a node and removes it; an error says which second call was not as the first. What
/// can be undone after that is.
pub fn every_call_twice(volumes: &dyn Volumes, node: &str, request: &VolumeRequest, deadline: Instant) -> Result<()> {
    let volume = volumes.create(node, request, deadline)?;
    let lived = live(volumes, node, request, &volume, deadline);
    if lived.is_err() {
        // each may have been undone already, or not have been done
        let _ = volumes.unmount(&volume, node, TASK, deadline);
        let _ = volumes.unstage(&volume, node, deadline);
        let _ = volumes.detach(&volume, node, deadline);
        let _ = volumes.remove(node, &volume, deadline);
    }
    lived
}

fn live(volumes: &dyn Volumes, node: &str, request: &VolumeRequest, volume: &Volume, deadline: Instant) -> Result<()> {
    let again = volumes.create(node, request, deadline).map_err(second)?;
    if again.id != volume.id {
        let why = format!("one name asked for twice became {} and {}", volume.id, again.id);
        return Err(Error::new(Kind::Expectation, why));
    }
    same("CreateVolume", "volume_context", &volume.context, &again.context)?;
    let attachment = volumes.attach(volume, node, deadline)?;
    let again = volumes.attach(volume, node, deadline).map_err(second)?;
    same("ControllerPublishVolume", "publish_context", &attachment.context, &again.context)?;
    volumes.stage(volume, &attachment, node, deadline)?;
    volumes.stage(volume, &attachment, node, deadline).map_err(second)?;
    let path = volumes.mount(volume, &attachment, node, TASK, deadline)?;
    let again = volumes.mount(volume, &attachment, node, TASK, deadline).map_err(second)?;
    if again != path {
        let why = format!("one task's mount is at {}, and then at {}", path.display(), again.display());
        return Err(Error::new(Kind::Expectation, why));
    }
    volumes.unmount(volume, node, TASK, deadline)?;
    volumes.unmount(volume, node, TASK, deadline).map_err(second)?;
    volumes.unstage(volume, node, deadline)?;
    volumes.unstage(volume, node, deadline).map_err(second)?;
    volumes.detach(volume, node, deadline)?;
    volumes.detach(volume, node, deadline).map_err(second)?;
    volumes.remove(node, volume, deadline)?;
    volumes.remove(node, volume, deadline).map_err(second)
}

/// What a provider wants to be told again is the same each time: "The contents of this field SHALL NOT be mutable", and
/// whoever lost the first answer has the second alone.
fn same(rpc: &str, what: &str, first: &Context, second: &Context) -> Result<()> {
    let keys: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let Some(key) = keys.into_iter().find(|key| first.get(*key) != second.get(*key)) else { return Ok(()) };
    let shown = |context: &Context| context.get(key).map_or("not there".to_owned(), |value| format!("{value:?}"));
    let why = format!(
        "{rpc} asked a second time tells of another {what}: {key} was {}, and is {}",
        shown(first),
        shown(second)
    );
    Err(Error::new(Kind::Expectation, why))
}

fn second(error: Error) -> Error {
    let message = format!("asked a second time: {}", error.message);
    Error { message, ..error }
}
