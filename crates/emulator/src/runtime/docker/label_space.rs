//! What is one control processor's in an engine that has more than that: by names of its own, and by labels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::folder;
use holdfast_image::bare_id;

/// Which emulated device something is of.
pub const DEVICE: &str = "holdfast.emulated";
/// The process that emulates it, as `holdfast.scratch` names one.
pub const OWNER: &str = "holdfast.owner";
/// The folder that keeps the device's state, where it outlives the process.
pub const STATE: &str = "holdfast.state";
/// What that folder's device is called in engines: another machine, or another container of this one, may have a folder
/// of the same path.
pub const STATE_NAME: &str = "holdfast.state-name";
/// The file in it that says so.
const STATE_NAME_FILE: &str = "engine-name";
/// Which of its control processors: 1 or 2.
pub const CONTROL_PROCESSOR: &str = "holdfast.control-processor";
/// What the device calls it.
pub const NAME: &str = "holdfast.name";
/// The id of the device's record of a container.
pub const RECORD: &str = "holdfast.record";
/// Where the images of emulated devices are, each device's in a repository of its own.
pub const REPOSITORIES: &str = "holdfast-emulated";

/// What the tag of an image begins with that was in the engine already, and stays there.
const KEPT: &str = "kept-";

/// Whether an image's name holds one that was in the engine already, and stays there.
pub fn is_kept(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(_, tag)| tag.starts_with(KEPT))
}

/// One emulated device.
#[derive(Debug, Clone)]
pub struct Device {
    /// Names it in the engine.
    id: String,
    owner: String,
    /// Names its volumes, which outlive the process where its state does.
    volumes: String,
    state: Option<PathBuf>,
    state_name: Option<String>,
}

impl Device {
    /// That of this process whose state is kept in `state`, if it is kept at all.
    pub fn new(state: Option<&Path>) -> std::io::Result<Self> {
        let owner = folder::owner();
        let process: Vec<String> = owner.split(' ').map(digits).collect();
        let id = format!("{}-{}", process.join("-"), drawn());
        let state = state.map(Path::canonicalize).transpose()?;
        let state_name = state.as_deref().map(state_name).transpose()?;
        let volumes = state_name.as_ref().map_or_else(|| id.clone(), |name| format!("state-{name}"));
        Ok(Self { id, owner, volumes, state, state_name })
    }

    /// What marks all that is of it.
    pub fn filter(&self) -> String {
        format!("{DEVICE}={}", self.id)
    }

    /// What marks all that is of it and of whoever had its state folder before.
    pub fn state_filter(&self) -> Option<String> {
        self.state_name.as_ref().map(|name| format!("{STATE_NAME}={name}"))
    }

    /// The repository of its images.
    pub fn repository(&self) -> String {
        format!("{REPOSITORIES}/{}", self.id)
    }

    /// The tag of an image that somebody else had before the device came to have it.
    pub fn kept_tag(id: &str) -> String {
        format!("{KEPT}{}", bare_id(id))
    }

    /// The labels of what is nobody's alone.
    pub fn labels(&self) -> HashMap<String, String> {
        let mut labels = HashMap::from([(DEVICE.to_owned(), self.id.clone()), (OWNER.to_owned(), self.owner.clone())]);
        if let Some(path) = &self.state {
            labels.insert(STATE.to_owned(), path.display().to_string());
        }
        if let Some(name) = &self.state_name {
            labels.insert(STATE_NAME.to_owned(), name.clone());
        }
        labels
    }
}

/// Sixteen digits that nobody else has.
fn drawn() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// What the device of a folder is called in engines: drawn when it is first asked for, and kept there.
fn state_name(folder: &Path) -> std::io::Result<String> {
    let file = folder.join(STATE_NAME_FILE);
    let is_name = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match std::fs::read_to_string(&file) {
        Ok(name) if is_name(&name) => Ok(name),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => {
            let name = drawn();
            std::fs::write(&file, &name)?; // whoever has the folder has it alone
            Ok(name)
        }
    }
}

/// What is of one control processor.
#[derive(Debug, Clone)]
pub struct LabelSpace {
    pub device: Device,
    index: usize,
}

impl LabelSpace {
    pub fn new(device: Device, index: usize) -> Self {
        Self { device, index }
    }

    /// The other control processor's.
    pub fn peer(&self) -> Self {
        Self { device: self.device.clone(), index: 1 - self.index }
    }

    /// What the engine calls a container.
    pub fn container(&self, name: &str) -> String {
        format!("holdfast-{}-{}-{name}", self.device.id, self.number())
    }

    /// What the engine calls a volume.
    pub fn volume(&self, name: &str) -> String {
        format!("holdfast-{}-{}-{name}", self.device.volumes, self.number())
    }

    /// The tag of an image in the device's repository.
    pub fn tag(&self, id: &str) -> String {
        format!("{}-{}", self.number(), bare_id(id))
    }

    /// What the engine calls an image.
    pub fn image(&self, id: &str) -> String {
        format!("{}:{}", self.device.repository(), self.tag(id))
    }

    /// What marks all that is of it.
    pub fn filters(&self) -> Vec<String> {
        vec![self.device.filter(), self.own()]
    }

    /// What marks its volumes, of this process or of one that had the state folder before.
    pub fn volume_filters(&self) -> Vec<String> {
        vec![self.device.state_filter().unwrap_or_else(|| self.device.filter()), self.own()]
    }

    fn own(&self) -> String {
        format!("{CONTROL_PROCESSOR}={}", self.number())
    }

    /// The labels of something that the device calls `name`.
    pub fn labels(&self, name: &str) -> HashMap<String, String> {
        let mut labels = self.device.labels();
        labels.insert(CONTROL_PROCESSOR.to_owned(), self.number().to_string());
        labels.insert(NAME.to_owned(), name.to_owned());
        labels
    }

    fn number(&self) -> usize {
        self.index + 1
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_control_processors_share_no_name_and_a_kept_state_keeps_its_volumes() {
        let folder = tempfile::tempdir().expect("a folder");
        let [first, again] = [0, 1].map(|_| Device::new(Some(folder.path())).expect("a device"));
        let space = LabelSpace::new(first.clone(), 0);
        for name in [LabelSpace::container, LabelSpace::volume, LabelSpace::image] {
            assert_ne!(name(&space, "app"), name(&space.peer(), "app"));
        }
        let later = LabelSpace::new(again, 0);
        assert_eq!(space.volume("app"), later.volume("app"), "the next process finds them");
        assert_ne!(space.container("app"), later.container("app"));
        let temporary = LabelSpace::new(Device::new(None).expect("a device"), 0);
        assert_ne!(temporary.volume("app"), space.volume("app"));
        assert_eq!(space.labels("app")[NAME], "app");
    }

    #[test]
    fn another_folder_of_the_same_path_is_another_device_s() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state"); // as in two containers that share an engine
        let [first, second] = [0, 1].map(|_| {
            std::fs::create_dir(&path).expect("a folder");
            let device = Device::new(Some(&path)).expect("a device");
            std::fs::remove_dir_all(&path).expect("the same");
            device
        });
        assert_ne!(first.state_filter(), second.state_filter());
        assert_ne!(LabelSpace::new(first, 0).volume("app"), LabelSpace::new(second, 0).volume("app"));
    }
}
