//! The container runtime on a node of a lab: a dockerd of its own, as on a machine of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::namespace::Namespace;
use super::nodes::Namespaces;
use super::options::RuntimeOptions;
use crate::docker::Engine;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// For an engine that must not answer to do so.
const GLANCE: Duration = Duration::from_millis(500);

/// What the nodes' engines call the provider's plugin.
pub const DRIVER: &str = "qualified";

impl Namespaces {
    fn runtime_folder(&self, node: &str) -> PathBuf {
        self.options.folder.join(node).join("runtime")
    }

    /// The API of the engine on a node, or on `server`.
    pub fn engine(&self, node: &str) -> String {
        format!("unix://{}", self.runtime_folder(node).join("docker.sock").display())
    }

    /// The engine on a node, once it answers. One that does not is the lab's trouble.
    pub fn connect(&self, node: &str, deadline: Instant) -> Result<Engine> {
        Engine::connect(&self.engine(node), deadline).map_err(|error| {
            let message = format!("dockerd on {node}: {}", error.message);
            Error { message, ..error.of_lab() }
        })
    }

    /// A machine that just came up gets what a dockerd expects: an empty /run, an empty /etc/docker.
    pub(super) fn install_runtime(
        &self,
        namespace: &Namespace,
        node: &str,
        runtime: RuntimeOptions,
        deadline: Instant,
    ) -> Result<()> {
        let mut script = vec![
            "mount -t tmpfs tmpfs /run".to_owned(),
            "mkdir -p /etc/docker".to_owned(),
            "mount -t tmpfs tmpfs /etc/docker".to_owned(),
            "mkdir /etc/docker/plugins".to_owned(),
        ];
        if runtime.plugin {
            script.push(self.tell_engine(node, DRIVER)?);
        }
        namespace.run(&["sh", "-c", &script.join(" && ")], deadline)?;
        self.configure(node, false)?;
        self.launch(namespace, node)
    }

    fn configure(&self, node: &str, live_restore: bool) -> Result<()> {
        let folder = self.runtime_folder(node);
        let disk = |error: std::io::Error| Error::lab_io(folder.display(), error);
        std::fs::create_dir_all(&folder).map_err(disk)?;
        let said = serde_json::json!({"live-restore": live_restore});
        std::fs::write(folder.join("daemon.json"), said.to_string()).map_err(disk)
    }

    fn launch(&self, namespace: &Namespace, node: &str) -> Result<()> {
        let folder = self.runtime_folder(node).display().to_string();
        let lab = self.options.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let command = [
            "dockerd --iptables=false --ip-masq=false --bridge=none --exec-opt native.cgroupdriver=cgroupfs".to_owned(),
            format!("--cgroup-parent=/{lab}/{node}"),
            format!("--data-root={folder}/data --host=unix://{folder}/docker.sock"),
            format!("--config-file={folder}/daemon.json"),
        ];
        self.start_part(namespace, &format!("{node}/runtime"), &format!("exec {}", command.join(" ")))
    }

    /// Ends the engine on a node by a signal; what it runs stays where that kills it.
    pub(super) fn end_runtime(&self, node: &str, signal: &str, deadline: Instant) -> Result<()> {
        self.end_part(node, &format!("{node}/runtime"), signal, deadline)?;
        match Engine::connect(&self.engine(node), deadline.min(Instant::now() + GLANCE)) {
            Ok(_) => Err(Error::lab(format!("dockerd on {node} ended by kill {signal}, and an engine answers"))),
            Err(_) => Ok(()),
        }
    }

    /// Starts the engine on a node, and waits until it answers.
    pub(super) fn start_runtime(&self, node: &str, deadline: Instant) -> Result<()> {
        self.within(node, |namespace| {
            let _ = namespace.run(&["rm", "-f", "/run/docker.pid"], deadline); // whose engine was killed
            self.launch(namespace, node)
        })?;
        self.connect(node, deadline).map(drop)
    }

    /// Whether tasks outlive the engine on a node.
    pub(super) fn live_restore(&self, node: &str, on: bool, deadline: Instant) -> Result<()> {
        self.configure(node, on)?;
        let pid = self.pid_of(&format!("{node}/runtime"))?;
        self.within(node, |namespace| namespace.run(&["kill", "-HUP", &pid], deadline))?;
        let engine = self.connect(node, deadline)?;
        wait_until(deadline, "a change of live restore", || {
            engine.info(deadline).is_ok_and(|info| info.live_restore_enabled == Some(on))
        })
    }
}
