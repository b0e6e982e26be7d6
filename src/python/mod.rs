//! The only code that knows pyo3: a file for each room it opens to Python.

mod archive;
mod arguments;
mod both_worlds;
mod calls;
mod containerz;
mod cri;
mod device;
mod emulator;
mod errors;
mod failpoint;
mod file;
mod gnmi;
mod gnmi_arguments;
mod healthz;
mod ledger;
mod logs;
mod mask;
mod progress;
mod reflection;
mod results;
mod results_in;
mod runtime;
mod storage;
mod storage_asking;
#[cfg(unix)]
mod storage_cluster;
mod storage_csi;
#[cfg(not(target_os = "linux"))]
mod storage_elsewhere;
mod storage_emulated;
#[cfg(unix)]
mod storage_hosts;
#[cfg(target_os = "linux")]
mod storage_namespaces;
mod storage_results;
#[cfg(target_os = "linux")]
mod storage_service;
mod system;

use pyo3::prelude::*;

/// `holdfast._core`
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::archive::{
        archive_choose, archive_open, cntrsrv_archive, image_written, own_platform, same_image_id, same_image_name,
    };
    #[pymodule_export]
    use super::calls::log_calls;
    #[pymodule_export]
    use super::containerz::{AsyncContainerz, Containerz};
    #[pymodule_export]
    use super::cri::{AsyncContainerRuntime, ContainerRuntime, container_runtime, container_runtime_async};
    #[pymodule_export]
    use super::device::{AsyncDevice, Device, connect, connect_async, deadline_steps, deadlines, proxy_shown};
    #[pymodule_export]
    use super::emulator::{
        AsyncChassis, Chassis, emulator, emulator_async, engine_leftovers, failpoint_names, quirk_names,
        remove_engine_leftovers,
    };
    #[pymodule_export]
    use super::errors::remedies;
    #[pymodule_export]
    use super::failpoint::{FailpointTerms, parse_terms};
    #[pymodule_export]
    use super::file::{AsyncFile, File};
    #[pymodule_export]
    use super::gnmi::{AsyncGnmi, AsyncSubscription, Gnmi, Subscription};
    #[pymodule_export]
    use super::healthz::{AsyncHealthz, Healthz};
    #[pymodule_export]
    use super::ledger::verify_records;
    #[pymodule_export]
    use super::logs::{AsyncLogLines, LogLines};
    #[pymodule_export]
    use super::mask::Mask;
    #[pymodule_export]
    use super::reflection::{message_decoded, message_encoded, message_fields};
    #[pymodule_export]
    use super::runtime::{run_jobs, stop};
    #[pymodule_export]
    use super::storage::{StorageLab, StorageTask, storage_lab_lacks};
    #[pymodule_export]
    use super::storage_asking::storage_introduce;
    #[cfg(unix)]
    #[pymodule_export]
    use super::storage_cluster::{
        storage_cluster, storage_cluster_allows, storage_cluster_end, storage_cluster_members, storage_cluster_runs,
    };
    #[pymodule_export]
    use super::storage_csi::storage_rpcs;
    #[cfg(not(target_os = "linux"))]
    #[pymodule_export]
    use super::storage_elsewhere::{storage_lab, storage_plugin, storage_server};
    #[pymodule_export]
    use super::storage_emulated::{storage_emulated, storage_personalities};
    #[cfg(unix)]
    #[pymodule_export]
    use super::storage_hosts::storage_hosts;
    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use super::storage_namespaces::storage_lab;
    #[pymodule_export]
    use super::storage_results::{StorageSnapshot, StorageVolume};
    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use super::storage_service::{StorageService, storage_plugin, storage_server};
    #[pymodule_export]
    use super::system::{AsyncSystem, System};

    use super::{Bound, PyModule, PyResult, logs};

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        logs::install();
        Ok(())
    }
}
