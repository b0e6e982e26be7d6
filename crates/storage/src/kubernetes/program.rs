//! The executable of tasks, as a pod gets it.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::cluster::Cluster;
use super::manifests::{self, EXECUTABLE, ProgramParts};
use holdfast_net::error::{Error, Result};

/// Where a pod has the folder that it is unpacked into.
const FOLDER: &str = "/holdfast";
/// What its object in the run's namespace is called, and the file in it.
const PACKED: (&str, &str) = ("ledger", "ledger.gz");
/// What a ConfigMap may hold.
const ROOM: usize = 1 << 20;

/// Whence a pod has the executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// Every node has it at this path.
    OnNodes(String),
    /// The run's namespace has it; each pod unpacks it by the shell and the gzip of its image.
    Packed,
}

impl Program {
    /// What of a pod brings it.
    pub(super) fn parts(&self, image: &str) -> ProgramParts {
        match self {
            Self::OnNodes(path) => ProgramParts {
                volumes: vec![json!({"name": "ledger", "hostPath": {"path": path, "type": "File"}})],
                mount: json!({"name": "ledger", "mountPath": EXECUTABLE, "readOnly": true}),
                before: Vec::new(),
            },
            Self::Packed => {
                let (name, file) = PACKED;
                let unpack = format!("gzip -dc /packed/{file} > {EXECUTABLE} && chmod 755 {EXECUTABLE}");
                let unpacking = json!({
                    "name": "unpack",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", unpack],
                    "volumeMounts": [
                        {"name": "ledger", "mountPath": FOLDER},
                        {"name": "packed", "mountPath": "/packed", "readOnly": true},
                    ],
                });
                let volumes = vec![
                    json!({"name": "ledger", "emptyDir": {}}),
                    json!({"name": "packed", "configMap": {"name": name}}),
                ];
                ProgramParts { volumes, mount: json!({"name": "ledger", "mountPath": FOLDER}), before: vec![unpacking] }
            }
        }
    }

    /// What a pod does that only holds its volume; nothing, where its image does that by itself.
    pub(super) fn holding(&self) -> Vec<String> {
        match self {
            Self::OnNodes(_) => Vec::new(),
            Self::Packed => ["sh", "-c", "trap 'exit 0' TERM; tail -f /dev/null & wait"].map(str::to_owned).to_vec(),
        }
    }
}

impl Cluster {
    /// Puts the executable into the run's namespace.
    pub fn pack(&self, executable: &Path, deadline: Instant) -> Result<()> {
        let failed = |error| Error::lab_io(executable.display().to_string(), error);
        let bytes = std::fs::read(executable).map_err(failed)?;
        let mut packing = GzEncoder::new(Vec::new(), Compression::best());
        packing.write_all(&bytes).map_err(failed)?;
        let packed = packing.finish().map_err(failed)?;
        if packed.len() > ROOM {
            let size = packed.len();
            return Err(Error::lab(format!(
                "the ledger's executable is {size} bytes when packed: a ConfigMap has 1 MiB"
            )));
        }
        let (name, file) = PACKED;
        let mut object: ConfigMap = manifests::object(&json!({"metadata": {"name": name}}))?;
        object.binary_data = Some([(file.to_owned(), ByteString(packed))].into());
        self.create(&self.own(), &object, deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_executable_is_unpacked_where_the_task_runs_it() {
        let ProgramParts { volumes, mount, before } = Program::Packed.parts("busybox");
        let named: Vec<_> = volumes.iter().map(|volume| volume["name"].as_str()).collect();
        assert_eq!(named, [Some("ledger"), Some("packed")]);
        assert!(EXECUTABLE.starts_with(mount["mountPath"].as_str().expect("a path")));
        assert!(before[0]["command"][2].as_str().is_some_and(|line| line.contains("/packed/ledger.gz")));
        let ProgramParts { volumes, before, .. } = Program::OnNodes("/there".to_owned()).parts("pause");
        assert_eq!((volumes[0]["hostPath"]["path"].as_str(), before.len()), (Some("/there"), 0));
    }
}
