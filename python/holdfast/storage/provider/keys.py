"""The keys of a provider file, each once: reader, JSON schema and the table in docs/storage.md are made of this.

A key that this version knows and does nothing with is not `offered`, and refused: nobody is to believe in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast import choices
from holdfast.storage import fleet
from holdfast.storage.provider.kinds import (
    Address,
    ByName,
    Choice,
    Command,
    Duration,
    Fields,
    Flag,
    Kind,
    Mapped,
    Several,
    Shaped,
    Size,
    Text,
    Whole,
)

Protocol = Literal["csi", "docker-plugin"]
Place = Literal["namespaces", "hosts", "cluster"]
# Labs that a key is for.
_NAMESPACES: tuple[Place, ...] = ("namespaces",)
_HOSTS: tuple[Place, ...] = ("hosts",)
_CLUSTER: tuple[Place, ...] = ("cluster",)
# Where holdfast speaks to the plugins itself, or the nodes are the user's.
_PLUGINS: tuple[Place, ...] = ("namespaces", "hosts")
_OUTSIDE: tuple[Place, ...] = ("hosts", "cluster")
ACCESS_MODES = choices.words(choices.VolumeAccess)
# What takes secrets, as `secrets` calls it, and the RPCs of CSI that are meant.
SECRET_CALLS = {
    "create": "CreateVolume",
    "delete": "DeleteVolume",
    "controller_publish": "ControllerPublishVolume, ControllerUnpublishVolume",
    "node_stage": "NodeStageVolume",
    "node_publish": "NodePublishVolume",
    "expand": "ControllerExpandVolume, NodeExpandVolume",
    "snapshot": "CreateSnapshot, DeleteSnapshot",
    "list_snapshots": "ListSnapshots",
}
# What `calls` may name beside the RPCs.
CALLS = ("default", "start")
RPCS = (
    "GetPluginInfo", "GetPluginCapabilities", "Probe",
    "CreateVolume", "DeleteVolume", "ControllerPublishVolume", "ControllerUnpublishVolume",
    "ValidateVolumeCapabilities", "ListVolumes", "GetCapacity", "ControllerGetCapabilities", "CreateSnapshot",
    "DeleteSnapshot", "ListSnapshots", "ControllerExpandVolume", "ControllerGetVolume", "ControllerModifyVolume",
    "NodeStageVolume", "NodeUnstageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeGetVolumeStats",
    "NodeExpandVolume", "NodeGetCapabilities", "NodeGetInfo",
)  # fmt: skip
_ADDRESS = r"^(unix:///|tcp://[^/\s])"
_ADDRESS_HINT = "unix:///PATH or tcp://HOST:PORT"
_PLUGIN = r"^(unix:///|(tcp|https)://[^/\s]|\.{0,2}/|\{folder\}/)|\.(spec|json)$"
_PLUGIN_HINT = "unix:///PATH, tcp://HOST:PORT, https://HOST:PORT, a path, or a file that ends with .spec or .json"
_FLAGS = Several(Text(), "mount flags")
PROTOCOLS = ("csi", "docker-plugin")
LABS = ("namespaces", "hosts", "cluster")
_PROTOCOL = Choice(PROTOCOLS)


@dataclass(frozen=True)
class Key:
    """A key: where it stands, what it holds, what it means, and which providers and labs it is for.

    `protocol` and `labs` are empty where it is for all of them.
    """

    path: str
    kind: Kind
    help: str
    default: str = ""
    protocol: Protocol | Literal[""] = ""
    labs: tuple[Place, ...] = ()
    required: bool = False
    offered: bool = True

    def is_for(self, protocol: str | None, lab: str) -> bool:
        """Whether it is for such a provider, None where that is not known, in such a lab."""
        return lab in (self.labs or (lab,)) and (protocol or "") in ("", self.protocol or protocol)

    @property
    def part(self) -> str:
        """Which part of the file it is in."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """How it is called there."""
        return self.path.partition(".")[2]


KEYS = (
    Key("provider.kind", _PROTOCOL, "the protocol that the plugins speak", required=True),
    Key("provider.name", Text(), "what the table calls it; a CSI driver says that itself", "the file's name"),
    Key("provider.driver", Text(), "what the hosts' engines call the plugin", "`name`", labs=_HOSTS),
    Key("provider.version", Command(), "prints the version, for the table; a CSI driver says it itself",
        protocol="docker-plugin"),
    Key("provider.tools", Several(Text(), "programs"), "what must be installed here"),
    Key("provider.start", Command(), "starts the plugin on a node, as root", labs=_NAMESPACES, required=True),
    Key("provider.environment", Mapped(Text(empty=True), "texts", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
        "variables that `start`, `server`, `ready`, `version` and `controller` get", labs=_NAMESPACES),
    Key("provider.ready", Command(), "succeeds once the plugin on a node is up", "Probe, or Plugin.Activate",
        labs=_NAMESPACES),
    Key("provider.scope", Choice(("local", "global")), "whether other nodes have the plugin's volumes too",
        "what the plugin says", protocol="docker-plugin", labs=_PLUGINS),
    Key("provider.scope", Choice(("local", "global")), "whether other nodes have the class's volumes too", "`global`",
        protocol="csi", labs=_CLUSTER),
    Key("provider.server", Command(), "runs on one more node, which serves the volumes", labs=_NAMESPACES),
    Key("provider.sockets", Shaped("address", _ADDRESS, _ADDRESS_HINT),
        "a driver's socket on each host, with `{address}` or `{node}`", protocol="csi", labs=_HOSTS, required=True),
    Key("provider.socket", Shaped("address, path, `.spec` or `.json`", _PLUGIN, _PLUGIN_HINT),
        "where a node's plugin serves, if not on `{socket}`", protocol="docker-plugin", labs=_NAMESPACES),
    Key("provider.controller", Fields({"start": Command(), "socket": Shaped("address", _ADDRESS, _ADDRESS_HINT)}),
        "one controller for all nodes: a shell line that starts it beside the server, or where it serves",
        "each node's plugin", protocol="csi", labs=_PLUGINS),
    Key("provider.parameters", Mapped(Text(empty=True), "texts"), "of each volume; `{volume}` in one becomes its name"),
    Key("provider.refuses_unknown_parameters", Flag(),
        "whether CreateVolume refuses a parameter that the driver does not know; `true`: T1 fails one that is taken",
        "`false`", protocol="csi"),
    Key("provider.minimum", Size(), "the smallest volume that the driver makes; T1 grows its sizes to it",
        protocol="csi"),
    Key("provider.sizes", Several(Size(), "sizes", least=1), "the sizes that T1 asks for", protocol="csi"),
    Key("provider.calls", Mapped(Duration(), "times", names=(*CALLS, *RPCS)),
        "how long a call may take, with all its tries: `default`, `start`, or an RPC of CSI by its name",
        "60 s; a Docker plugin has 2 min, as with engines"),
    Key("provider.mount_flags", _FLAGS, "mount flags of each volume", protocol="csi", labs=_PLUGINS),
    Key("provider.filesystem_options", Mapped(_FLAGS, "lists of mount flags", pattern=r"^[\w.-]+$"),
        "more of them for the volumes of one file system", protocol="csi", labs=_PLUGINS),
    Key("provider.mount_group", Whole(1, (1 << 32) - 2, "give the group's number: 2000"),
        "the group that volumes are mounted for, of a driver with VOLUME_MOUNT_GROUP", protocol="csi", labs=_PLUGINS),
    Key("provider.filesystems", Several(Text(), "file systems"), "what a volume may be asked for", "the driver's own",
        protocol="csi"),
    Key("provider.access_modes", Several(Choice(ACCESS_MODES), "access modes", least=1),
        "what a volume may be asked for", "`[SINGLE_NODE_WRITER]`", protocol="csi"),
    Key("provider.secrets_file", Text("file"), "KEY=VALUE a line, for each call that takes secrets", labs=_PLUGINS),
    Key("provider.secrets", Mapped(Text(), "files", names=tuple(SECRET_CALLS)),
        "such files by kind of call, instead of `secrets_file`", protocol="csi", labs=_PLUGINS),
    Key("provider.topology", Flag(), "whether CreateVolume says where the volume is wanted, as NodeGetInfo tells it",
        "`true`", protocol="csi", labs=_PLUGINS),
    Key("provider.fencing", Choice(("driver", "none"), ("csi-addons",)),
        "whether the driver cuts off the node that it takes a volume from; `none`: T7 and T8 are NotRun", "`none`"),
    Key("runner.kind", Choice(choices.words(choices.StorageRunner)), "who runs the tasks", "`own`"),
    Key("runner.recovery", Choice(choices.words(choices.Recovery)),
        "what is done in a Kubernetes for tasks whose node is lost",
        "`taint` where it is powered off, else `force`", protocol="csi", labs=("namespaces", "cluster")),
    Key("runner.workload", Choice(choices.words(choices.Workload)),
        "what of a Kubernetes makes the pods of tasks: the run itself, or one that makes the next where a pod goes",
        "`pod`", protocol="csi", labs=("namespaces", "cluster")),
    Key("runner.manager", Shaped("address", _ADDRESS, _ADDRESS_HINT), "the engine that manages the Swarm", labs=_HOSTS),
    Key("lab.kind", Choice(LABS),
        "nodes made of this machine, hosts of your own, or a Kubernetes of your own", "`namespaces`"),
    Key("lab.nodes", Whole(2, 16, "give 2 to 16: every failover takes two"), "how many", "3", labs=_NAMESPACES),
    Key("lab.nodes",
        ByName(Fields({"address": Text(), "engine": Text()}, required=True), "two hosts or more, by name", 2,
               "every failover takes two"),
        "each an `address` and an `engine`, by the names that the Swarm knows", labs=_HOSTS, required=True),
    Key("lab.tester", Address("give this machine's, as the hosts reach it: 192.0.2.9"),
        "this machine, as the hosts reach it", labs=_HOSTS, required=True),
    Key("lab.kubeconfig", Text("file"), "leads to the cluster", "`$KUBECONFIG`, else ~/.kube/config", labs=_CLUSTER),
    Key("lab.context", Text(), "the context in it", "its current one", labs=_CLUSTER),
    Key("lab.storage_class", Text(), "whose volumes are qualified", labs=_CLUSTER, required=True),
    Key("lab.nodes", Several(Text(), "nodes", least=2), "which nodes take part, two or more by name",
        "all that are fit, or `selector`", labs=_CLUSTER),
    Key("lab.selector", Text("labels"), "instead: the labels of those that do, such as `role=storage-test`",
        labs=_CLUSTER),
    Key("lab.image", Text("image"),
        "of each pod: one with `sh`, `gzip`, `chmod` and `tail`, which the nodes have or can pull", "`busybox:stable`",
        labs=_CLUSTER),
    Key("lab.tester", Address("give this machine's, as pods reach it: 192.0.2.9"),
        "this machine, as pods reach it, for acknowledgements", "they come by the pods' logs", labs=_CLUSTER),
    Key("lab.node_access", Choice(("none", "daemonset")),
        "`daemonset`: holdfast brings a privileged pod to each node of the run, which harms it by order", "`none`",
        labs=_CLUSTER),
    Key("lab.plugin_socket", Shaped("path", "^/", "give a whole path on the nodes"),
        "with it: where the driver serves on a node; `{driver}` is its name, `{node}` the node's",
        "/var/lib/kubelet/plugins/{driver}/csi.sock", labs=_CLUSTER),
    Key("lab.storage_network", Shaped("network", r"^[0-9a-fA-F.:]+(/[0-9]+)?$", "give addresses: 192.0.2.0/24"),
        "with it: what `cut_storage` cuts", labs=_CLUSTER),
    Key("lab.heals_after", Duration(), "with it: after so long a cut, or a plugin that is held, heals by itself",
        "180 s", labs=_CLUSTER),
    Key("lab.folder", Shaped("path", "^/", "give a whole path on the hosts"),
        "where a CSI driver stages and publishes on the hosts", "/var/lib/holdfast", labs=_HOSTS),
    *(Key(f"faults.{name}", Command(), f"does `{name}` on a node, with `{{node}}` and `{{address}}`", labs=_OUTSIDE)
      for name in fleet.COMMANDS),
    *(Key(f"faults.{name}", Command(), f"does `{name}` on a node, with `{{node}}` and `{{address}}`", labs=_CLUSTER)
      for name in fleet.OF_KUBERNETES),
)  # fmt: skip
# What of a cluster's lab says how its agents go about their harm.
OF_AGENTS = ("plugin_socket", "storage_network", "heals_after")
PARTS = tuple(dict.fromkeys(key.part for key in KEYS))


def of_part(part: str) -> tuple[Key, ...]:
    """The keys of a part of the file."""
    return tuple(key for key in KEYS if key.part == part)


def names(part: str) -> tuple[str, ...]:
    """What they are called."""
    return tuple(dict.fromkeys(key.name for key in of_part(part)))
