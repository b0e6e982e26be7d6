//! `generated/` is what `proto/` says. With `HOLDFAST_WRITE_GENERATED=1`, writes it anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use prost::Message;

/// What is spoken here, by its path in `proto/`.
const SPOKEN: [&str; 10] = [
    "cntr/cntr.proto",
    "cri/runtime.proto",
    "csi/csi.proto",
    "gnmi/gnmi.proto",
    "gribi/gribi.proto",
    "gnoi/containerz.proto",
    "gnoi/file.proto",
    "gnoi/healthz.proto",
    "gnoi/system.proto",
    "holdfast/ledger.proto",
];

/// Read as text by others, never spoken here: only their descriptors are needed.
const READ_ONLY: [&str; 2] = ["ondatra/binding.proto", "ondatra/testbed.proto"];

const WRITE: &str = "HOLDFAST_WRITE_GENERATED";

type Files = BTreeMap<String, Vec<u8>>;

#[test]
fn generated_code_is_what_proto_says() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted = generate(&crate_root.join("../../proto"));
    let folder = crate_root.join("generated");
    if env::var_os(WRITE).is_some() {
        replace(&folder, &wanted);
        return;
    }
    let kept = files_of(&folder);
    let differing: Vec<&String> =
        wanted.keys().chain(kept.keys()).filter(|name| wanted.get(*name) != kept.get(*name)).collect();
    assert!(
        differing.is_empty(),
        "{differing:?} in {} differ from proto/: `{WRITE}=1 cargo test -p holdfast-wire --test generated` writes them",
        folder.display()
    );
}

fn generate(protos: &Path) -> Files {
    let all = protox::compile(SPOKEN.iter().chain(&READ_ONLY), [protos]).expect("contracts that compile");
    let spoken = protox::compile(SPOKEN, [protos]).expect("contracts that compile");
    let folder = tempfile::tempdir().expect("a temporary folder");
    tonic_prost_build::configure()
        .build_transport(false)
        .skip_debug([".csi.v1"]) // so that no secret of theirs is ever printed
        .extern_path(".gnmi_ext.Extension", "crate::extension::Extension") // what it does not know must pass
        .bytes(".gnoi.containerz.DeployRequest.content")
        .emit_rerun_if_changed(false)
        .out_dir(folder.path())
        .compile_fds(spoken)
        .expect("generated code");
    let mut files = files_of(folder.path());
    files.insert("descriptors.bin".to_owned(), all.encode_to_vec());
    files
}

fn files_of(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).expect("a folder");
    let named = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (named(&path), fs::read(&path).expect("a file")))
        .collect()
}

fn replace(folder: &Path, files: &Files) {
    fs::create_dir_all(folder).expect("a folder");
    for name in files_of(folder).keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(folder.join(name)).expect("an old file removed");
    }
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("a file written");
    }
}
