//! What makes a CSI driver of a lab the Kubernetes' own: a registrar on each node, and who asks its controller.

use std::path::Path;
use std::time::Instant;

use crate::namespaces::namespace::Namespace;
use crate::namespaces::nodes::{CONTROLLER, Namespaces};
use crate::nodes::Nodes;
use crate::tools::quoted;
use holdfast_net::error::{Error, Result};

/// Where a kubelet looks for registrations, within its node.
const REGISTRY: &str = "/var/lib/kubelet/plugins_registry";

impl Namespaces {
    /// The plugins are those of a driver of this name: the kubelets know them from now on, and claims are served.
    pub fn adopt(&self, driver: &str, deadline: Instant) -> Result<()> {
        self.state().driver = Some(driver.to_owned());
        for node in self.names() {
            self.within(&node, |namespace| self.registrar(namespace, &node, driver, deadline))?;
        }
        let credentials = self.state().credentials.clone();
        let (Some(options), Some(credentials)) = (&self.options.kubernetes, credentials) else {
            return Err(Error::lab("the lab has no Kubernetes"));
        };
        let command = format!(
            "exec {} csi-controller --driver {} --socket {} --kubeconfig {} --timeout {}s",
            quoted(&options.executable),
            quoted(Path::new(driver)),
            quoted(&self.socket(CONTROLLER)),
            quoted(&credentials.kubeconfig_of("admin")),
            options.call.as_secs_f64(),
        );
        self.on_server(|server| self.start_part(server, "server/csi", &command))
    }

    /// Registers the plugin on a node that just came up with its kubelet, where that knows the driver already.
    pub(in crate::namespaces) fn register_driver(
        &self,
        namespace: &Namespace,
        node: &str,
        deadline: Instant,
    ) -> Result<()> {
        let driver = self.state().driver.clone();
        driver.map_or(Ok(()), |driver| self.registrar(namespace, node, &driver, deadline))
    }

    fn registrar(&self, namespace: &Namespace, node: &str, driver: &str, deadline: Instant) -> Result<()> {
        let Some(options) = &self.options.kubernetes else { return Ok(()) };
        namespace.run(&["mkdir", "-p", REGISTRY], deadline)?;
        let command = format!(
            "exec {} csi-registrar --driver {} --socket {} --registry {REGISTRY}",
            quoted(&options.executable),
            quoted(Path::new(driver)),
            quoted(&self.socket(node)),
        );
        self.start_part(namespace, &format!("{node}/registrar"), &command)
    }
}
