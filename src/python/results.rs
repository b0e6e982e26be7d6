//! What is handed out: `holdfast.results` defines the classes, small frozen ones.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prost::Message;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::device::{ContainerAnswer, ControlProcessor, Outage, Reboot, Switchover, Unchecked};
use crate::dial::{Event, Field, Fields, Resumed};
use crate::gnmi::request::Extension;
use crate::gnmi::{Answered, Change, Leaf, Path, Value};
use crate::gnoi::containerz::{Container, ListedImage, LogItem, Plugin, Volume};
use crate::image::{Archive, Layout};
use crate::ledger::{Finding, Record};
use crate::wire::gnmi::{CapabilityResponse, Encoding, SetResponse};
use crate::wire::ledger::Description;

type Object = PyResult<Py<PyAny>>;

/// One of `holdfast.results`' classes from its fields.
pub fn make<'py>(py: Python<'py>, class: &str, fields: &Bound<'py, PyDict>) -> Object {
    Ok(py.import("holdfast.results")?.getattr(class)?.call((), Some(fields))?.unbind())
}

macro_rules! object {
    ($py:ident, $class:literal, $($field:ident: $value:expr),+ $(,)?) => {{
        let fields = PyDict::new($py);
        $(fields.set_item(stringify!($field), $value)?;)+
        $crate::python::results::make($py, $class, &fields)
    }};
}

pub(super) use object;

pub fn tuple<T>(py: Python<'_>, items: Vec<T>, convert: impl Fn(Python<'_>, T) -> Object) -> Object {
    let items = items.into_iter().map(|item| convert(py, item)).collect::<PyResult<Vec<_>>>()?;
    Ok(py.import("holdfast.results")?.getattr("Rows")?.call1((items,))?.unbind())
}

pub fn record(py: Python<'_>, record: Record) -> Object {
    let [payload, block] = [&record.payload, &record.block()].map(|bytes| pyo3::types::PyBytes::new(py, bytes));
    object!(py, "Record", number: record.head.number, writer: record.head.writer(), payload: payload,
        hash: hex::encode(record.head.hash), block: block)
}

pub fn description(py: Python<'_>, description: Description) -> Object {
    object!(py, "ContainerDescription", writer: description.writer, environment: description.environment, mounted: description.mounted,
        writable: description.writable)
}

pub fn dialled(py: Python<'_>, answer: ContainerAnswer) -> Object {
    let asked = match &answer {
        ContainerAnswer::Connected => "nothing",
        ContainerAnswer::Pong(_) => "ping",
        ContainerAnswer::Gnmi(_) => "gnmi",
        ContainerAnswer::Gribi(_) => "gribi",
    };
    let (clock, capable, response) = match answer {
        ContainerAnswer::Connected => (None, None, None),
        ContainerAnswer::Pong(clock) => (Some(time(py, clock)?), None, None),
        ContainerAnswer::Gnmi(answer) => (None, Some(capabilities(py, answer)?), None),
        ContainerAnswer::Gribi(bytes) => (None, None, Some(pyo3::types::PyBytes::new(py, &bytes))),
    };
    object!(py, "Dialled", asked: asked, time: clock, capabilities: capable, response: response)
}

pub fn capabilities(py: Python<'_>, answer: CapabilityResponse) -> Object {
    let encodings = answer.supported_encodings.iter().filter_map(|number| Encoding::try_from(*number).ok());
    let encodings: Vec<_> = encodings.map(|encoding| encoding.as_str_name()).collect();
    let models: Vec<_> = answer.supported_models.iter().map(|model| (&model.name, &model.version)).collect();
    object!(py, "Capabilities",
        version: &answer.g_nmi_version,
        encodings: pyo3::types::PyTuple::new(py, encodings)?,
        models: pyo3::types::PyTuple::new(py, models)?,
        extensions: extensions(py, &answer.extension)?,
    )
}

/// As they came, encoded.
fn extensions<'py>(py: Python<'py>, came: &[Extension]) -> PyResult<Bound<'py, PyTuple>> {
    if came.is_empty() {
        return Ok(PyTuple::empty(py));
    }
    let class = py.import("holdfast.gnmi")?.getattr("Extension")?;
    let made = came.iter().map(|each| class.call1((PyBytes::new(py, &each.encode_to_vec()),)));
    PyTuple::new(py, made.collect::<PyResult<Vec<_>>>()?)
}

