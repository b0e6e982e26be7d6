//! What makes a node of a lab one of a Kubernetes: a containerd and a kubelet of its own, as on a machine of its own.

use std::path::PathBuf;
use std::time::Instant;

use crate::namespaces::namespace::Namespace;
use crate::namespaces::nodes::{Namespaces, State, address};
use crate::namespaces::options::KubernetesOptions;
use crate::namespaces::pause_image::{self, IMAGE};
use crate::tools::quoted;
use holdfast_net::error::{Error, Result};
use holdfast_net::waiting::blocking::wait_until;

/// Where a containerd listens, within its node.
const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// What succeeds once a containerd answers.
pub const ASK_CONTAINERD: &[&str] = &["ctr", "-a", CONTAINERD, "version"];
/// Where Debian has the plugins of CNI.
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// Hierarchies of control groups of version 1 that a kubelet uses.
const CONTROLLERS: [&str; 9] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"];
/// What a kubelet sets for the whole machine, and finds set here: another kubelet's settings are none of ours to change.
const SYSCTLS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];
/// What a node has for itself: where it is seen within, and in which of its folders it is.
const FOLDERS: [(&str, &str); 6] = [
    ("/var/lib/kubelet", "kubelet"),
    ("/var/lib/containerd", "containerd/data"),
    ("/etc/cni/net.d", "cni/configuration"),
    ("/var/lib/cni", "cni/state"),
    ("/var/log/pods", "logs/pods"),
    ("/var/log/containers", "logs/containers"),
];

impl Namespaces {
    fn worker_folder(&self, node: &str) -> PathBuf {
        self.options.folder.join(node).join("worker")
    }

    /// The control groups of a node, as its kubelet calls them.
    fn control_group(&self, node: &str) -> String {
        let lab = self.options.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("/{lab}/{node}")
    }

    /// A machine of a Kubernetes that just came up gets a containerd and a kubelet.
    pub(in crate::namespaces) fn install_worker(
        &self,
        namespace: &Namespace,
        node: &str,
        deadline: Instant,
    ) -> Result<()> {
        let Some(options) = &self.options.kubernetes else { return Ok(()) };
        let folder = self.worker_folder(node);
        let disk = |error: std::io::Error| Error::lab_io(folder.display(), error);
        for (_, held) in FOLDERS {
            std::fs::create_dir_all(folder.join(held)).map_err(disk)?;
        }
        std::fs::create_dir_all(folder.join("sysctls")).map_err(disk)?;
        self.make_control_groups(node)?;
        let number = self.state().known(node)?.number;
        std::fs::write(folder.join("containerd.toml"), containerd_configuration(&folder)).map_err(disk)?;
        std::fs::write(folder.join("kubelet.json"), self.kubelet_configuration(node)).map_err(disk)?;
        std::fs::write(folder.join("cni/configuration/10-lab.conflist"), network(number)).map_err(disk)?;
        namespace.run(&["sh", "-c", &mounts(&folder)?], deadline)?;
        self.launch_containerd(namespace, node)?;
        wait_until(deadline, "containerd", || namespace.run(ASK_CONTAINERD, deadline).is_ok())
            .map_err(Error::of_lab)?;
        let image = self.image(options)?.display().to_string();
        namespace.run(&["ctr", "-a", CONTAINERD, "-n", "k8s.io", "images", "import", &image], deadline)?;
        self.launch_kubelet(namespace, node)
    }

    fn make_control_groups(&self, node: &str) -> Result<()> {
        let root = std::path::Path::new("/sys/fs/cgroup");
        if root.join("cgroup.controllers").exists() {
            return Ok(()); // the kubelet makes its own
        }
        let relative = self.control_group(node);
        for controller in CONTROLLERS.into_iter().filter(|controller| root.join(controller).exists()) {
            let group = root.join(controller).join(relative.trim_start_matches('/'));
            std::fs::create_dir_all(&group).map_err(|error| Error::lab_io(group.display(), error))?;
            if controller == "cpuset" {
                // one made by us has none, and nothing can run in it
                inherit_cpus(&group)?;
            }
        }
        Ok(())
    }

