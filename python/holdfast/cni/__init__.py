"""CNI plugin chains under faults: run a chain as a container runtime does, and look at what it leaves behind."""

from __future__ import annotations

from holdfast.cni.chain import Chain, NotAsked
from holdfast.cni.containerd import Containerd, GivenContainerd
from holdfast.cni.failpoint_file import FailpointFile
from holdfast.cni.kept import Attachment
from holdfast.cni.leftovers import Trace, Traces, look
from holdfast.cni.namespace import NetworkNamespace
from holdfast.cni.plugin import install, path
from holdfast.exceptions import CniError

__all__ = [
    "Attachment",
    "Chain",
    "CniError",
    "Containerd",
    "FailpointFile",
    "GivenContainerd",
    "NetworkNamespace",
    "NotAsked",
    "Trace",
    "Traces",
    "install",
    "look",
    "path",
]
