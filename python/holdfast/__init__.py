"""Fail the thing under a container; prove that the container and its data held.

Importing this loads nothing else: names are resolved when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast import aio as aio
    from holdfast import cni as cni
    from holdfast import cntrsrv as cntrsrv
    from holdfast import exceptions as exceptions
    from holdfast import failpoint as failpoint
    from holdfast import plugin_archive as plugin_archive
    from holdfast import profiles as profiles
    from holdfast import report as report
    from holdfast import testbed as testbed
    from holdfast._connect import connect as connect
    from holdfast._core import Containerz as Containerz
    from holdfast._core import Device as Device
    from holdfast._emulator import Emulator as Emulator
    from holdfast._emulator import emulator as emulator
    from holdfast._version import __version__ as __version__
    from holdfast.arguments import ConnectOptions as ConnectOptions
    from holdfast.arguments import EmulatorArguments as EmulatorArguments
    from holdfast.exceptions import HoldfastError as HoldfastError
    from holdfast.gnmi import Change as Change
    from holdfast.gnmi import Extension as Extension
    from holdfast.gnmi import Operation as Operation
    from holdfast.gnmi import SetResult as SetResult
    from holdfast.gnmi import SubscribedPath as SubscribedPath
    from holdfast.results import Archive as Archive
    from holdfast.results import ArchiveImage as ArchiveImage
    from holdfast.results import Artifact as Artifact
    from holdfast.results import Capabilities as Capabilities
    from holdfast.results import ClusterRun as ClusterRun
    from holdfast.results import ComponentStatus as ComponentStatus
    from holdfast.results import Container as Container
    from holdfast.results import ContainerDescription as ContainerDescription
    from holdfast.results import ControlProcessor as ControlProcessor
    from holdfast.results import Dialled as Dialled
    from holdfast.results import Downloaded as Downloaded
    from holdfast.results import Event as Event
    from holdfast.results import Image as Image
    from holdfast.results import Images as Images
    from holdfast.results import Layer as Layer
    from holdfast.results import Leaf as Leaf
    from holdfast.results import Leaves as Leaves
    from holdfast.results import LedgerFinding as LedgerFinding
    from holdfast.results import LedgerVerdict as LedgerVerdict
    from holdfast.results import LogLine as LogLine
    from holdfast.results import Outage as Outage
    from holdfast.results import PingSummary as PingSummary
    from holdfast.results import Plugin as Plugin
    from holdfast.results import Reboot as Reboot
    from holdfast.results import RebootStatus as RebootStatus
    from holdfast.results import Record as Record
    from holdfast.results import StatInfo as StatInfo
    from holdfast.results import StorageCalls as StorageCalls
    from holdfast.results import StorageLeftover as StorageLeftover
    from holdfast.results import StorageProvider as StorageProvider
    from holdfast.results import StorageSpace as StorageSpace
    from holdfast.results import StorageStatistics as StorageStatistics
    from holdfast.results import Switchover as Switchover
    from holdfast.results import Timeline as Timeline
    from holdfast.results import Unchecked as Unchecked
    from holdfast.results import Updates as Updates
    from holdfast.results import Volume as Volume
    from holdfast.secret import Secret as Secret
    from holdfast.tls import Tls as Tls

_HOMES = {
    "ConnectOptions": "holdfast.arguments",
    "Containerz": "holdfast._core",
    "Device": "holdfast._core",
    "Emulator": "holdfast._emulator",
    "EmulatorArguments": "holdfast.arguments",
    "HoldfastError": "holdfast.exceptions",
    "Secret": "holdfast.secret",
    "Tls": "holdfast.tls",
    "__version__": "holdfast._version",
    "connect": "holdfast._connect",
    "emulator": "holdfast._emulator",
}
# What calls return.
_RESULTS = (
    "Archive",
    "ArchiveImage",
    "Artifact",
    "Capabilities",
    "ComponentStatus",
    "Container",
    "ContainerDescription",
    "ControlProcessor",
    "Dialled",
    "Downloaded",
    "Event",
    "Image",
    "Images",
    "Layer",
    "Leaf",
    "Leaves",
    "LedgerFinding",
    "LedgerVerdict",
    "LogLine",
    "Outage",
    "PingSummary",
    "Plugin",
    "Reboot",
    "RebootStatus",
    "Record",
    "StatInfo",
    "StorageCalls",
    "ClusterRun",
    "StorageLeftover",
    "StorageProvider",
    "StorageSpace",
    "StorageStatistics",
    "Switchover",
    "Timeline",
    "Unchecked",
    "Updates",
    "Volume",
)
_GNMI = ("Change", "Extension", "Operation", "SetResult", "SubscribedPath")
_HOMES.update(dict.fromkeys(_RESULTS, "holdfast.results"))
_HOMES.update(dict.fromkeys(_GNMI, "holdfast.gnmi"))
_MODULES = ("aio", "cni", "cntrsrv", "exceptions", "failpoint", "plugin_archive", "profiles", "report", "testbed")

__all__ = [  # noqa: RUF022 - the order of the documentation
    "connect",
    "emulator",
    "Device",
    "Containerz",
    "Emulator",
    "ConnectOptions",
    "EmulatorArguments",
    "Tls",
    "Secret",
    "HoldfastError",
    "Archive",
    "ArchiveImage",
    "Artifact",
    "Capabilities",
    "ComponentStatus",
    "Container",
    "ContainerDescription",
    "ControlProcessor",
    "Dialled",
    "Downloaded",
    "Event",
    "Image",
    "Images",
    "Layer",
    "Leaf",
    "Leaves",
    "LedgerFinding",
    "LedgerVerdict",
    "LogLine",
    "Outage",
    "PingSummary",
    "Plugin",
    "Reboot",
    "RebootStatus",
    "Record",
    "StatInfo",
    "StorageCalls",
    "ClusterRun",
    "StorageLeftover",
    "StorageProvider",
    "StorageSpace",
    "StorageStatistics",
    "Switchover",
    "Timeline",
    "Unchecked",
    "Updates",
    "Volume",
    "Change",
    "Extension",
    "Operation",
    "SetResult",
    "SubscribedPath",
    "aio",
    "cni",
    "cntrsrv",
    "exceptions",
    "failpoint",
    "plugin_archive",
    "profiles",
    "report",
    "testbed",
    "__version__",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"holdfast.{name}")
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'holdfast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
