//! Parts of CSI's messages, and the names of folders.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::rpc::Rpc;
use crate::features::ContentSource;
use crate::volumes::Access;
use holdfast_net::error::{Error, Kind, Result};
use holdfast_wire::csi;
use holdfast_wire::csi::volume_capability::access_mode::Mode;

/// What a driver may hand us to be told again, in bytes.
const MAX_CONTEXT: usize = 4 << 20;
/// As many bytes of a name are shown in a folder's.
const SHOWN: usize = 120;

/// An access mode, as CSI has it.
pub fn mode(access: Access) -> Mode {
    match access {
        Access::SingleNodeWriter => Mode::SingleNodeWriter,
        Access::SingleNodeReaderOnly => Mode::SingleNodeReaderOnly,
        Access::SingleNodeSingleWriter => Mode::SingleNodeSingleWriter,
        Access::SingleNodeMultiWriter => Mode::SingleNodeMultiWriter,
        Access::MultiNodeReaderOnly => Mode::MultiNodeReaderOnly,
        Access::MultiNodeSingleWriter => Mode::MultiNodeSingleWriter,
        Access::MultiNodeMultiWriter => Mode::MultiNodeMultiWriter,
    }
}

/// The reverse; none, where it is missing or unknown.
pub fn access(mode: Mode) -> Option<Access> {
    Access::ALL.into_iter().map(|(_, access)| access).find(|access| self::mode(*access) == mode)
}

/// What a volume shall be able to; as a file system, where it is mounted as one.
pub fn capability(access: Access, mount: Option<csi::volume_capability::MountVolume>) -> csi::VolumeCapability {
    use csi::volume_capability::{AccessMode, AccessType, BlockVolume};
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode(access).into() }),
        access_type: Some(mount.map_or(AccessType::Block(BlockVolume {}), AccessType::Mount)),
    }
}

/// What a volume is made from, as CSI has it.
pub fn content_source(content: &ContentSource) -> csi::VolumeContentSource {
    use csi::volume_content_source::{SnapshotSource, Type, VolumeSource};
    let from = match content {
        ContentSource::Snapshot(id) => Type::Snapshot(SnapshotSource { snapshot_id: id.clone() }),
        ContentSource::Volume(id) => Type::Volume(VolumeSource { volume_id: id.clone() }),
    };
    csi::VolumeContentSource { r#type: Some(from) }
}

/// That a new volume is made from what was asked for, where the driver tells.
pub fn check_content(asked: Option<&ContentSource>, answered: Option<&csi::VolumeContentSource>) -> Result<()> {
    let (Some(asked), Some(answered)) = (asked, answered) else { return Ok(()) };
    if *answered == content_source(asked) {
        return Ok(());
    }
    let (asked, answered) = (named(&content_source(asked)), named(answered));
    Err(otherwise(format!("asked for a volume from {asked}, and CreateVolume tells of one from {answered}")))
}

fn named(source: &csi::VolumeContentSource) -> String {
    use csi::volume_content_source::Type;
    match &source.r#type {
        Some(Type::Snapshot(from)) => format!("the snapshot {}", from.snapshot_id),
        Some(Type::Volume(from)) => format!("the volume {}", from.volume_id),
        None => "nothing".to_owned(),
    }
}

