//! A tar without the zeros at its end is taken if all that it names is there, and only then.

use std::path::Path;

use holdfast_image::{Archive, Layout, Reference, TestContainer};

const BLOCK: usize = 512;

/// The test container's archive, of an executable that is none.
fn archive(folder: &Path) -> Vec<u8> {
    let (executable, path) = (folder.join("cntrsrv"), folder.join("whole.tar"));
    std::fs::write(&executable, b"no executable").expect("written");
    let made = TestContainer {
        name: Reference::new("app", "v1").expect("a name"),
        platform: "linux/amd64".into(),
        labels: [].into(),
        environment: [].into(),
    };
    made.write(&executable, &path).expect("written");
    std::fs::read(path).expect("read")
}

#[test]
fn what_is_whole_is_taken_and_what_was_cut_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = archive(folder.path());
    let path = folder.path().join("cut.tar");
    let id = Archive::open(&folder.path().join("whole.tar")).expect("whole").images[0].id.clone();
    let (mut taken, mut refused) = (0, 0);
    for length in (BLOCK..=whole.len()).step_by(BLOCK) {
        std::fs::write(&path, &whole[..length]).expect("written");
        match Archive::open(&path) {
            Ok(opened) => {
                taken += 1;
                assert_eq!((opened.images.len(), opened.layout), (1, Layout::Oci), "{length}");
                assert_eq!(opened.images[0].id, id, "{length}");
                assert_eq!(opened.notes.is_empty(), length > whole.len() - 2 * BLOCK, "{length}: {:?}", opened.notes);
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("cut short"), "{length}: {error}");
            }
        }
    }
    // Without an end, with one block of it, and whole.
    assert_eq!(taken, 3, "and {refused} refused");
}

#[test]
fn without_an_end_no_list_of_names_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = archive(folder.path());
    let path = folder.path().join("cut.tar");
    std::fs::write(&path, &whole[..whole.len() - 2 * BLOCK]).expect("written");
    assert!(holdfast_image::names(&path).expect_err("cut").to_string().contains("cut short"));
    assert!(holdfast_image::names(&folder.path().join("whole.tar")).expect("whole").contains(&"index.json".to_owned()));
}
