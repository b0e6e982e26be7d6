//! What gNOI File shows of one control processor: a tree of real files in its folder, with its core files.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::settings::{Quirk, Settings};

/// How long before power-on the core files of `old-cores` were written.
const OLD: Duration = Duration::from_secs(4000); // by no local time is it of now
/// Of a core file, in bytes: several messages of gNOI File.
const CORE_SIZE: usize = 150_000;

/// The files of one control processor.
pub struct Files {
    root: PathBuf,
    /// Where core files lie, without a slash at its end, and what they are called.
    core: (String, String),
}

impl Files {
    /// Opens or makes the tree at `root`, of the control processor `index`.
    pub fn open(root: PathBuf, settings: &Settings, index: u32) -> io::Result<Self> {
        let (folder, name) = settings.core_file.rsplit_once('/').unwrap_or(("", &settings.core_file));
        let files = Self { root, core: (folder.to_owned(), name.to_owned()) };
        let log = files.root.join("var/log");
        fs::create_dir_all(&log)?;
        fs::write(log.join("messages"), format!("EMULATED {} is powered on\n", settings.software))?;
        if !settings.quirks.contains(&Quirk::NoCoreFolder) {
            fs::create_dir_all(files.place(folder).unwrap_or(log))?;
        }
        if settings.quirks.contains(&Quirk::OldCores) {
            files.dump_core("agent", 412 + index, SystemTime::now() - OLD)?;
        }
        Ok(files)
    }

    /// Where core files lie, as the device has it.
    pub fn core_folder(&self) -> &str {
        &self.core.0
    }

    /// Where a path of the device's lies on this machine; None for one that is not absolute, or leads upwards.
    pub fn place(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path.strip_prefix('/')?);
        let plain = below.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        plain.then(|| self.root.join(below))
    }

    /// Writes a core file; its path on the device.
    pub fn dump_core(&self, process: &str, pid: u32, at: SystemTime) -> io::Result<String> {
        let (folder, name) = &self.core;
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let name = name.replace("{pid}", &pid.to_string()).replace("{seconds}", &seconds.to_string());
        let path = format!("{folder}/{}", name.replace("{process}", process));
        let place = self.place(&path).ok_or_else(|| io::Error::other(format!("{path}: no path of a core file")))?;
        fs::create_dir_all(place.parent().unwrap_or(&self.root))?;
        let mut contents = format!("EMULATED core of {process}, process {pid}\n").into_bytes();
        contents.resize(CORE_SIZE, b'.');
        fs::write(&place, contents)?;
        fs::File::options().write(true).open(&place)?.set_modified(at)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_tree() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("files");
        let files = Files::open(root.clone(), &Settings::default(), 0).expect("a tree");
        assert_eq!(files.place("/var/core/"), Some(root.join("var/core")));
        assert_eq!(files.place("/"), Some(root));
        for path in ["", "var", "/../x", "/var/../../x", "//etc/passwd"] {
            assert_eq!(files.place(path), None, "{path}");
        }
    }

    #[test]
    fn a_core_file_is_called_as_the_vendor_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings { core_file: "/misc/disk1/{process}_{pid}.core".to_owned(), ..Settings::default() };
        let files = Files::open(folder.path().to_owned(), &settings, 0).expect("a tree");
        let path = files.dump_core("agent", 7, SystemTime::now()).expect("room");
        assert_eq!(path, "/misc/disk1/agent_7.core");
        assert!(files.place(&path).expect("a path").exists());
    }
}
