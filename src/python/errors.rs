//! The one mapping from our errors to Python's exceptions, which `holdfast.exceptions` defines.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tonic::Code;

use crate::error::{ConnectFault, Error, Kind, RebootFault, Remedy, Subject, SwitchoverFault, code_name};

/// The exception for an error.
pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let made = || -> PyResult<Bound<'_, PyAny>> {
        let details = PyDict::new(py);
        details.set_item("device", error.device.as_deref())?;
        details.set_item("operation", error.operation.as_deref())?;
        details.set_item("code", error.code().map(code_name))?;
        details.set_item("reason", error.reason())?;
        details.set_item("device_message", error.device_message())?;
        details.set_item("subject", error.subject.map(Subject::name))?;
        details.set_item("after", error.after.map(|after| after.as_secs_f64()))?;
        details.set_item("hint", &error.hint)?;
        details.set_item("remedy", error.remedy.map(Remedy::word))?;
        details.set_item("fails_procedure", fails_procedure(error.kind))?;
        let class = py.import("holdfast.exceptions")?.getattr(name(error.kind))?;
        class.call((error.to_string(),), Some(&details))
    };
    made().map_or_else(|failed| failed, PyErr::from_value)
}

/// What the caller gave makes no sense.
pub fn invalid(message: impl Into<String>) -> PyErr {
    refused(&Error::invalid(message))
}

/// An error outside of a call.
pub fn refused(error: &Error) -> PyErr {
    Python::attach(|py| to_python(py, error))
}

/// The words of all remedies that an error may have.
#[pyfunction]
pub fn remedies() -> Vec<&'static str> {
    Remedy::ALL.iter().map(|remedy| remedy.word()).collect()
}

fn fails_procedure(kind: Kind) -> bool {
    match kind {
        Kind::Switchover(fault) => fault.fails_procedure(),
        Kind::Reboot(fault) => fault.fails_procedure(),
        _ => true,
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Connect(fault) => match fault {
            ConnectFault::UnknownHost => "UnknownHost",
            ConnectFault::Unreachable => "Unreachable",
            ConnectFault::NotGrpc => "NotGrpc",
            ConnectFault::TlsExpected => "TlsExpected",
            ConnectFault::PlaintextExpected => "PlaintextExpected",
            ConnectFault::CertificateExpired => "CertificateExpired",
            ConnectFault::CertificateNotYetValid => "CertificateNotYetValid",
            ConnectFault::CertificateForAnotherName => "CertificateForAnotherName",
            ConnectFault::CertificateUntrusted => "CertificateUntrusted",
            ConnectFault::ClientCertificateRefused => "ClientCertificateRefused",
            ConnectFault::TlsHandshakeFailed => "TlsHandshakeFailed",
            ConnectFault::ProxyRefused => "ProxyRefused",
            ConnectFault::ProxyUnreachable => "ProxyUnreachable",
        },
        Kind::Status(code) => status_name(code),
        Kind::OutcomeUnknown => "OutcomeUnknown",
        Kind::Timeout => "Timeout",
        Kind::Image => "ImageError",
        Kind::Switchover(fault) => match fault {
            SwitchoverFault::NotReady => "SwitchoverNotReady",
            SwitchoverFault::Refused => "SwitchoverRefused",
            SwitchoverFault::Unimplemented => "SwitchoverUnimplemented",
            SwitchoverFault::Ignored => "SwitchoverIgnored",
            SwitchoverFault::Reversed => "SwitchoverReversed",
            SwitchoverFault::Unproven => "SwitchoverUnproven",
            SwitchoverFault::NeverBack => "SwitchoverNeverBack",
            SwitchoverFault::NeverRedundant => "SwitchoverNeverRedundant",
        },
        Kind::Reboot(fault) => match fault {
            RebootFault::Refused => "RebootRefused",
            RebootFault::Unimplemented => "RebootUnimplemented",
            RebootFault::Ignored => "RebootIgnored",
            RebootFault::Partial => "RebootPartial",
            RebootFault::NeverBack => "RebootNeverBack",
        },
        Kind::Roles => "RolesError",
        Kind::Expectation => "ExpectationFailed",
        Kind::Invalid => "InvalidArgumentError",
        Kind::Lab => "LabError",
        Kind::Scheduler => "SchedulerError",
    }
}

fn status_name(code: Code) -> &'static str {
    match code {
        Code::Ok | Code::Unknown => "Unknown",
        Code::Cancelled => "Cancelled",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
