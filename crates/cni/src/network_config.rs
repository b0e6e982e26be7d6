//! The network configuration on standard input, as far as this plugin looks at it.

use super::VERSIONS;
use super::answer::CniError;
use super::environment::is_identifier;
use super::object::{Object, quoted};

/// Where a runtime with the capability `io.kubernetes.cri.pod-annotations` hands over a pod's annotations.
const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
/// The annotation that names the failpoint file.
const CONF_PATH: &str = "failpoint.cni.containerd.io/confpath";

/// What matters of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The failpoint file, where the pod has one.
    pub conf_path: Option<String>,
    /// `confRoot`: the folder under which the failpoint file must lie.
    pub conf_root: Option<String>,
    /// `hitLog`: where each invocation writes a line.
    pub hit_log: Option<String>,
}

impl NetworkConfig {
    /// Reads and checks it; nothing was done before.
    pub fn read(stdin: &[u8]) -> Result<Self, CniError> {
        let undecodable = |error: String| {
            CniError::new(CniError::DECODING, format!("error unmarshalling the network configuration: {error}"))
        };
        let config = Object::read(stdin).map_err(undecodable)?;
        let name = config.text("name").map_err(undecodable)?.unwrap_or_default();
        if name.is_empty() {
            return Err(CniError::new(CniError::CONFIG, "missing network name"));
        }
        if !is_identifier(&name) {
            return Err(CniError::new(CniError::CONFIG, format!("invalid characters found in network name: {name:?}")));
        }
        let version = config.text("cniVersion").map_err(undecodable)?.filter(|version| !version.is_empty());
        let version = version.unwrap_or_else(|| "0.1.0".to_owned());
        if !VERSIONS.contains(&version.as_str()) {
            let known: Vec<_> = VERSIONS.iter().map(|version| quoted(version)).collect();
            let details = format!("config is {}, plugin supports [{}]", quoted(&version), known.join(" "));
            let incompatible = CniError::new(CniError::VERSION, "incompatible CNI versions");
            return Err(CniError { details, ..incompatible });
        }
        let annotations = match config.object("runtimeConfig").map_err(undecodable)? {
            Some(runtime_config) => runtime_config.object(ANNOTATIONS).map_err(undecodable)?,
            None => None,
        };
        let conf_path = match annotations {
            Some(annotations) => annotations.text(CONF_PATH).map_err(undecodable)?,
            None => None,
        };
        let present = |text: Option<String>| text.filter(|text| !text.is_empty());
        let setting = |name: &str| config.text(name).map(present).map_err(undecodable);
        Ok(Self { conf_path: present(conf_path), conf_root: setting("confRoot")?, hit_log: setting("hitLog")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> u32 {
        NetworkConfig::read(text.as_bytes()).map_or_else(|error| error.code, |_| 0)
    }

    #[test]
    fn checks_come_in_their_order() {
        assert_eq!(code("{"), 6);
        assert_eq!(code("[]"), 6);
        assert_eq!(code("{} {}"), 6);
        assert_eq!(code("{\"name\": 1}"), 6);
        assert_eq!(code("{\"cniVersion\": \"9.9\"}"), 7);
        assert_eq!(code("{\"name\": \"a b\"}"), 7);
        assert_eq!(code("{\"name\": \"net\", \"cniVersion\": \"9.9\"}"), 1);
        assert_eq!(code("{\"name\": \"net\"}"), 0);
        assert_eq!(code("{\"name\": \"net\", \"runtimeConfig\": []}"), 6);
        assert_eq!(code(&format!("{{\"name\": \"net\", \"x\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000))), 0);
    }

    #[test]
    fn the_failpoint_file_is_found() {
        let config = format!("{{\"name\":\"net\",\"runtimeConfig\":{{\"{ANNOTATIONS}\":{{\"{CONF_PATH}\":\"/x\"}}}}}}");
        let read = NetworkConfig::read(config.as_bytes()).expect("a configuration");
        assert_eq!(read.conf_path.as_deref(), Some("/x"));
    }
}