/// What a Set was answered with, and what it changed where that was asked.
pub fn set_result(py: Python<'_>, (done, changes): (SetResponse, Option<Vec<Change>>)) -> Object {
    let module = py.import("holdfast.gnmi")?;
    let prefix = done.prefix.as_ref().map(Path::from_gnmi).unwrap_or_default();
    let operations = done.response.iter().map(|result| {
        let path = prefix.join(&result.path.as_ref().map(Path::from_gnmi).unwrap_or_default());
        module.getattr("Operation")?.call1((result.op().as_str_name(), path.to_string()))
    });
    let changes = changes.map(|changes| {
        let made = changes.iter().map(|change| {
            let held = |value: &Option<Value>| value.as_ref().map(|held| value_of(py, held)).transpose();
            module.getattr("Change")?.call1((change.path.to_string(), held(&change.before)?, held(&change.after)?))
        });
        PyTuple::new(py, made.collect::<PyResult<Vec<_>>>()?)
    });
    let fields = PyDict::new(py);
    fields.set_item("timestamp", done.timestamp)?;
    fields.set_item("prefix", done.prefix.is_some().then(|| prefix.to_string()))?;
    fields.set_item("target", done.prefix.as_ref().map_or("", |prefix| prefix.target.as_str()))?;
    fields.set_item("operations", PyTuple::new(py, operations.collect::<PyResult<Vec<_>>>()?)?)?;
    fields.set_item("changes", changes.transpose()?)?;
    fields.set_item("extensions", extensions(py, &done.extension)?)?;
    Ok(module.getattr("SetResult")?.call((), Some(&fields))?.unbind())
}

pub fn records(py: Python<'_>, records: Vec<Record>) -> Object {
    tuple(py, records, record)
}

pub fn nothing(py: Python<'_>, (): ()) -> Object {
    Ok(py.None())
}

pub fn text(py: Python<'_>, text: String) -> Object {
    Ok(text.into_pyobject(py)?.into_any().unbind())
}

pub fn optional_text(py: Python<'_>, text: Option<String>) -> Object {
    Ok(text.into_pyobject(py)?.into_any().unbind())
}

pub fn truth(py: Python<'_>, truth: bool) -> Object {
    Ok(truth.into_pyobject(py)?.to_owned().into_any().unbind())
}

pub fn lines(py: Python<'_>, lines: Vec<String>) -> Object {
    Ok(lines.into_pyobject(py)?.into_any().unbind())
}

pub fn time(py: Python<'_>, time: SystemTime) -> Object {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let utc = py.import("datetime")?.getattr("timezone")?.getattr("utc")?;
    Ok(py.import("datetime")?.getattr("datetime")?.call_method1("fromtimestamp", (since.as_secs_f64(), utc))?.unbind())
}

pub fn nanoseconds(py: Python<'_>, stamp: Option<u64>) -> PyResult<Option<Py<PyAny>>> {
    stamp.map(|stamp| time(py, SystemTime::UNIX_EPOCH + Duration::from_nanos(stamp))).transpose()
}

fn dict(py: Python<'_>, map: BTreeMap<String, String>) -> Object {
    Ok(map.into_pyobject(py)?.into_any().unbind())
}

pub fn control_processors(py: Python<'_>, all: Vec<ControlProcessor>) -> Object {
    tuple(py, all, |py, cp| {
        object!(py, "ControlProcessor",
            name: cp.name,
            role: cp.role.name(),
            ready: cp.ready,
            boot_time: nanoseconds(py, cp.boot_time)?,
            last_switchover_time: nanoseconds(py, cp.last_switchover_time)?,
            software_version: cp.software_version,
        )
    })
}

pub fn image(py: Python<'_>, image: ListedImage) -> Object {
    let tags = pyo3::types::PyTuple::new(py, image.tags)?;
    let digests = pyo3::types::PyTuple::new(py, image.digests)?;
    object!(py, "Image", id: image.id, name: image.name, tags: tags, digests: digests)
}

pub fn images(py: Python<'_>, images: Vec<ListedImage>) -> Object {
    let listed = tuple(py, images, image)?;
    Ok(py.import("holdfast.results")?.getattr("Images")?.call1((listed,))?.unbind())
}

pub fn container(py: Python<'_>, container: Container) -> Object {
    object!(py, "Container",
        id: container.id, name: container.name, image: container.image, status: container.status.name(),
        labels: dict(py, container.labels)?, aliases: pyo3::types::PyTuple::new(py, container.aliases)?,
    )
}

