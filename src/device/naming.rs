//! How gNOI System is told which control processor is meant: the forms to try, and which the device took.

use std::sync::PoisonError;

use tokio::time::Instant;

use super::deadlines::LOOK;
use super::path_form::PathForm;
use super::{Device, Role};
use crate::dial::Call;
use crate::error::Result;
use crate::waiting::try_until;

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
