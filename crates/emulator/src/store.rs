//! What one control processor keeps on its disk: images, containers, volumes, plugins.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use holdfast_image::{bare_id, same_id, same_name};

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub id: String,
    /// `sha256:…` of its manifest, for runtimes that list an image by that.
    #[serde(default)]
    pub manifest: String,
    /// `name:tag` of each of its names, sorted.
    pub names: Vec<(String, String)>,
    pub size: u64,
    pub command: Vec<String>,
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What a container is meant to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    Created,
    Running,
    Stopped,
}

/// When a container is started again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    None,
    Always,
    UnlessStopped,
    OnFailure,
}

/// How a container misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Ailment {
    #[default]
    Sound,
    /// Listed as running, and nothing listens.
    Mute,
    /// Started again and again, and never up.
    Restarting,
}

/// What a start asks for that is for a real runtime alone to heed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Instead of the image's own.
    pub command: Vec<String>,
    /// Empty for the device's choice.
    pub network: String,
    /// A user and maybe a group: `USER[:GROUP]`.
    pub user: String,
    /// How many; 0 for no limit.
    pub max_cpu: f64,
    pub soft_mem_bytes: i64,
    pub hard_mem_bytes: i64,
    pub added_capabilities: Vec<String>,
    pub removed_capabilities: Vec<String>,
    pub devices: Vec<HostDevice>,
    pub read_only_volumes: Vec<String>,
    /// How often a container is started again that failed; 0 for no limit.
    pub attempts: u32,
}

/// A device of the host's in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDevice {
    pub source: String,
    pub target: String,
    /// Letters of `rwm`.
    pub permissions: String,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub image: (String, String),
    pub image_id: String,
    pub command: Vec<String>,
    pub ports: Vec<(u16, u16)>,
    pub host_network: bool,
    pub volumes: Vec<String>,
    /// Where each of them is mounted.
    #[serde(default)]
    pub mounts: BTreeMap<String, String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub read_only: bool,
    pub restart: Restart,
    pub labels: BTreeMap<String, String>,
    pub location: i32,
    pub wanted: Wanted,
    #[serde(default)]
    pub ailment: Ailment,
    #[serde(default)]
    pub asked: Asked,
    pub log: Vec<String>,
}

/// A volume; its data lies in a folder beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    pub created: u64,
    pub driver: String,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}

/// A plugin's instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    pub id: String,
    pub tar: String,
    pub instance: String,
    pub config: String,
    pub running: bool,
}

/// Everything but the bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    pub images: Vec<Image>,
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
    pub plugin_tars: Vec<String>,
    pub plugins: Vec<Plugin>,
    /// What was removed, for defects that bring it back.
    pub removed: Removed,
}

/// What was removed last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    pub images: Vec<Image>,
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
}

impl Inventory {
    pub fn image(&self, name: &str, tag: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.names.iter().any(|known| same_name(&known.0, name) && known.1 == tag))
    }

    pub fn image_by_id(&self, id: &str) -> Option<&Image> {
        self.images.iter().find(|image| same_id(&image.id, id))
    }

    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    pub fn container_mut(&mut self, name: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|container| container.name == name)
    }

    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// Adds an image under `names`, which leave the images that had them.
    pub fn add_image(&mut self, image: Image) {
        for other in &mut self.images {
            other.names.retain(|name| !image.names.contains(name));
        }
        let at = if let Some(at) = self.images.iter().position(|known| known.id == image.id) {
            self.images[at].names.extend(image.names);
            at
        } else {
            self.images.push(image);
            self.images.len() - 1
        };
        self.images[at].names.sort();
        self.images[at].names.dedup();
    }

    /// Bytes that images take.
    pub fn space_used(&self) -> u64 {
        self.images.iter().map(|image| image.size).sum()
    }

    /// Notes what an operation removed, for defects that bring it back.
    pub fn note_removed(&mut self, before: &Inventory) {
        let images: Vec<_> = before.images.iter().filter(|image| self.image_by_id(&image.id).is_none()).collect();
        let containers: Vec<_> = before.containers.iter().filter(|c| self.container(&c.name).is_none()).collect();
        let volumes: Vec<_> = before.volumes.iter().filter(|volume| self.volume(&volume.name).is_none()).collect();
        let mut removed = self.removed.clone();
        if !images.is_empty() {
            removed.images = images.into_iter().cloned().collect();
        }
        if !containers.is_empty() {
            removed.containers = containers.into_iter().cloned().collect();
        }
        if !volumes.is_empty() {
            removed.volumes = volumes.into_iter().cloned().collect();
        }
        removed.images.retain(|image| self.image_by_id(&image.id).is_none());
        removed.containers.retain(|container| self.container(&container.name).is_none());
        removed.volumes.retain(|volume| self.volume(&volume.name).is_none());
        self.removed = removed;
    }
}