pub fn containers(py: Python<'_>, containers: Vec<Container>) -> Object {
    tuple(py, containers, container)
}

pub fn volume(py: Python<'_>, volume: Volume) -> Object {
    object!(py, "Volume",
        name: volume.name,
        created: volume.created.and_then(|created| time(py, created).ok()),
        driver: volume.driver,
        options: dict(py, volume.options)?,
        labels: dict(py, volume.labels)?,
    )
}

pub fn volumes(py: Python<'_>, volumes: Vec<Volume>) -> Object {
    tuple(py, volumes, volume)
}

pub fn plugins(py: Python<'_>, plugins: Vec<Plugin>) -> Object {
    tuple(
        py,
        plugins,
        |py, plugin| object!(py, "Plugin", id: plugin.id, instance_name: plugin.instance_name, config: plugin.config),
    )
}

pub fn events(py: Python<'_>, events: Vec<Event>) -> Object {
    let events = tuple(py, events, |py, event| {
        object!(py, "Event",
            at: event.at.as_secs_f64(), time: time(py, event.time)?, kind: event.kind.name(), text: event.text,
            fields: fields(py, event.fields)?, repeated: event.repeated,
        )
    })?;
    Ok(py.import("holdfast.results")?.getattr("Timeline")?.call1((events,))?.unbind())
}

