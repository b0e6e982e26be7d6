//! The environment that a runtime starts a plugin in.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::answer::CniError;

/// What a runtime asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
}

impl Command {
    /// As CNI_COMMAND spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }

    fn required(self) -> &'static [&'static str] {
        match self {
            Self::Add | Self::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
            Self::Del => &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
            Self::Gc | Self::Status => &["CNI_PATH"],
            Self::Version => &[],
        }
    }
}

/// Under which folder a failpoint file must lie, where the administrator says so.
pub const CONF_ROOT: &str = "HOLDFAST_CNI_CONF_ROOT";

/// Variables that were checked.
#[derive(Debug, Clone)]
pub struct Environment {
    pub container_id: String,
    pub interface: String,
    /// CNI_PATH, part by part.
    pub path: Vec<PathBuf>,
    /// HOLDFAST_CNI_CONF_ROOT
    pub conf_root: Option<String>,
}

/// What CNI_COMMAND asks for; nothing where it is not set.
pub fn command() -> Result<Option<Command>, CniError> {
    use Command::{Add, Check, Del, Gc, Status, Version};
    let Some(asked) = env::var_os("CNI_COMMAND").filter(|asked| !asked.is_empty()) else { return Ok(None) };
    let found = [Add, Del, Check, Gc, Status, Version].into_iter().find(|command| command.name() == asked);
    found.map(Some).ok_or_else(|| wrong(format!("unknown CNI_COMMAND: {}", asked.display())))
}

impl Environment {
    /// Reads what `command` needs; an error names all that is missing.
    pub fn read(command: Command) -> Result<Self, CniError> {
        let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let missing: Vec<_> = command.required().iter().copied().filter(|name| given(name).is_none()).collect();
        if !missing.is_empty() {
            return Err(wrong(format!("required env variables [{}] missing", missing.join(","))));
        }
        let text = |name: &str| {
            let value = given(name).map_or_else(|| Ok(String::new()), OsString::into_string);
            value.map_err(|value| wrong(format!("{name} is no UTF-8: {}", value.display())))
        };
        let (container_id, interface) = (text("CNI_CONTAINERID")?, text("CNI_IFNAME")?);
        if command.required().contains(&"CNI_CONTAINERID") {
            check_container_id(&container_id)?;
            check_interface(&interface)?;
        }
        let path = given("CNI_PATH").unwrap_or_default();
        let path = env::split_paths(&path).filter(|part| !part.as_os_str().is_empty()).collect();
        let conf_root = Some(text(CONF_ROOT)?).filter(|root| !root.is_empty());
        Ok(Self { container_id, interface, path, conf_root })
    }
}

fn wrong(message: String) -> CniError {
    CniError::new(CniError::ENVIRONMENT, message)
}

/// A letter or digit, then letters, digits, `_`, `.` and `-`.
pub fn is_identifier(text: &str) -> bool {
    let rest_fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(rest_fits)
}

fn check_container_id(id: &str) -> Result<(), CniError> {
    if is_identifier(id) { Ok(()) } else { Err(wrong(format!("invalid characters in containerID: {id:?}"))) }
}

/// What Linux takes as the name of an interface.
fn check_interface(name: &str) -> Result<(), CniError> {
    if name.len() > 15 {
        return Err(wrong(format!("interface name is too long: {name:?} has {} bytes, 15 fit", name.len())));
    }
    if name == "." || name == ".." {
        return Err(wrong("interface name is . or ..".to_owned()));
    }
    if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        return Err(wrong(format!("interface name contains / or : or whitespace characters: {name:?}")));
    }
    Ok(())
}