    fn kubelet_configuration(&self, node: &str) -> String {
        let never = "0%";
        serde_json::json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": false,
            "failSwapOn": false,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.control_group(node),
            "cgroupsPerQOS": true,
            "enforceNodeAllocatable": [],
            // it listens on the lab's own network alone
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "resolvConf": "",
            "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
            "nodeStatusUpdateFrequency": "2s",
            "nodeLeaseDurationSeconds": 8,
            // the disk is this machine's
            "evictionHard": {
                "memory.available": never, "nodefs.available": never, "nodefs.inodesFree": never, "imagefs.available": never,
            },
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": false,
            "shutdownGracePeriod": "0s",
            "makeIPTablesUtilChains": false,
            "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        })
        .to_string()
    }

    pub(in crate::namespaces) fn launch_containerd(&self, namespace: &Namespace, node: &str) -> Result<()> {
        let configuration = self.worker_folder(node).join("containerd.toml");
        let command = format!("exec containerd --config {}", quoted(&configuration));
        self.start_part(namespace, &format!("{node}/runtime"), &command)
    }

    fn launch_kubelet(&self, namespace: &Namespace, node: &str) -> Result<()> {
        let state = self.state();
        self.launch_kubelet_of(namespace, node, &state)
    }

    pub(in crate::namespaces) fn launch_kubelet_of(
        &self,
        namespace: &Namespace,
        node: &str,
        state: &State,
    ) -> Result<()> {
        let (Some(options), Some(credentials)) = (&self.options.kubernetes, &state.credentials) else {
            return Err(Error::lab("the lab has no Kubernetes"));
        };
        let folder = self.worker_folder(node);
        let number = state.known(node)?.number;
        let command = format!(
            "exec {} kubelet --config {} --kubeconfig {} --hostname-override {node} --node-ip {} \
             --root-dir /var/lib/kubelet --cert-dir {} --v=2",
            quoted(&options.executable),
            quoted(&folder.join("kubelet.json")),
            quoted(&credentials.kubeconfig_of(node)),
            address(number),
            quoted(&folder.join("certificates")),
        );
        self.start_part(namespace, &format!("{node}/kubelet"), &command)
    }

    /// The image that all nodes have, as a file that containerd imports.
    fn image(&self, options: &KubernetesOptions) -> Result<PathBuf> {
        let file = self.options.folder.join("pause.tar");
        if !file.exists() {
            pause_image::write(&options.pause, &file)?;
        }
        Ok(file)
    }
}

/// A line of a shell that gives a node folders of its own.
fn mounts(folder: &std::path::Path) -> Result<String> {
    let mut lines = vec!["mount --make-rshared /".to_owned(), "mount -t tmpfs tmpfs /run".to_owned()];
    for (within, held) in FOLDERS {
        lines.push(format!("mkdir -p {within}"));
        lines.push(format!("mount --bind {} {within}", quoted(&folder.join(held))));
    }
    for (name, value) in SYSCTLS {
        let file = folder.join("sysctls").join(name.replace('/', "."));
        std::fs::write(&file, format!("{value}\n")).map_err(|error| Error::lab_io(file.display(), error))?;
        lines.push(format!("mount --bind {} /proc/sys/{name}", quoted(&file)));
    }
    Ok(lines.join(" && "))
}

fn inherit_cpus(group: &std::path::Path) -> Result<()> {
    let root = std::path::Path::new("/sys/fs/cgroup/cpuset");
    let below = group.strip_prefix(root).unwrap_or(group);
    let mut at = root.to_owned();
    for part in below.components() {
        let parent = at.clone();
        at.push(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let held = std::fs::read_to_string(parent.join(file));
            let given = held.and_then(|text| std::fs::write(at.join(file), text.trim()));
            given.map_err(|error| Error::lab_io(at.join(file).display(), error))?;
        }
        let _ = std::fs::write(at.join("cgroup.clone_children"), "1"); // what is made below has the same
    }
    Ok(())
}

fn containerd_configuration(folder: &std::path::Path) -> String {
    let snapshotter = if over_layers(folder) { "native" } else { "overlayfs" };
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
"#
    )
}

/// Whether a folder is on an overlay itself, on which no other can be laid.
fn over_layers(folder: &std::path::Path) -> bool {
    const OVERLAY: rustix::fs::FsWord = 0x794c_7630;
    rustix::fs::statfs(folder).is_ok_and(|found| found.f_type == OVERLAY)
}

fn network(number: usize) -> String {
    serde_json::json!({
        "cniVersion": "0.4.0",
        "name": "lab",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": format!("10.79.{number}.0/24")}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}
