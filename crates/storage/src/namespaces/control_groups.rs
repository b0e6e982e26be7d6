//! Control groups of a node, which go with its power: a machine that comes up has none of before.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// Where the kernel has them: here, or in a folder for each controller.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Removes those of a node of a lab, in each hierarchy. One is busy for a moment after its last process was killed.
///
/// A kubelet that finds some takes 3 s for each, twice, to see that nothing runs there.
pub fn remove(root: &Path, lab: &Path, node: &str, deadline: Instant) -> Result<()> {
    let within = Path::new(lab.file_name().unwrap_or_default()).join(node);
    folders(root).chain([root.to_owned()]).try_for_each(|hierarchy| remove_whole(&hierarchy.join(&within), deadline))
}

fn folders(within: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(within).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

fn remove_whole(group: &Path, deadline: Instant) -> Result<()> {
    folders(group).try_for_each(|inner| remove_whole(&inner, deadline))?;
    let mut last = Ok(());
    let waited = wait_until(deadline, "the end of a control group", || {
        last = std::fs::remove_dir(group).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        !last.as_ref().is_err_and(|error| error.kind() == ErrorKind::ResourceBusy)
    });
    last.map_err(|error| Error::lab_io(group.display(), error)).and(waited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn those_of_one_node_go_in_every_hierarchy_and_no_others() {
        let root = tempfile::tempdir().expect("a folder");
        let lab = Path::new("/tmp/holdfast-lab-x");
        let made = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(&path).expect("a folder within");
            path
        };
        let theirs = [made("cpu/holdfast-lab-x/node1/kubepods/pod1"), made("holdfast-lab-x/node1/plugin")];
        let others = [made("cpu/holdfast-lab-x/node2/kubepods"), made("cpu/holdfast-lab-y/node1")];
        remove(root.path(), lab, "node1", Instant::now() + Duration::from_secs(5)).expect("they go");
        assert!(theirs.iter().all(|group| !group.exists()));
        assert!(!root.path().join("cpu/holdfast-lab-x/node1").exists());
        assert!(others.iter().all(|group| group.exists()));
        remove(root.path(), lab, "node1", Instant::now()).expect("none is there");
    }
}
