//! The forms in which gNOI System names a control processor.

use crate::error::{Error, code_name};
use crate::gnmi::Path;

/// A form of a control processor's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathForm {
    /// `/components/component[name=X]`, origin `openconfig`.
    Full,
    /// The same without an origin.
    WithoutOrigin,
    /// `X`
    Bare,
    /// `component[name=X]`
    Keyed,
}

impl PathForm {
    /// The path of a control processor.
    pub fn path(self, name: &str) -> Path {
        match self {
            Self::Full => Path::component(name),
            Self::WithoutOrigin => Path { origin: String::new(), ..Path::component(name) },
            Self::Bare => Path::bare(name),
            Self::Keyed => Path::keyed(name),
        }
    }

    /// In words.
    pub fn describe(self, name: &str) -> String {
        let path = self.path(name);
        match self {
            Self::Full => format!("{path} with origin openconfig"),
            Self::WithoutOrigin => format!("{path} without an origin"),
            Self::Bare | Self::Keyed => path.to_string().trim_start_matches('/').to_owned(),
        }
    }
}

/// What a device said first, and what it said to other forms where that is another thing.
pub fn first_words(refusals: Vec<(String, Error)>) -> Error {
    let mut refusals = refusals.into_iter();
    let Some((_, first)) = refusals.next() else { return Error::invalid("no form of the path was tried") };
    let others = refusals.filter(|(_, error)| error.code() != first.code() || error.message != first.message);
    let others = others.map(|(asked, error)| {
        format!("; to {asked}: {}: {}", error.code().map_or("no status", code_name), error.message)
    });
    let message = std::iter::once(first.message.clone()).chain(others).collect();
    Error { message, ..first }
}
