//! The files that lead to a cluster.

use std::path::{Path, PathBuf};
use std::result::Result;

use kube::config::{ExecInteractiveMode, Kubeconfig, KubeconfigError};

use holdfast_net::error::{Error, chain};

/// A file; or several, as `$KUBECONFIG` has them: the first to say something counts, and one that is not there says
/// nothing. The programs in them that give credentials ask nobody anything.
pub fn read(kubeconfig: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let files: Vec<PathBuf> = std::env::split_paths(kubeconfig).filter(|file| file.exists()).collect();
    let mut read = if kubeconfig.exists() || files.is_empty() {
        Kubeconfig::read_from(kubeconfig)?
    } else {
        files.iter().try_fold(Kubeconfig::default(), |merged, file| merged.merge(said(file)?))?
    };
    ask_nobody(&mut read);
    Ok(read)
}

/// What a file says. `kubectl config unset current-context` leaves an empty one, which is none.
fn said(file: &Path) -> Result<Kubeconfig, KubeconfigError> {
    let mut read = Kubeconfig::read_from(file)?;
    let _ = read.current_context.take_if(|context| context.is_empty());
    Ok(read)
}

/// What is wrong with a kubeconfig, without what is in it.
pub fn unreadable(file: &str, error: &KubeconfigError) -> Error {
    let why = match error {
        KubeconfigError::Parse(_) => "it is no kubeconfig".to_owned(),
        error => chain(error),
    };
    Error::invalid(format!("{file}: {why}")).hint("give a kubeconfig, and a context that is in it")
}

/// Programs that give credentials ask nobody anything: the terminal is the tests'.
fn ask_nobody(config: &mut Kubeconfig) {
    for user in config.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        if let Some(exec) = user.exec.as_mut() {
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_are_one_and_the_first_to_say_something_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).expect("a file");
            file
        };
        let first = write("first", "current-context: one\nclusters: [{name: one, cluster: {server: 'https://one'}}]\n");
        let second =
            write("second", "current-context: two\nclusters: [{name: two, cluster: {server: 'https://two'}}]\n");
        let both = std::env::join_paths([&first, &folder.path().join("none"), &second]).expect("paths");
        let merged = read(Path::new(&both)).expect("both");
        let names: Vec<&str> = merged.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        assert_eq!((merged.current_context.as_deref(), names), (Some("one"), vec!["one", "two"]));
        let unset = write("unset", "current-context: ''\n");
        let both = std::env::join_paths([&unset, &second]).expect("paths");
        assert_eq!(read(Path::new(&both)).expect("both").current_context.as_deref(), Some("two"));
        let odd = write("a:b", "current-context: odd\n");
        assert_eq!(read(&odd).expect("one file").current_context.as_deref(), Some("odd"));
        assert!(read(&folder.path().join("none")).is_err());
    }
}
