//! What the client takes and returns, freed of servers' spellings.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::image::{Written, same_id, same_name};

/// A row of an image listing; a device's row of several whole names is one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedImage {
    /// As the device writes it.
    pub id: String,
    /// Empty where the device has an untagged image.
    pub name: String,
    /// One, or several that the device joined into one row.
    pub tags: Vec<String>,
    /// Other digests of the same image, as far as its name or archives showed: of configuration, manifest and index.
    pub digests: Vec<String>,
}

impl ListedImage {
    /// Whether the row's tags surely belong to its name; joined rows mix repositories.
    pub fn unambiguous(&self) -> bool {
        self.tags.len() == 1 && !self.name.is_empty()
    }

    /// Whether it is the image of that id.
    pub fn has_id(&self, id: &str) -> bool {
        same_id(&self.id, id) || self.digests.iter().any(|known| same_id(known, id))
    }

    /// Whether it may carry that name; sure only where the row is unambiguous.
    pub fn may_be(&self, name: &str, tag: &str) -> bool {
        let name_fits = same_name(&self.name, name) || (self.tags.len() > 1);
        name_fits && self.tags.iter().any(|listed| listed == tag)
    }

    /// Whether it surely carries that name.
    pub fn is_named(&self, name: &str, tag: &str) -> bool {
        self.unambiguous() && same_name(&self.name, name) && self.tags[0] == tag
    }
}

/// What a listing says of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Created, restarting, or something the device does not say.
    Unspecified,
    /// It ended or was stopped.
    Stopped,
    /// It runs.
    Running,
    /// It is there.
    Present,
    /// It is not there.
    NotFound,
}

impl ContainerStatus {
    /// As the contract spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Stopped => "STOPPED",
            Self::Running => "RUNNING",
            Self::Present => "PRESENT",
            Self::NotFound => "NOT_FOUND",
        }
    }
}

/// A row of a container listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Noted, never judged: no contract promises that it stays.
    pub id: String,
    /// Its own name, without a leading slash.
    pub name: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// The image it was started from, as the device writes it.
    pub image: String,
    /// Whether it runs.
    pub status: ContainerStatus,
    /// Empty where the device does not list them.
    pub labels: BTreeMap<String, String>,
}

impl Container {
    /// Whether that is its name, or one of its further ones.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// Whether it was started from the image of that name, as far as the device writes names.
    pub fn uses(&self, name: &str, tag: &str) -> bool {
        let image = Written::read(&self.image).reference();
        image.is_some_and(|image| same_name(&image.name, name) && image.tag == tag)
    }
}

/// A row of a volume listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// None where the device does not say.
    pub created: Option<SystemTime>,
    /// As the device writes it.
    pub driver: String,
    /// As the device writes them.
    pub options: BTreeMap<String, String>,
    /// As the device writes them.
    pub labels: BTreeMap<String, String>,
}

/// A row of a plugin listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// As the device writes it.
    pub id: String,
    /// Without a trailing `:latest`.
    pub instance_name: String,
    /// As it was given.
    pub config: String,
}

/// When a container is started again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// Never.
    None,
    /// Whenever it is down; the only one that survives a reboot by contract.
    #[default]
    Always,
    /// Unless a user stopped it.
    UnlessStopped,
    /// After a failure, so many times.
    OnFailure(u32),
}

/// On which control processors a container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Location {
    /// The device decides.
    #[default]
    Unknown,
    /// The active one.
    Primary,
    /// The standby.
    Backup,
    /// Both.
    All,
}

/// A volume inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The volume.
    pub name: String,
    /// Where the container sees it.
    pub mount_point: String,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// A device file inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFile {
    /// On the network device.
    pub src_path: String,
    /// In the container.
    pub dst_path: String,
    /// Letters of `rwm`.
    pub permissions: String,
}

/// How to start a container.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartOptions {
    /// The image's name.
    pub image_name: String,
    /// The image's tag.
    pub tag: String,
    /// What to run instead of the image's own command; empty for that.
    pub command: String,
    /// The container's name.
    pub instance_name: String,
    /// Inside to outside.
    pub ports: Vec<(u32, u32)>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Volumes.
    pub volumes: Vec<Mount>,
    /// Empty for the device's default, which is the host's network.
    pub network: String,
    /// Linux capabilities to add.
    pub add_capabilities: Vec<String>,
    /// Linux capabilities to take away.
    pub remove_capabilities: Vec<String>,
    /// When to start it again.
    pub restart: RestartPolicy,
    /// User and group to run as; empty for the image's own.
    pub run_as: (String, String),
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// CPUs; 0 for no limit.
    pub max_cpu: f64,
    /// Memory in bytes, soft and hard; 0 for no limit.
    pub memory: (i64, i64),
    /// Device files.
    pub devices: Vec<DeviceFile>,
    /// On which control processors.
    pub location: Location,
}

/// How to make a volume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeOptions {
    /// Its name.
    pub name: String,
    /// Who keeps it, and with which options.
    pub driver: VolumeDriver,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Who keeps a volume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VolumeDriver {
    /// The device's own choice: what works everywhere.
    #[default]
    Unspecified,
    /// A bind of a folder on the device.
    Local {
        /// Mount options, such as `bind`.
        options: Vec<String>,
        /// The folder.
        mountpoint: String,
    },
    /// A volume plugin.
    Custom {
        /// Handed to it.
        options: BTreeMap<String, String>,
    },
}