fn fields(py: Python<'_>, fields: Fields) -> PyResult<Bound<'_, PyDict>> {
    let shown = PyDict::new(py);
    for (name, field) in fields {
        match field {
            Field::Text(text) => shown.set_item(name, text)?,
            Field::Time(time) => shown.set_item(name, time.as_secs_f64())?,
        }
    }
    Ok(shown)
}

fn outage(py: Python<'_>, outage: Option<Outage>) -> PyResult<Option<Py<PyAny>>> {
    outage
        .map(|outage| object!(py, "Outage", began: outage.began.as_secs_f64(), ended: outage.ended.as_secs_f64()))
        .transpose()
}

/// What the device gave no means to check, if there is such a thing.
pub fn maybe_unchecked(py: Python<'_>, unchecked: Option<Unchecked>) -> Object {
    unchecked.map_or_else(|| Ok(py.None()), |each| one_unchecked(py, each))
}

fn one_unchecked(py: Python<'_>, each: Unchecked) -> Object {
    object!(py, "Unchecked", what: each.what, why: each.why)
}

fn unchecked(py: Python<'_>, all: Vec<Unchecked>) -> PyResult<Bound<'_, pyo3::types::PyTuple>> {
    let all = all.into_iter().map(|each| one_unchecked(py, each));
    pyo3::types::PyTuple::new(py, all.collect::<PyResult<Vec<_>>>()?)
}

/// What the judge of a ledger found.
pub fn finding(py: Python<'_>, finding: &Finding) -> Object {
    object!(py, "LedgerFinding", kind: finding.kind(), record: finding.record(), words: finding.to_string())
}

/// What is left of a volume or its tasks.
pub fn leftover(py: Python<'_>, kind: &str, name: &str, node: &str, words: &str) -> Object {
    object!(py, "StorageLeftover", kind: kind, name: name, node: node, words: words)
}

pub fn switchover(py: Python<'_>, moved: Switchover) -> Object {
    let fields = PyDict::new(py);
    fields.set_item("origin", moved.from)?;
    fields.set_item("target", moved.to)?;
    fields.set_item("outage", outage(py, moved.outage)?)?;
    fields.set_item("witnesses", pyo3::types::PyTuple::new(py, moved.witnesses)?)?;
    fields.set_item("not_checked", unchecked(py, moved.not_checked)?)?;
    fields.set_item("timeline", events(py, moved.timeline)?)?;
    make(py, "Switchover", &fields)
}

pub fn reboot(py: Python<'_>, reboot: Reboot) -> Object {
    let fields = PyDict::new(py);
    fields.set_item("outage", outage(py, reboot.outage)?)?;
    fields.set_item("witnesses", pyo3::types::PyTuple::new(py, reboot.witnesses)?)?;
    fields.set_item("not_checked", unchecked(py, reboot.not_checked)?)?;
    fields.set_item("timeline", events(py, reboot.timeline)?)?;
    make(py, "Reboot", &fields)
}

fn value_of(py: Python<'_>, value: &Value) -> Object {
    Ok(match value {
        Value::String(text) => text.into_pyobject(py)?.into_any().unbind(),
        Value::Int(number) => number.into_pyobject(py)?.into_any().unbind(),
        Value::Uint(number) => number.into_pyobject(py)?.into_any().unbind(),
        Value::Bool(truth) => truth.into_pyobject(py)?.to_owned().into_any().unbind(),
        Value::Double(number) => number.into_pyobject(py)?.into_any().unbind(),
        Value::Bytes(bytes) => pyo3::types::PyBytes::new(py, bytes).into_any().unbind(),
        Value::List(list) => {
            let items = list.iter().map(|item| value_of(py, item)).collect::<PyResult<Vec<_>>>()?;
            pyo3::types::PyList::new(py, items)?.into_any().unbind()
        }
        Value::Json(json) => py.import("json")?.call_method1("loads", (json.to_string(),))?.unbind(),
    })
}

/// Leaves of a Get or of a Subscribe ONCE.
pub fn answered_leaves(py: Python<'_>, answer: Answered<Vec<Leaf>>) -> Object {
    let leaves = answer.value.into_iter().map(|each| leaf(py, each)).collect::<PyResult<Vec<_>>>()?;
    let made = py.import("holdfast.results")?.getattr("Leaves")?.call1((leaves,))?;
    if !answer.extensions.is_empty() {
        made.setattr("extensions", extensions(py, &answer.extensions)?)?;
    }
    Ok(made.unbind())
}

fn leaf(py: Python<'_>, leaf: Leaf) -> Object {
    let stamp = u64::try_from(leaf.timestamp).ok();
    object!(py, "Leaf",
        path: leaf.path.to_string(),
        value: leaf.value.as_ref().map(|held| value_of(py, held)).transpose()?,
        time: nanoseconds(py, stamp)?,
        timestamp: leaf.timestamp,
        target: leaf.target,
    )
}

/// What came over a subscription.
pub fn updates(py: Python<'_>, leaves: Vec<Leaf>, resumed: Option<Resumed>, came: Vec<Extension>) -> Object {
    let class = py.import("holdfast.results")?.getattr("Updates")?;
    if let Some(Resumed { why }) = resumed {
        return Ok(class.call_method1("marker", (why,))?.unbind());
    }
    let leaves = leaves.into_iter().map(|each| leaf(py, each)).collect::<PyResult<Vec<_>>>()?;
    let made = class.call1((leaves,))?;
    if !came.is_empty() {
        made.setattr("extensions", extensions(py, &came)?)?;
    }
    Ok(made.unbind())
}

/// What came of a log.
pub fn log_line(py: Python<'_>, item: LogItem) -> Object {
    let class = py.import("holdfast.results")?.getattr("LogLine")?;
    let made = match item {
        LogItem::Line(line) => class.call1((line,))?,
        LogItem::Resumed { why, cut } => class.call_method1("marker", (why, cut))?,
    };
    Ok(made.unbind())
}

pub fn archive(py: Python<'_>, archive: &Archive) -> Object {
    let images = archive.images.iter().map(|image| {
        let layers = image.layers.iter().map(|layer| object!(py, "Layer", digest: &layer.digest, size: layer.size));
        let names: Vec<_> = image.names.iter().map(ToString::to_string).collect();
        object!(py, "ArchiveImage",
            id: &image.id,
            names: pyo3::types::PyTuple::new(py, names)?,
            not_names: pyo3::types::PyTuple::new(py, &image.not_names)?,
            digests: pyo3::types::PyTuple::new(py, image.ids().collect::<Vec<_>>())?,
            platform: &image.platform,
            layers: pyo3::types::PyTuple::new(py, layers.collect::<PyResult<Vec<_>>>()?)?,
            command: pyo3::types::PyTuple::new(py, &image.command)?,
            labels: dict(py, image.labels.clone())?,
        )
    });
    let images = images.collect::<PyResult<Vec<_>>>()?;
    object!(py, "Archive",
        path: archive.path.display().to_string(),
        size: archive.size,
        unpacked: archive.unpacked,
        compression: archive.compression.name(),
        layout: if archive.layout == Layout::Oci { "OCI" } else { "docker-save" },
        images: pyo3::types::PyTuple::new(py, images)?,
        notes: pyo3::types::PyTuple::new(py, &archive.notes)?,
    )
}
