//! Where the plugin on a node is, for who is outside of it.

use super::nodes::Namespaces;
use crate::plugin_address::PluginAddress;
use holdfast_net::error::Result;

impl Namespaces {
    /// Where the Docker volume plugin on a node serves: where it was told to, or where the provider file says.
    pub fn plugin_address(&self, node: &str) -> Result<PluginAddress> {
        match &self.options.socket {
            Some(socket) => self.filled(socket, node).parse(),
            None => Ok(PluginAddress::Unix(self.socket(node))),
        }
    }

    /// A process on a node, as this machine counts; none while its power is off.
    pub fn first_process(&self, node: &str) -> Option<u32> {
        self.within(node, |namespace| Ok(namespace.pid)).ok()
    }

    /// What makes a node's engine find that plugin under `name`, as a line for its shell. A file that names the plugin
    /// may be written once the plugin starts.
    pub(super) fn tell_engine(&self, node: &str, name: &str) -> Result<String> {
        Ok(match self.plugin_address(node)? {
            PluginAddress::Unix(path) => format!("echo unix://{} > /etc/docker/plugins/{name}.spec", path.display()),
            url @ (PluginAddress::Tcp(_) | PluginAddress::Tls(..)) => {
                format!("echo {url} > /etc/docker/plugins/{name}.spec")
            }
            PluginAddress::File(path) => {
                let kind = path.extension().unwrap_or_default().to_string_lossy().into_owned();
                format!("ln -s {} /etc/docker/plugins/{name}.{kind}", path.display())
            }
        })
    }
}
