//! What the plugin answers: a result, an error as JSON, or an end without an answer.

use std::io::Write;
use std::process::ExitCode;

use super::object::{Object, quoted};
use super::{NAME, VERSIONS};

/// An error as the CNI specification describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniError {
    pub code: u32,
    pub message: String,
    pub details: String,
}

impl CniError {
    /// Incompatible version.
    pub const VERSION: u32 = 1;
    /// Invalid environment variables.
    pub const ENVIRONMENT: u32 = 4;
    /// I/O failure.
    pub const IO: u32 = 5;
    /// Failed to decode content.
    pub const DECODING: u32 = 6;
    /// Invalid network config.
    pub const CONFIG: u32 = 7;
    /// Try again later.
    pub const TRY_AGAIN: u32 = 11;
    /// Anything else; containerd's plugin has no other for its own errors.
    pub const INTERNAL: u32 = 999;

    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: String::new() }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Self::INTERNAL, message)
    }

    /// Indented, as Go's JSON package writes it.
    fn json(&self) -> String {
        let mut members =
            vec![format!("    \"code\": {}", self.code), format!("    \"msg\": {}", quoted(&self.message))];
        if !self.details.is_empty() {
            members.push(format!("    \"details\": {}", quoted(&self.details)));
        }
        format!("{{\n{}\n}}", members.join(",\n"))
    }

    /// Reads an error that a plugin printed.
    pub fn read(text: &[u8]) -> Option<Self> {
        let object = Object::read(text).ok()?;
        Some(Self {
            code: object.value("code")?,
            message: object.value("msg").unwrap_or_default(),
            details: object.value("details").unwrap_or_default(),
        })
    }
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Success, with what goes to standard output.
    Result(Vec<u8>),
    Error(CniError),
    /// As a Go program panics.
    Panic(String),
    /// Nothing on standard output.
    Exit(u8),
    /// The process kills itself.
    Crash,
    /// The runtime that waited for an answer is no more.
    RuntimeEnded,
    /// Who started us asked for nothing.
    About,
}

impl Answer {
    /// Gives it.
    pub fn give(self) -> ExitCode {
        match self {
            Self::Result(result) => print(&result, ExitCode::SUCCESS),
            Self::Error(error) => print(error.json().as_bytes(), ExitCode::FAILURE),
            Self::Panic(words) => {
                eprintln!("panic: {words}\n\n{NAME}: this panic was asked for by a failpoint");
                ExitCode::from(2)
            }
            Self::Exit(code) => ExitCode::from(code),
            Self::Crash => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                ExitCode::from(137) // the signal could not be sent
            }
            Self::RuntimeEnded => {
                eprintln!("{NAME}: the runtime that started this plugin has ended, and so does it");
                ExitCode::FAILURE
            }
            Self::About => {
                eprintln!("CNI plugin {NAME} {} (holdfast)", env!("CARGO_PKG_VERSION"));
                eprintln!("CNI protocol versions supported: {}", VERSIONS.join(", "));
                ExitCode::SUCCESS
            }
        }
    }
}

fn print(bytes: &[u8], success: ExitCode) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => success,
        Err(error) => {
            eprintln!("{NAME}: nobody takes the answer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The answer to VERSION.
pub fn versions() -> Vec<u8> {
    let listed: Vec<_> = VERSIONS.iter().map(|version| quoted(version)).collect();
    let newest = VERSIONS.last().copied().unwrap_or_default();
    format!("{{\"cniVersion\":{},\"supportedVersions\":[{}]}}\n", quoted(newest), listed.join(",")).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_as_the_original_writes_it() {
        assert_eq!(CniError::internal("x").json(), "{\n    \"code\": 999,\n    \"msg\": \"x\"\n}");
        let error = CniError { code: 7, message: "a<b".into(), details: "why".into() };
        assert_eq!(error.json(), "{\n    \"code\": 7,\n    \"msg\": \"a\\u003cb\",\n    \"details\": \"why\"\n}");
        assert_eq!(CniError::read(error.json().as_bytes()), Some(error));
    }
}
