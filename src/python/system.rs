//! gNOI System.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments::{Seconds, Whole, duration};
use super::both_worlds::both_worlds;
use super::results;
use crate::device::Device as CoreDevice;
use crate::gnmi::Path;
use crate::wire::gnoi::system::{PingResponse, RebootMethod, RebootStatusResponse};

fn status(py: Python<'_>, answer: RebootStatusResponse) -> PyResult<Py<PyAny>> {
    let fields = PyDict::new(py);
    #[allow(clippy::cast_precision_loss)]
    let seconds = answer.wait as f64 / 1e9;
    fields.set_item("active", answer.active)?;
    fields.set_item("wait", seconds)?;
    fields.set_item("reason", &answer.reason)?;
    fields.set_item("count", answer.count)?;
    Ok(py.import("holdfast.results")?.getattr("RebootStatus")?.call((), Some(&fields))?.unbind())
}

fn replies(py: Python<'_>, replies: Vec<PingResponse>) -> PyResult<Py<PyAny>> {
    let summary = replies.last().cloned().unwrap_or_default();
    let fields = PyDict::new(py);
    #[allow(clippy::cast_precision_loss)]
    let seconds = |nanoseconds: i64| nanoseconds as f64 / 1e9;
    fields.set_item("sent", summary.sent)?;
    fields.set_item("received", summary.received)?;
    fields.set_item("min_time", seconds(summary.min_time))?;
    fields.set_item("avg_time", seconds(summary.avg_time))?;
    fields.set_item("max_time", seconds(summary.max_time))?;
    Ok(py.import("holdfast.results")?.getattr("PingSummary")?.call((), Some(&fields))?.unbind())
}

both_worlds! {
    /// gNOI System of a device.
    System and AsyncSystem over CoreDevice, in Client;

    /// Time.
    #[pyo3(signature = (*, timeout=None))]
    fn time(device, timeout: Option<Seconds>) => results::time {
        async move { device.system.time(device.session().deadline(duration(timeout))).await }
    }

    /// Ping.
    #[pyo3(signature = (destination, *, count=Whole(3), timeout=None))]
    fn ping(device, destination: String, count: Whole<i32>, timeout: Option<Seconds>) => self::replies {
        async move { device.system.ping(&destination, count.0, device.session().deadline(duration(timeout))).await }
    }

    /// SwitchControlProcessor alone, without a look at what follows.
    #[pyo3(signature = (target, *, name_only=false, timeout=None))]
    fn switch_control_processor(device, target: String, name_only: bool, timeout: Option<Seconds>) => results::nothing {
        let path = if name_only { Path::bare(&target) } else { Path::component(&target) };
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.system.switch_control_processor(&path, deadline).await.map(|_| ())
        }
    }

    /// Reboot(COLD) alone, of the chassis or of some components, without a look at what follows.
    #[pyo3(signature = (*, subcomponents=vec![], message="", force=false, timeout=None))]
    fn reboot(device, subcomponents: Vec<String>, message: &str, force: bool, timeout: Option<Seconds>) => results::nothing {
        let (paths, message) = (subcomponents.iter().map(|name| Path::component(name)).collect::<Vec<_>>(), message.to_owned());
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.system.reboot(RebootMethod::Cold, &paths, &message, force, deadline).await
        }
    }

    /// RebootStatus.
    #[pyo3(signature = (*, timeout=None))]
    fn reboot_status(device, timeout: Option<Seconds>) => self::status {
        async move { device.system.reboot_status(&[], device.session().deadline(duration(timeout))).await }
    }

    /// KillProcess, with SIGKILL.
    #[pyo3(signature = (name, *, restart=false, timeout=None))]
    fn kill_process(device, name: String, restart: bool, timeout: Option<Seconds>) => results::nothing {
        async move {
            let deadline = device.session().deadline(duration(timeout));
            device.system.kill_process(&name, restart, deadline).await
        }
    }

    /// CancelReboot.
    #[pyo3(signature = (*, message="", timeout=None))]
    fn cancel_reboot(device, message: &str, timeout: Option<Seconds>) => results::nothing {
        let message = message.to_owned();
        async move { device.system.cancel_reboot(&message, &[], device.session().deadline(duration(timeout))).await }
    }
}
