//! What a node has mounted, as its kernel tells, and what else it has of the machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A mount of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Which of all mounts of this machine it is, and of what device. Of one that has gone, another gets it.
    pub identity: (String, String),
    /// Which folder of the device.
    pub root: PathBuf,
    /// Where. It changes with the name of any folder of it.
    pub path: PathBuf,
    /// Its file system.
    pub filesystem: String,
    /// What it is mounted with: here, and wherever else it is.
    pub options: Vec<String>,
}

/// The mounts of a line each of `/proc/PID/mountinfo` (proc(5)), in the order in which they were made.
pub fn parse(mountinfo: &str) -> Vec<Mounted> {
    mountinfo.lines().filter_map(mounted).collect()
}

fn mounted(line: &str) -> Option<Mounted> {
    let mut fields = line.split(' ');
    let (number, device) = (fields.next()?.to_owned(), fields.nth(1)?.to_owned());
    let root = PathBuf::from(decoded(fields.next()?));
    let path = PathBuf::from(decoded(fields.next()?));
    let here = fields.next()?;
    let mut behind = fields.skip_while(|field| *field != "-"); // fields of any number
    let filesystem = behind.nth(1)?.to_owned();
    let everywhere = behind.nth(1).unwrap_or_default(); // the source is between them
    let mut options: Vec<String> = here.split(',').map(str::to_owned).collect();
    for option in everywhere.split(',').filter(|option| !option.is_empty()) {
        if !options.iter().any(|known| known == option) {
            options.push(option.to_owned());
        }
    }
    Some(Mounted { identity: (number, device), root, path, filesystem, options })
}

impl Mounted {
    /// Whether it is one that was seen before, wherever it is by now. One of the same identity may be another: where
    /// somebody elsewhere removes the folder that a mount is on, it goes, and what is mounted next gets its number.
    pub fn is(&self, before: &Self) -> bool {
        self.identity == before.identity && (self.path == before.path || self.root == before.root)
    }
}

/// A field as it is meant: the kernel writes blanks and the like as `\` and three octal digits.
fn decoded(field: &str) -> OsString {
    let bytes = field.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let digits =
            bytes.get(at + 1..at + 4).filter(|_| *byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 4 } else { 1 };
    }
    OsString::from_vec(plain)
}

/// What holds no volume: windows into the kernel, which tools open as they need them and nobody closes.
const OF_THE_KERNEL: [&str; 18] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "fusectl",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "sysfs",
    "tracefs",
];

impl Mounted {
    /// Whether a volume could be behind it.
    pub fn may_hold_a_volume(&self) -> bool {
        !OF_THE_KERNEL.contains(&self.filesystem.as_str())
    }
}

/// How often something is mounted at each place.
pub fn counted(mounts: &[Mounted]) -> BTreeMap<PathBuf, usize> {
    let mut counts = BTreeMap::new();
    for mount in mounts {
        *counts.entry(mount.path.clone()).or_default() += 1;
    }
    counts
}

/// The loop devices over files in a folder. They are this machine's, whatever namespace made them.
pub fn loop_devices(folder: &Path) -> Vec<String> {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let backed = devices.filter_map(|device| {
        let file = std::fs::read_to_string(device.path().join("loop/backing_file")).ok()?;
        Path::new(file.trim_end()).starts_with(folder).then(|| format!("/dev/{}", device.file_name().to_string_lossy()))
    });
    backed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_known_by_its_place_whatever_is_in_the_name() {
        let table = "36 35 98:0 /mnt1 /mnt/two\\040words\\134and\\011more rw,noatime master:1 shared:3 - ext4 /dev/root rw\n\
                     37 35 0:33 / /srv#share#pvc-1 rw - nfs4 10.0.0.1:/a\\040b rw\n\
                     38 35 0:34 / /broken\\04 rw - fuse.sshfs - rw\n\
                     nonsense\n";
        let found = parse(table);
        let read: Vec<(&str, &str)> =
            found.iter().map(|mount| (mount.path.to_str().expect("text"), mount.filesystem.as_str())).collect();
        assert_eq!(
            read,
            [("/mnt/two words\\and\tmore", "ext4"), ("/srv#share#pvc-1", "nfs4"), ("/broken\\04", "fuse.sshfs")]
        );
    }

    #[test]
    fn what_a_volume_is_mounted_with_is_told_of_the_place_and_of_the_file_system() {
        let table =
            "36 35 98:0 / /a rw,nosuid,noatime shared:3 - ext4 /dev/root rw,sync\n37 35 0:3 / /b ro - tmpfs  rw\n";
        let options: Vec<_> = parse(table).into_iter().map(|mount| mount.options.join(" ")).collect();
        assert_eq!(options, ["rw nosuid noatime sync", "ro rw"]);
    }

    #[test]
    fn a_mount_is_another_than_one_that_had_its_number_and_the_same_one_in_a_folder_that_is_renamed() {
        let lines = "40 35 98:0 /docker /docker rw - ext4 /dev/root rw\n\
                     40 35 98:0 /volume /published rw - ext4 /dev/root rw\n\
                     40 35 98:0 /docker /renamed rw - ext4 /dev/root rw\n\
                     41 35 98:0 /docker /docker rw - ext4 /dev/root rw\n";
        let found = parse(lines);
        let same: Vec<bool> = found.iter().map(|mount| mount.is(&found[0])).collect();
        assert_eq!(same, [true, false, true, false]);
    }

    #[test]
    fn a_window_into_the_kernel_holds_no_volume() {
        let table = "36 35 0:7 / /sys/kernel/config rw - configfs configfs rw\n37 35 0:33 / /a rw - tmpfs tmpfs rw\n";
        let holding = parse(table).iter().map(Mounted::may_hold_a_volume).collect::<Vec<_>>();
        assert_eq!(holding, [false, true]);
    }

    #[test]
    fn mounts_over_each_other_are_counted() {
        let line = "37 35 0:33 / /a rw - tmpfs tmpfs rw\n";
        assert_eq!(counted(&parse(&line.repeat(2))), BTreeMap::from([(PathBuf::from("/a"), 2)]));
    }
}