/// A folder, and the inventory that lies in it.
pub struct Store {
    root: PathBuf,
    /// Held for no longer than it takes to read or replace it: never while a disk is waited for.
    inventory: Mutex<Inventory>,
    /// Held by whoever changes it.
    changing: Mutex<()>,
    /// Held while what containers write is copied to the other store, and while they write.
    contents: Arc<Mutex<()>>,
}

impl Store {
    /// Opens or makes the store at `root`.
    pub fn open(root: PathBuf, contents: Arc<Mutex<()>>) -> io::Result<Self> {
        for folder in ["images", "volumes", "plugins", "incoming"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let inventory = match fs::read(root.join("inventory.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Inventory::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { root, inventory: Mutex::new(inventory), changing: Mutex::default(), contents })
    }

    /// A copy of what is there.
    pub fn inventory(&self) -> Inventory {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is there, on the disk too; nothing changes where `change` fails.
    pub fn change<T, E: From<io::Error>>(&self, change: impl FnOnce(&mut Inventory) -> Result<T, E>) -> Result<T, E> {
        off_the_workers(|| {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let before = self.inventory();
            let mut changed = before.clone();
            let outcome = change(&mut changed)?;
            if changed != before {
                write_whole(&self.root.join("inventory.json"), &changed)?;
                self.replace(changed);
            }
            Ok(outcome)
        })
    }

    fn replace(&self, inventory: Inventory) {
        *self.inventory.lock().unwrap_or_else(PoisonError::into_inner) = inventory;
    }

    /// Reads the inventory from the disk again, as a control processor does when it boots.
    pub fn reload(&self) -> io::Result<()> {
        off_the_workers(|| {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            self.replace(Self::open(self.root.clone(), self.contents.clone())?.inventory());
            Ok(())
        })
    }

    pub fn image_file(&self, id: &str) -> PathBuf {
        self.root.join("images").join(format!("{}.tar", plain(bare_id(id))))
    }

    pub fn plugin_file(&self, name: &str) -> PathBuf {
        self.root.join("plugins").join(format!("{}.tar", plain(name)))
    }

    pub fn volume_folder(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(plain(name))
    }

    /// Does something to each file of a volume, of which it gets the path and the contents.
    pub fn for_each_file(&self, name: &str, change: impl Fn(&Path, &[u8]) -> io::Result<()>) -> io::Result<()> {
        for entry in fs::read_dir(self.volume_folder(name)).into_iter().flatten() {
            let path = entry?.path();
            change(&path, &fs::read(&path)?)?;
        }
        Ok(())
    }

    /// Brings the copy of a file of a volume that this store holds up to the `original`; nothing, where it holds none.
    ///
    /// `ended`: whether the control processor of the original fell. Nothing comes from there any more then.
    pub fn extend_copy(&self, volume: &str, original: &Path, ended: impl Fn() -> bool) -> io::Result<()> {
        let _held = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.volume_folder(volume);
        if ended() {
            return Err(io::Error::other("the control processor fell"));
        }
        let Some(name) = original.file_name().filter(|_| folder.is_dir()) else { return Ok(()) };
        let mut copy = fs::OpenOptions::new().append(true).create(true).open(folder.join(name))?;
        let bytes = fs::read(original)?;
        let known = usize::try_from(copy.metadata()?.len()).unwrap_or(usize::MAX);
        copy.write_all(bytes.get(known..).unwrap_or_default())
    }

    /// The volume that a container has where the test container keeps its ledger, and the ledger's name on it.
    pub fn ledger_of(container: &Container) -> Option<(&str, &str)> {
        let path = Path::new(holdfast_cntrsrv::ledger::PATH);
        let (name, _) = container.mounts.iter().find(|(_, mount)| path.parent() == Some(Path::new(mount)))?;
        Some((name, path.file_name()?.to_str()?))
    }

    /// Where transfers are spooled; on the same file system as their place.
    pub fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// Makes this store hold `inventory`, with bytes from `source`, and `contents` of volumes. What is here and not in it
    /// goes.
    pub fn take_over(&self, inventory: &Inventory, source: &Store, contents: bool) -> io::Result<()> {
        for image in &inventory.images {
            copy_missing(&source.image_file(&image.id), &self.image_file(&image.id))?;
        }
        for tar in &inventory.plugin_tars {
            copy_missing(&source.plugin_file(tar), &self.plugin_file(tar))?;
        }
        if contents {
            copy_volumes(inventory, source, self)?;
        } else {
            for volume in &inventory.volumes {
                fs::create_dir_all(self.volume_folder(&volume.name))?;
            }
        }
        let before = self.inventory();
        self.change(|held| {
            *held = inventory.clone();
            Ok::<_, io::Error>(())
        })?;
        for image in before.images.iter().filter(|image| inventory.image_by_id(&image.id).is_none()) {
            let _ = fs::remove_file(self.image_file(&image.id));
        }
        for volume in before.volumes.iter().filter(|volume| inventory.volume(&volume.name).is_none()) {
            let _ = fs::remove_dir_all(self.volume_folder(&volume.name));
        }
        Ok(())
    }
}

/// Does what may wait for a disk, which others may keep busy for a minute, while another thread goes on with all that
/// waits for this one: the runtime has few.
pub fn off_the_workers<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(), // a test's, of one thread
    }
}

fn copy_volumes(inventory: &Inventory, source: &Store, target: &Store) -> io::Result<()> {
    let _held = source.contents.lock().unwrap_or_else(PoisonError::into_inner);
    for volume in &inventory.volumes {
        copy_folder(&source.volume_folder(&volume.name), &target.volume_folder(&volume.name))?;
    }
    Ok(())
}

/// A name that stays within its folder, whatever a failpoint made of it.
fn plain(name: &str) -> String {
    let name = name.replace(['/', '\\', '\0'], "_");
    let name = name.trim_start_matches('.');
    if name.is_empty() { "_".to_owned() } else { name.to_owned() }
}

/// Replaces a JSON file in one step.
pub fn write_whole(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(content).map_err(io::Error::other)?)?;
    fs::rename(draft, path)
}

fn copy_missing(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() || !from.exists() {
        return Ok(());
    }
    let draft = to.with_extension("draft");
    fs::copy(from, &draft)?;
    fs::rename(draft, to)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).into_iter().flatten() {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, name: &str) -> Image {
        let names = vec![(name.to_owned(), "latest".to_owned())];
        Image {
            id: id.into(),
            manifest: String::new(),
            names,
            size: 1,
            command: vec![],
            labels: BTreeMap::new(),
            environment: BTreeMap::new(),
        }
    }