/// That a driver confirms what it was asked about: "the CO SHALL compare the fields of this message to the originally
/// requested capabilities", for one that does not know a newer field reads over it. Those that tell of the access mode
/// alone are many, and what they leave out is not held against them.
pub fn check_confirmed(asked: &csi::VolumeCapability, confirmed: &[csi::VolumeCapability]) -> Result<()> {
    let mode = |of: &csi::VolumeCapability| of.access_mode.as_ref().map(csi::volume_capability::AccessMode::mode);
    let is_block = |of: &csi::VolumeCapability| {
        of.access_type.as_ref().map(|held| matches!(held, csi::volume_capability::AccessType::Block(_)))
    };
    let same = |told: &csi::VolumeCapability| {
        mode(told) == mode(asked) && (is_block(told).is_none() || is_block(told) == is_block(asked))
    };
    if confirmed.iter().any(same) {
        return Ok(());
    }
    let shown = |of: &csi::VolumeCapability| {
        let kind = match is_block(of) {
            Some(true) => " as a device",
            Some(false) => " as a file system",
            None => "",
        };
        format!("{}{kind}", mode(of).map_or("no access mode", |mode| mode.as_str_name()))
    };
    let told: Vec<String> = confirmed.iter().map(shown).collect();
    let told = if told.is_empty() { "no capability".to_owned() } else { told.join(", ") };
    let why = format!("ValidateVolumeCapabilities was asked about {}, and confirms {told}", shown(asked));
    Err(otherwise(why))
}

/// An answer that cannot be.
pub fn otherwise(why: String) -> Error {
    Error::new(Kind::Expectation, why)
}

/// A size that `rpc` told; 0 is "unknown", and nothing is smaller.
pub fn size(bytes: i64, rpc: Rpc) -> Result<Option<u64>> {
    match u64::try_from(bytes) {
        Ok(0) => Ok(None),
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => Err(otherwise(format!("{} tells of {bytes} bytes", rpc.name()))),
    }
}

/// What a driver wants to be told again, if that is not too much.
pub fn checked(context: HashMap<String, String>, what: &str) -> Result<BTreeMap<String, String>> {
    let size: usize = context.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_CONTEXT {
        let why = format!("the driver's {what} has {size} bytes, and {MAX_CONTEXT} are taken");
        return Err(Error::new(Kind::Expectation, why));
    }
    Ok(context.into_iter().collect())
}

/// A name that is one folder's, whatever a driver calls its volumes: another for each.
pub fn plain(name: &str) -> String {
    let kept = |each: char| if each.is_ascii_alphanumeric() || "-_.".contains(each) { each } else { '_' };
    let shown: String = name.chars().map(kept).take(SHOWN).collect();
    if shown == name && !name.is_empty() && !name.starts_with('.') {
        return shown;
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{}~{:016x}", shown.trim_start_matches('.'), hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn whatever_a_driver_calls_a_volume_is_one_folder_of_its_own() {
        assert_eq!(plain("volume-1"), "volume-1");
        let long = "x".repeat(4096);
        let unicode = "卷".repeat(128);
        let names = [
            "",
            "_",
            ".",
            "..",
            "...",
            "../../etc",
            "a/b",
            "a_b",
            "a b",
            "a#b",
            "a:b",
            "srv#share#1",
            "srv/share/1",
            &long,
            &long[1..],
            &unicode,
            &unicode[3..],
        ];
        let folders: BTreeSet<String> = names.iter().map(|name| plain(name)).collect();
        assert_eq!(folders.len(), names.len(), "{folders:?}");
        for folder in folders {
            assert!(folder.len() <= 200 && !folder.starts_with('.') && !folder.contains('/'), "{folder}");
        }
    }

    #[test]
    fn a_size_below_nothing_is_no_size() {
        assert_eq!(size(0, Rpc::CreateVolume).expect("unknown"), None);
        assert_eq!(size(8, Rpc::CreateVolume).expect("told"), Some(8));
        let refused = size(-8, Rpc::CreateSnapshot).expect_err("below 0");
        assert_eq!(refused.message, "CreateSnapshot tells of -8 bytes");
    }

    #[test]
    fn a_context_of_megabytes_is_refused() {
        let context = [("key".to_owned(), "x".repeat(10 << 20))].into();
        let refused = checked(context, "volume context").expect_err("too large");
        assert!(refused.to_string().contains("volume context has 10485763 bytes"), "{refused}");
    }

    #[test]
    fn every_access_mode_of_the_specification_is_known() {
        for (name, access) in Access::ALL {
            assert_eq!(mode(access).as_str_name(), name);
            assert_eq!(super::access(mode(access)), Some(access));
        }
        assert_eq!(super::access(Mode::Unknown), None);
    }
}
