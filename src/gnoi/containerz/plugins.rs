//! `StartPlugin`, `StopPlugin`, `ListPlugins`, `RemovePlugin`, `RemovePluginTar`.

use tokio::time::Instant;
use tonic::Code;

use super::images::removed_or_absent;
use super::meaning::meant;
use super::types::Plugin;
use super::{Containerz, Made, client};
use crate::dial::Call;
use crate::error::{Result, Subject};
use crate::wire::gnoi::containerz::{
    ListPluginsRequest, RemovePluginRequest, RemovePluginTarRequest, StartPluginRequest, StopPluginRequest,
};

impl Containerz {
    /// `gnoi.containerz.Containerz/StartPlugin`, of a tar that Deploy brought as a plugin. Returns the instance's name.
    pub async fn start_plugin(
        &self,
        name: &str,
        instance_name: &str,
        config: &str,
        deadline: Instant,
    ) -> Result<String> {
        let request = StartPluginRequest {
            name: name.to_owned(),
            instance_name: instance_name.to_owned(),
            config: config.to_owned(),
        };
        crate::gnoi::tell(&self.session, "gnoi.containerz.StartPluginRequest", &request);
        let asked = self.session.call(self.change("Containerz.StartPlugin", deadline), |connection| {
            let request = request.clone();
            async move { Ok(client(connection).start_plugin(request).await?.into_inner()) }
        });
        let known = self.record().is_some() && self.runs_plugin(instance_name, deadline).await;
        let answer = if known { asked.await } else { self.making(Made::named("plugin", instance_name), asked).await };
        let answer = answer.map_err(|error| error.missing(Subject::Plugin))?;
        let started = if answer.instance_name.is_empty() { instance_name } else { &answer.instance_name };
        Ok(bare(started).to_owned())
    }

    /// Not so where the device does not list plugins.
    async fn runs_plugin(&self, instance_name: &str, deadline: Instant) -> bool {
        self.plugins(deadline).await.is_ok_and(|there| there.iter().any(|plugin| plugin.instance_name == instance_name))
    }

    /// `gnoi.containerz.Containerz/StopPlugin`.
    pub async fn stop_plugin(&self, instance_name: &str, deadline: Instant) -> Result<()> {
        let request = StopPluginRequest { instance_name: instance_name.to_owned() };
        crate::gnoi::tell(&self.session, "gnoi.containerz.StopPluginRequest", &request);
        self.session
            .call(self.change("Containerz.StopPlugin", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).stop_plugin(request).await.map(|_| ()) }
            })
            .await
            .map_err(|error| meant(Subject::Plugin, error))
    }

    /// `gnoi.containerz.Containerz/ListPlugins`, all of them.
    pub async fn plugins(&self, deadline: Instant) -> Result<Vec<Plugin>> {
        let answer = self
            .session
            .call(Call::read("Containerz.ListPlugins", deadline), |connection| async move {
                Ok(client(connection).list_plugins(ListPluginsRequest::default()).await?.into_inner())
            })
            .await?;
        let rows = answer.plugins.into_iter().map(|row| Plugin {
            id: row.id,
            instance_name: bare(&row.instance_name).to_owned(),
            config: row.config,
        });
        Ok(rows.collect())
    }

    /// `gnoi.containerz.Containerz/RemovePlugin`. Whether something was removed.
    pub async fn remove_plugin(&self, instance_name: &str, missing_ok: bool, deadline: Instant) -> Result<bool> {
        let request = RemovePluginRequest { instance_name: instance_name.to_owned() };
        crate::gnoi::tell(&self.session, "gnoi.containerz.RemovePluginRequest", &request);
        let removed = self
            .session
            .call(self.change("Containerz.RemovePlugin", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).remove_plugin(request).await.map(|_| ()) }
            })
            .await;
        let removed = removed.map_err(|error| meant(Subject::Plugin, error));
        removed_or_absent(removed, missing_ok).map_err(|error| match error.code() {
            Some(Code::FailedPrecondition) => error.hint("it runs: stop it first"),
            _ => error,
        })
    }

    /// `gnoi.containerz.Containerz/RemovePluginTar`. UNIMPLEMENTED means that the tar stays on the device.
    pub async fn remove_plugin_tar(&self, name: &str, missing_ok: bool, deadline: Instant) -> Result<bool> {
        let request = RemovePluginTarRequest { name: name.to_owned() };
        crate::gnoi::tell(&self.session, "gnoi.containerz.RemovePluginTarRequest", &request);
        let removed = self
            .session
            .call(self.change("Containerz.RemovePluginTar", deadline), |connection| {
                let request = request.clone();
                async move { client(connection).remove_plugin_tar(request).await.map(|_| ()) }
            })
            .await;
        removed_or_absent(removed, missing_ok).map_err(|error| match error.code() {
            Some(Code::Unimplemented) => error.hint("this device cannot remove plugin tars: the file stays there"),
            _ => error.missing(Subject::Plugin),
        })
    }
}

fn bare(instance_name: &str) -> &str {
    instance_name.strip_suffix(":latest").unwrap_or(instance_name)
}