    #[test]
    fn a_name_moves_to_the_image_that_comes_with_it() {
        let mut inventory = Inventory::default();
        inventory.add_image(image("sha256:aaaaaaaaaaaa", "app"));
        inventory.add_image(image("sha256:bbbbbbbbbbbb", "app"));
        assert_eq!(inventory.image("app", "latest").map(|i| i.id.as_str()), Some("sha256:bbbbbbbbbbbb"));
        assert!(inventory.images[0].names.is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn while_a_change_waits_all_else_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Store::open(folder.path().join("a"), Arc::default()).expect("a store"));
        let (answer, asked) = std::sync::mpsc::channel::<()>();
        let changed = tokio::spawn({
            let store = store.clone();
            async move {
                store.change(|held| {
                    asked.recv().map_err(io::Error::other)?; // as a disk that does not answer yet
                    held.add_image(image("sha256:aaaaaaaaaaaa", "app"));
                    Ok::<_, io::Error>(())
                })
            }
        });
        let read = tokio::spawn({
            let store = store.clone();
            async move { store.inventory().images.len() }
        });
        let limit = std::time::Duration::from_secs(30);
        let read = tokio::time::timeout(limit, read).await;
        answer.send(()).expect("it waits");
        changed.await.expect("it does not panic").expect("it is written");
        assert_eq!(read.expect("it is read meanwhile").expect("it does not panic"), 0);
        assert_eq!(store.inventory().images.len(), 1);
    }

    #[test]
    fn a_store_survives_its_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path().join("a"), Arc::default()).expect("a store");
        let changed: io::Result<()> = store.change(|held| {
            held.add_image(image("sha256:aaaaaaaaaaaa", "app"));
            Ok(())
        });
        changed.expect("a change");
        let again = Store::open(folder.path().join("a"), Arc::default()).expect("a store");
        assert!(again.inventory().image("app", "latest").is_some());
    }
}
