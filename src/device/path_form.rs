//! The forms in which gNOI System names a control processor.

use std::sync::PoisonError;

use tokio::time::Instant;

use super::evidence::LOOK;
use super::{Device, Role};
use crate::dial::Call;
use crate::error::{Error, Result, code_name};
use crate::gnmi::Path;
use crate::waiting::try_until;

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

impl Device {
    /// All forms, those first that the device is likely to know.
    pub(super) fn path_forms(&self, name_only: bool) -> Vec<PathForm> {
        let mut forms = vec![PathForm::Full, PathForm::Bare, PathForm::WithoutOrigin, PathForm::Keyed];
        let known = *self.path_form.lock().unwrap_or_else(PoisonError::into_inner);
        let bare = (name_only || self.ways.name_only).then_some(PathForm::Bare);
        if let Some(first) = bare.filter(|_| name_only).or(known).or(bare) {
            forms.sort_by_key(|form| *form != first);
        }
        forms
    }

    /// Remembers a form that the device took.
    pub(super) fn took(&self, form: PathForm) {
        *self.path_form.lock().unwrap_or_else(PoisonError::into_inner) = Some(form);
    }

    /// Whether a control processor is primary still. A device between two states is asked again; it is not, at the end.
    pub(super) async fn is_primary(&self, name: &str, deadline: Instant) -> Result<bool> {
        let still = try_until(deadline, LOOK, || async {
            let roles = self.roles_so_far(Call::read("gNMI.Subscribe", deadline)).await?;
            let primary = roles.iter().find(|cp| cp.role == Role::Primary);
            Ok(primary.map(|cp| cp.name == name).ok_or(false))
        });
        Ok(match still.await? {
            Ok(still) | Err(still) => still,
        })
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
