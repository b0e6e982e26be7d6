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
Place = Literal["namespaces", "hosts"]
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
_PROTOCOL = Choice(("csi", "docker-plugin"))


@dataclass(frozen=True)
class Key:
    """A key: where it stands, what it holds, what it means, and which providers and labs it is for.

    `protocol` and `lab` are empty where it is for all of them.
    """

    path: str
    kind: Kind
    help: str
    default: str = ""
    protocol: Protocol | Literal[""] = ""
    lab: Place | Literal[""] = ""
    required: bool = False
    offered: bool = True

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
    Key("provider.driver", Text(), "what the hosts' engines call the plugin", "`name`", lab="hosts"),
    Key("provider.version", Command(), "prints the version, for the table; a CSI driver says it itself",
        protocol="docker-plugin"),
    Key("provider.tools", Several(Text(), "programs"), "what must be installed here"),
    Key("provider.start", Command(), "starts the plugin on a node, as root", lab="namespaces", required=True),
    Key("provider.environment", Mapped(Text(empty=True), "texts", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
        "variables that `start`, `server`, `ready`, `version` and `controller` get", lab="namespaces"),
    Key("provider.ready", Command(), "succeeds once the plugin on a node is up", "Probe, or Plugin.Activate",
        lab="namespaces"),
    Key("provider.scope", Choice(("local", "global")), "whether other nodes have the plugin's volumes too",
        "what the plugin says", protocol="docker-plugin"),
    Key("provider.server", Command(), "runs on one more node, which serves the volumes", lab="namespaces"),
    Key("provider.sockets", Shaped("address", _ADDRESS, _ADDRESS_HINT),
        "a driver's socket on each host, with `{address}` or `{node}`", protocol="csi", lab="hosts", required=True),
    Key("provider.socket", Shaped("address, path, `.spec` or `.json`", _PLUGIN, _PLUGIN_HINT),
        "where a node's plugin serves, if not on `{socket}`", protocol="docker-plugin", lab="namespaces"),
    Key("provider.controller", Fields({"start": Command(), "socket": Shaped("address", _ADDRESS, _ADDRESS_HINT)}),
        "one controller for all nodes: a shell line that starts it beside the server, or where it serves",
        "each node's plugin", protocol="csi"),
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
    Key("provider.mount_flags", _FLAGS, "mount flags of each volume", protocol="csi"),
    Key("provider.filesystem_options", Mapped(_FLAGS, "lists of mount flags", pattern=r"^[\w.-]+$"),
        "more of them for the volumes of one file system", protocol="csi"),
    Key("provider.mount_group", Whole(1, (1 << 32) - 2, "give the group's number: 2000"),
        "the group that volumes are mounted for, of a driver with VOLUME_MOUNT_GROUP", protocol="csi"),
    Key("provider.filesystems", Several(Text(), "file systems"), "what a volume may be asked for", "the driver's own",
        protocol="csi"),
    Key("provider.access_modes", Several(Choice(ACCESS_MODES), "access modes", least=1),
        "what a volume may be asked for", "`[SINGLE_NODE_WRITER]`", protocol="csi"),
    Key("provider.secrets_file", Text("file"), "KEY=VALUE a line, for each call that takes secrets"),
    Key("provider.secrets", Mapped(Text(), "files", names=tuple(SECRET_CALLS)),
        "such files by kind of call, instead of `secrets_file`", protocol="csi"),
    Key("provider.topology", Flag(), "whether CreateVolume says where the volume is wanted, as NodeGetInfo tells it",
        "`true`", protocol="csi"),
    Key("provider.fencing", Choice(("driver", "none"), ("csi-addons",)),
        "whether the driver cuts off the node that it takes a volume from; `none`: T7 and T8 are NotRun", "`none`"),
    Key("runner.kind", Choice(choices.words(choices.StorageRunner)), "who runs the tasks", "`own`"),
    Key("runner.recovery", Choice(choices.words(choices.Recovery)),
        "what is done in a Kubernetes for tasks whose node is lost",
        "`taint` where it is powered off, else `force`", protocol="csi", lab="namespaces"),
    Key("runner.manager", Shaped("address", _ADDRESS, _ADDRESS_HINT), "the engine that manages the Swarm", lab="hosts"),
    Key("lab.kind", Choice(("namespaces", "hosts")), "nodes made of this machine, or hosts of your own",
        "`namespaces`"),
    Key("lab.nodes", Whole(2, 16, "give 2 to 16: every failover takes two"), "how many", "3", lab="namespaces"),
    Key("lab.nodes",
        ByName(Fields({"address": Text(), "engine": Text()}, required=True), "two hosts or more, by name", 2,
               "every failover takes two"),
        "each an `address` and an `engine`, by the names that the Swarm knows", lab="hosts", required=True),
    Key("lab.tester", Address("give this machine's, as the hosts reach it: 192.0.2.9"),
        "this machine, as the hosts reach it", lab="hosts", required=True),
    Key("lab.folder", Shaped("path", "^/", "give a whole path on the hosts"),
        "where a CSI driver stages and publishes on the hosts", "/var/lib/holdfast", lab="hosts"),
    *(Key(f"faults.{name}", Command(), f"does `{name}` on a host, with `{{node}}` and `{{address}}`", lab="hosts")
      for name in fleet.COMMANDS),
)  # fmt: skip
PARTS = tuple(dict.fromkeys(key.part for key in KEYS))


def of_part(part: str) -> tuple[Key, ...]:
    """The keys of a part of the file."""
    return tuple(key for key in KEYS if key.part == part)


def names(part: str) -> tuple[str, ...]:
    """What they are called."""
    return tuple(dict.fromkeys(key.name for key in of_part(part)))
