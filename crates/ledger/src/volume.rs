//! The volume that a ledger is on, as whoever has it mounted sees it.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use holdfast_ledger::listing::VolumeFacts;

/// What a ledger's folder is mounted from; none for a device, whose size is the ledger's own.
pub fn facts(ledger: &Path) -> io::Result<Option<VolumeFacts>> {
    if fs::metadata(ledger).is_ok_and(|about| about.file_type().is_block_device()) {
        return Ok(None);
    }
    let folder = fs::canonicalize(ledger.parent().unwrap_or(Path::new("/")))?;
    let space = rustix::fs::statvfs(&folder)?;
    let (filesystem, options) = mounted(&fs::read_to_string("/proc/self/mountinfo")?, &folder).unwrap_or_default();
    Ok(Some(VolumeFacts {
        bytes: space.f_blocks * space.f_frsize,
        used: (space.f_blocks - space.f_bfree) * space.f_frsize,
        filesystem,
        options,
    }))
}

/// The file system that a folder is in and what that is mounted with: of mounts one over another the last.
fn mounted(mountinfo: &str, folder: &Path) -> Option<(String, Vec<String>)> {
    let lines = mountinfo.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(4);
        let (place, options) = (words.next()?.replace("\\040", " "), words.next()?);
        let depth = folder.starts_with(&place).then(|| Path::new(&place).components().count())?;
        Some((depth, filesystem.split(' ').next()?.to_owned(), options.split(',').map(str::to_owned).collect()))
    });
    lines.max_by_key(|(depth, ..)| *depth).map(|(_, filesystem, options)| (filesystem, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_that_has_the_folder_counts_and_the_last_of_these() {
        let mountinfo = "1 0 0:1 / / rw - overlay overlay rw\n\
                         2 1 8:1 / /volume rw,noatime shared:3 - ext4 /dev/sda rw\n\
                         3 1 8:2 / /volume\\040two ro - xfs /dev/sdb ro\n\
                         4 2 8:3 / /volume ro,nosuid - xfs /dev/sdc ro\n";
        let told = |folder: &str| mounted(mountinfo, Path::new(folder)).expect("mounted");
        assert_eq!(told("/volume"), ("xfs".to_owned(), vec!["ro".to_owned(), "nosuid".to_owned()]));
        assert_eq!(told("/volume two/x").1, ["ro"]);
        assert_eq!(told("/volumes").0, "overlay");
    }

    #[test]
    fn a_folder_of_this_machine_has_a_size_and_a_file_system() {
        let folder = tempfile::tempdir().expect("a folder");
        let facts = facts(&folder.path().join("ledger")).expect("facts").expect("no device");
        assert!(facts.bytes > facts.used && !facts.filesystem.is_empty(), "{facts:?}");
    }
}
