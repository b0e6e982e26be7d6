//! The control plane: etcd, the API server, the controller manager and the scheduler, beside the lab's server.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::namespaces::credentials::Credentials;
use crate::namespaces::nodes::{Namespaces, address};
use crate::namespaces::options::KubernetesOptions;
use crate::namespaces::relay::Relay;
use crate::nodes::Nodes;
use crate::tools;
use holdfast_net::error::{Error, Result};

/// Where the API server listens.
const PORT: u16 = 6443;
/// What the parts are called in the lab.
pub(super) const API: &str = "api";
pub(super) const ETCD: &str = "etcd";
const ETCD_CLIENTS: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// Where the API is, within the lab.
fn api() -> SocketAddr {
    SocketAddr::new(address(0).parse().unwrap_or([10, 77, 0, 1].into()), PORT)
}

impl Namespaces {
    /// Makes who is who, and starts the control plane on the server.
    pub(in crate::namespaces) fn install_control_plane(&self, options: &KubernetesOptions) -> Result<Credentials> {
        let at = api();
        let folder = self.options.folder.join("server");
        let credentials = Credentials::make(
            folder.join("credentials"),
            &[&at.ip().to_string(), "127.0.0.1"],
            &self.names(),
            &format!("https://{at}"),
        )?;
        self.start_on_server(&[(ETCD, self.etcd()), (API, self.api_server(options, &credentials))])?;
        Ok(credentials)
    }

    /// Starts the one of this name again.
    pub(super) fn start_control_plane_part(&self, name: &str) -> Result<()> {
        let credentials = self.state().credentials.clone();
        let (Some(options), Some(credentials)) = (&self.options.kubernetes, credentials) else {
            return Err(Error::lab("the lab has no Kubernetes"));
        };
        let command = if name == ETCD { self.etcd() } else { self.api_server(options, &credentials) };
        self.start_on_server(&[(name, command)])
    }

    fn etcd(&self) -> String {
        format!(
            "exec etcd --data-dir {} --listen-client-urls {ETCD_CLIENTS} --advertise-client-urls {ETCD_CLIENTS} \
             --listen-peer-urls {ETCD_PEERS} --initial-advertise-peer-urls {ETCD_PEERS} \
             --initial-cluster default={ETCD_PEERS} --unsafe-no-fsync",
            tools::quoted(&self.options.folder.join("server/etcd/data"))
        )
    }

    fn api_server(&self, options: &KubernetesOptions, credentials: &Credentials) -> String {
        let of = |name: &str| tools::quoted(&credentials.file(name));
        format!(
            "exec {executable} kube-apiserver --etcd-servers={ETCD_CLIENTS} --bind-address={ip} --advertise-address={ip} \
             --secure-port={PORT} --tls-cert-file={} --tls-private-key-file={} --token-auth-file={} \
             --authorization-mode=Node,RBAC --service-cluster-ip-range=10.96.0.0/16 \
             --service-account-issuer=https://kubernetes.default.svc --service-account-key-file={} \
             --service-account-signing-key-file={} --allow-privileged=true --endpoint-reconciler-type=none \
             --kubelet-preferred-address-types=InternalIP --cert-dir={}",
            of("api.crt"),
            of("api.key"),
            of("tokens.csv"),
            of("accounts.pub"),
            of("accounts.key"),
            tools::quoted(&self.options.folder.join("server/api/certificates")),
            executable = tools::quoted(&options.executable),
            ip = api().ip(),
        )
    }

    /// Starts what watches the API, once that answers: it gives up early where it does not.
    pub fn start_controllers(&self) -> Result<()> {
        let folder = self.options.folder.join("server");
        let credentials = self.state().credentials.clone();
        let (Some(options), Some(credentials)) = (&self.options.kubernetes, credentials) else {
            return Err(Error::lab("the lab has no Kubernetes"));
        };
        let executable = tools::quoted(&options.executable);
        let of = |name: &str| tools::quoted(&credentials.file(name));
        let config = |part: &str| tools::quoted(&credentials.kubeconfig_of(part));
        // a node that says nothing for so long is NotReady: the lab's nodes say it four times as often; and what somebody
        // else detached is seen in seconds, not in a minute
        let controllers = format!(
            "exec {executable} kube-controller-manager --kubeconfig={} --leader-elect=false \
             --service-account-private-key-file={} --root-ca-file={} --node-monitor-grace-period=8s \
             --node-monitor-period=1s --attach-detach-reconcile-sync-period=5s --bind-address=127.0.0.1 --use-service-account-credentials=true \
             '--controllers=*,-bootstrap-signer-controller,-token-cleaner-controller' --cert-dir={}",
            config("controllers"),
            of("accounts.key"),
            of("ca.crt"),
            tools::quoted(&folder.join("controllers/certificates")),
        );
        let scheduler = format!(
            "exec {executable} kube-scheduler --kubeconfig={} --leader-elect=false --bind-address=127.0.0.1 --cert-dir={}",
            config("scheduler"),
            tools::quoted(&folder.join("scheduler/certificates")),
        );
        self.start_on_server(&[("controllers", controllers), ("scheduler", scheduler)])
    }

    fn start_on_server(&self, parts: &[(&str, String)]) -> Result<()> {
        self.on_server(|server| {
            let start = |(name, command): &(&str, String)| self.start_part(server, &format!("server/{name}"), command);
            parts.iter().try_for_each(start)
        })
    }

    /// Opens a way to the API for whoever is outside the lab; the kubeconfig that takes it. Must be called within a
    /// runtime, from where blocking is allowed.
    pub fn open_api(&self) -> Result<PathBuf> {
        let server = self.on_server(|server| Ok(server.pid))?;
        let relay = Relay::into_network_of(server, api())?;
        let mut state = self.state();
        let credentials = state.credentials.as_ref().ok_or_else(|| Error::lab("the lab has no Kubernetes"))?;
        let kubeconfig = credentials.for_outside(&format!("https://{}", relay.address()))?;
        state.relay = Some(relay);
        Ok(kubeconfig)
    }

    /// The kubeconfig that leads in from outside, once a way is open.
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        let state = self.state();
        state.relay.as_ref()?;
        state.credentials.as_ref().map(Credentials::outside)
    }
}
