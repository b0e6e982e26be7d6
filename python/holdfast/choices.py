"""What can only be one of a few words, each once: for the stubs, both worlds of Python, options and commands."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

# Which verdict of a case fails its test.
JudgedVerdict: TypeAlias = Literal["procedure", "depth"]
# Which certificates a TLS handshake with an emulated device has: its own, or the client's too.
Encryption: TypeAlias = Literal["server", "mutual"]
# What runs the containers of an emulated device.
ContainerRuntime: TypeAlias = Literal["emulated", "docker"]
# When a subscription of gNMI sends a value.
StreamMode: TypeAlias = Literal["TARGET_DEFINED", "ON_CHANGE", "SAMPLE"]
# Which kind of data a Get of gNMI is of.
DataType: TypeAlias = Literal["ALL", "CONFIG", "STATE", "OPERATIONAL"]
# How values of gNMI are encoded.
Encoding: TypeAlias = Literal["PROTO", "JSON_IETF", "JSON", "ASCII", "BYTES"]
# What a volume of a device is made with; its options go by this.
VolumeDriver: TypeAlias = Literal["local", "custom"]
# How a device fetches an image by itself.
RemoteProtocol: TypeAlias = Literal["SFTP", "HTTP", "HTTPS", "SCP"]
# On which control processors a container is to run.
Location: TypeAlias = Literal["PRIMARY", "BACKUP", "ALL"]
# Whether a device of a testbed is to be tested.
DeviceState: TypeAlias = Literal["available", "maintenance"]

# Who runs the tasks of a storage provider.
StorageRunner: TypeAlias = Literal["own", "docker", "swarm", "kubernetes"]
Recovery: TypeAlias = Literal["wait", "taint", "force"]
Workload: TypeAlias = Literal["pod", "deployment", "statefulset"]
# How the emulated storage provider is reached.
StorageFace: TypeAlias = Literal["process", "csi", "docker"]
# What a task does with its volume.
TaskStage: TypeAlias = Literal["idle", "appending", "overwriting", "mid-fsync"]
# Who may have a volume at once, as CSI names it.
VolumeAccess: TypeAlias = Literal[
    "SINGLE_NODE_WRITER", "SINGLE_NODE_READER_ONLY", "SINGLE_NODE_SINGLE_WRITER", "SINGLE_NODE_MULTI_WRITER",
    "MULTI_NODE_READER_ONLY", "MULTI_NODE_SINGLE_WRITER", "MULTI_NODE_MULTI_WRITER",
]  # fmt: skip
# The harm that a storage lab does, and undoes.
StorageFault: TypeAlias = Literal[
    "power_off", "power_on", "cut", "cut_storage", "cut_control", "heal", "stop_plugin", "kill_plugin", "hang_plugin",
    "start_plugin", "kill_server", "hang_server", "start_server", "kill_runtime", "start_runtime", "kill_kubelet",
    "start_kubelet", "kill_api_server", "start_api_server", "kill_etcd", "start_etcd", "live_restore_on",
    "live_restore_off", "drain", "uncordon",
]  # fmt: skip
# After these a node is waited for, until it is ready again.
COMES_BACK: tuple[StorageFault, ...] = (
    "start_plugin", "power_on", "heal", "start_server", "start_runtime", "start_kubelet", "start_api_server",
)  # fmt: skip


def words(choice: Any) -> tuple[str, ...]:
    """All the words of a choice.

    >>> words(JudgedVerdict)
    ('procedure', 'depth')
    """
    return get_args(choice)


def wanted(choice: Any) -> str:
    """What to do instead of another word.

    >>> wanted(StorageRunner)
    'give own, docker, swarm or kubernetes'
    """
    *others, last = words(choice)
    return f"give {', '.join(others)} or {last}"
