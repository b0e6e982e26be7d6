//! `StartPlugin`, `StopPlugin`, `ListPlugins`, `RemovePlugin`, `RemovePluginTar`.

use serde_json::{Map, Value, json};
use tonic::{Response, Status};

use super::ContainerzService;
use crate::settings::Quirk;
use crate::sites::Step;
use crate::state::now;
use crate::store::Plugin;
use holdfast_wire::gnoi::containerz::{
    self as wire, ListPluginsRequest, ListPluginsResponse, RemovePluginRequest, RemovePluginResponse,
    RemovePluginTarRequest, RemovePluginTarResponse, StartPluginRequest, StartPluginResponse, StopPluginRequest,
    StopPluginResponse,
};

fn bare(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// A configuration as Docker keeps it: what it knows in its own spelling, null where nothing was said of it.
fn rewritten(config: &Map<String, Value>) -> Value {
    let mut kept = json!({
        "Args": null, "Description": "", "DockerVersion": "20.10.24", "Documentation": "", "Entrypoint": null,
        "Env": null, "Interface": null, "IpcHost": false, "Linux": null, "Mounts": null, "Network": null,
        "PidHost": false, "PropagatedMount": "", "User": {}, "WorkDir": "", "rootfs": {"type": "layers"},
    });
    for (name, value) in kept.as_object_mut().into_iter().flatten() {
        if let Some((_, said)) = config.iter().find(|(said, _)| said.eq_ignore_ascii_case(name)) {
            *value = capitalised(said);
        }
    }
    kept
}

/// The same with the names of all members capitalised, and null for an empty list.
fn capitalised(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (with_a_capital(name), capitalised(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(each) if each.is_empty() => Value::Null,
        Value::Array(each) => each.iter().map(capitalised).collect(),
        other => other.clone(),
    }
}

fn with_a_capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl ContainerzService {
    /// What the configuration has it run must be in the archive, whose root is the plugin's own.
    pub(super) async fn check_entrypoint(&self, request: &StartPluginRequest) -> Result<(), Status> {
        let config: Value = serde_json::from_str(&request.config).unwrap_or_default();
        let Some(program) = config["entrypoint"][0].as_str().map(str::to_owned) else { return Ok(()) };
        let file = self.control_processor().store.plugin_file(&request.name);
        let listed = tokio::task::spawn_blocking(move || holdfast_image::names(&file)).await;
        let Ok(Ok(names)) = listed else { return Ok(()) }; // whether it is there at all is looked at next
        if names.iter().any(|name| *name == program.trim_start_matches('/')) {
            return Ok(());
        }
        let what = format!("exec: {program:?}: stat {program}: no such file or directory");
        Err(Status::unknown(format!("Error response from daemon: OCI runtime create failed: {what}")))
    }

    pub(super) fn start_one_plugin(
        &self,
        request: &StartPluginRequest,
    ) -> Result<Response<StartPluginResponse>, Status> {
        let instance = bare(&request.instance_name).to_owned();
        self.change(|held| {
            if !held.plugin_tars.contains(&request.name) {
                return Err(Status::not_found(format!("there is no plugin {:?}", request.name)));
            }
            match held.plugins.iter_mut().find(|plugin| plugin.instance == instance) {
                Some(plugin) if plugin.running && !self.defects().skips(Step::RefuseSecondPlugin) => {
                    Err(Status::already_exists(format!("plugin {instance:?} runs already")))
                }
                Some(plugin) if !plugin.running => {
                    plugin.running = true;
                    Ok(())
                }
                _ => {
                    let mut plugin = Plugin {
                        id: format!("{:064x}", now()),
                        tar: request.name.clone(),
                        instance: instance.clone(),
                        config: request.config.clone(),
                        running: true,
                    };
                    self.defects().new_plugin(&mut plugin);
                    held.plugins.push(plugin);
                    Ok(())
                }
            }
        })?;
        Ok(Response::new(StartPluginResponse { instance_name: instance }))
    }

    pub(super) fn stop_one_plugin(&self, request: &StopPluginRequest) -> Result<Response<StopPluginResponse>, Status> {
        self.change(|held| {
            let named = held.plugins.iter_mut().find(|plugin| plugin.instance == bare(&request.instance_name));
            match named {
                Some(plugin) if plugin.running => {
                    plugin.running = false;
                    Ok(Response::new(StopPluginResponse {}))
                }
                Some(plugin) if self.has(Quirk::EngineErrorsUnknown) => {
                    Err(Status::unknown(format!("plugin {}:latest is already disabled", plugin.instance)))
                }
                _ => Err(self.no_plugin(&request.instance_name, "does not run")),
            }
        })
    }

    fn no_plugin(&self, instance: &str, what: &str) -> Status {
        if self.has(Quirk::EngineErrorsUnknown) {
            return Status::unknown(format!("plugin {instance:?} not found"));
        }
        Status::not_found(format!("plugin {instance:?} {what}"))
    }

    pub(super) fn list_all_plugins(&self, request: &ListPluginsRequest) -> Response<ListPluginsResponse> {
        let suffix = if self.has(Quirk::PluginNamesBare) { "" } else { ":latest" };
        let wanted =
            |plugin: &Plugin| request.instance_name.is_empty() || plugin.instance == bare(&request.instance_name);
        let plugins = self.inventory().plugins.into_iter().filter(wanted).map(|plugin| wire::Plugin {
            id: plugin.id,
            instance_name: format!("{}{suffix}", plugin.instance),
            hash: None,
            config: self.listed_config(plugin.config),
        });
        Response::new(ListPluginsResponse { plugins: plugins.collect() })
    }

    fn listed_config(&self, config: String) -> String {
        if self.has(Quirk::BareLists) {
            return String::new();
        }
        match serde_json::from_str(&config) {
            Ok(Value::Object(members)) if self.has(Quirk::PluginConfigRewritten) => {
                format!("{:#}", rewritten(&members))
            }
            Ok(Value::Object(mut members)) if self.has(Quirk::RichLists) => {
                members.insert("propagatedMount".to_owned(), Value::String(String::new()));
                format!("{:#}", Value::Object(members))
            }
            _ => config,
        }
    }

    pub(super) fn remove_one_plugin(
        &self,
        request: &RemovePluginRequest,
    ) -> Result<Response<RemovePluginResponse>, Status> {
        let instance = bare(&request.instance_name);
        self.change(|held| match held.plugins.iter().position(|plugin| plugin.instance == instance) {
            None => Err(self.no_plugin(instance, "is not there")),
            Some(at) if held.plugins[at].running && self.has(Quirk::EngineErrorsUnknown) => {
                Err(Status::unknown(format!("plugin {instance}:latest is enabled - disable it first")))
            }
            Some(at) if held.plugins[at].running => {
                Err(Status::failed_precondition(format!("plugin {instance:?} runs: stop it first")))
            }
            Some(at) => {
                held.plugins.remove(at);
                Ok(Response::new(RemovePluginResponse {}))
            }
        })
    }

    pub(super) fn remove_one_plugin_tar(
        &self,
        request: &RemovePluginTarRequest,
    ) -> Result<Response<RemovePluginTarResponse>, Status> {
        if self.has(Quirk::NoRemovePluginTar) {
            return Err(Status::unimplemented("unknown method RemovePluginTar"));
        }
        let name = &request.name;
        self.change(|held| {
            if let Some(user) = held.plugins.iter().find(|plugin| plugin.tar == *name) {
                return Err(Status::failed_precondition(format!("plugin {:?} uses {name:?}", user.instance)));
            }
            match held.plugin_tars.iter().position(|known| known == name) {
                None => Err(Status::not_found(format!("there is no plugin tar {name:?}"))),
                Some(at) => {
                    held.plugin_tars.remove(at);
                    Ok(())
                }
            }
        })?;
        let _ = std::fs::remove_file(self.control_processor().store.plugin_file(name)); // its record is gone already
        Ok(Response::new(RemovePluginTarResponse {}))
    }
}
