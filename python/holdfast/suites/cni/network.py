"""Where a scenario of pods takes place, and what it cannot do without."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from holdfast.cni import Chain, FailpointFile, NetworkNamespace, plugin
from holdfast.cni.chain import ANNOTATIONS, read
from holdfast.cni.namespace import OWN
from holdfast.pytest_plugin import options

PLUGINS = "/opt/cni/bin:/usr/lib/cni"

# What a scenario cannot do without, and what brings it on Debian.
TOOLS = {"ip": "iproute2", "nsenter": "util-linux", "iptables-save": "iptables"}
CONTAINERD_TOOLS = {"containerd": "containerd", "ctr": "containerd", "runc": "runc"}


class PodNetwork:
    """The places of one scenario: a host's network namespace, plugins, configuration, failpoints, leases."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self.id = uuid.uuid4().hex[:8]
        self.folder = folder
        self.host = NetworkNamespace.create(f"{OWN}host-{self.id}")
        self.plugins = folder / "bin"
        self.failpoints = FailpointFile(folder / "failpoints.json")
        self.failpoints.write()
        self._bring_plugins(config)
        # Where CNI_PATH begins of the plugins that are this scenario's; a given containerd has its own.
        self.plugin_prefix = str(self.plugins)
        # Whether the chain is the suite's, made of the reference plugins where they usually lie.
        self.is_own = not (options.value(config, "cni-conflist") or options.value(config, "cni-path"))
        # Whether pods that are not the suite's may have leases in the same folder.
        self.leases_are_shared = bool(options.value(config, "cni-conflist"))
        self.configuration, self.leases = self._configure(options.value(config, "cni-conflist"))
        self.results = folder / "results"
        self.chain = Chain(self.configuration, [self.plugins], host=self.host, results=self.results)

    def _bring_plugins(self, config: pytest.Config) -> None:
        """One folder with all plugins, and the failpoint plugin among them, where it is not there already."""
        self.plugins.mkdir()
        for given in reversed(_plugin_folders(config)):
            for file in given.iterdir() if given.is_dir() else ():
                (self.plugins / file.name).unlink(missing_ok=True)
                (self.plugins / file.name).symlink_to(file)
        if not (self.plugins / plugin.NAME).exists():
            plugin.install(self.plugins)

    def _configure(self, given: str | None) -> tuple[Path, Path]:
        """The configuration in a folder of its own, as containerd wants it, and where its leases are."""
        folder = self.folder / "net.d"
        folder.mkdir()
        path = folder / "10-holdfast.conflist"
        if given is not None:
            held = read(given)
            path.write_text(json.dumps(held), encoding="utf-8")
            ranges = ((found.get("ipam") or {}).get("dataDir") for found in held["plugins"])
            return path, Path(next((found for found in ranges if found), "/var/lib/cni/networks"))
        path.write_text(json.dumps(self._own_configuration()), encoding="utf-8")
        return path, self.folder / "leases"

    def _own_configuration(self) -> dict[str, Any]:
        ranges = [[{"subnet": "10.88.60.0/24"}], [{"subnet": "fd00:88:60::/64"}]]
        addresses = {
            "type": "host-local",
            "dataDir": str(self.folder / "leases"),
            "ranges": ranges,
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        }
        failing_bridge = {
            "type": plugin.NAME,
            "bridge": "hf0",
            "isGateway": True,
            "ipMasq": True,
            "hitLog": str(self.folder / "hits.jsonl"),
            "capabilities": {ANNOTATIONS: True},
            "ipam": addresses,
        }
        return {"cniVersion": "1.0.0", "name": f"holdfast-{self.id}", "plugins": [failing_bridge]}

    def leave(self) -> None:
        """Take everything down."""
        for each in plugin.running(self.plugin_prefix) if self.plugin_prefix else ():
            os.kill(each.pid, signal.SIGKILL)
        self.host.delete()


def _plugin_folders(config: pytest.Config) -> list[Path]:
    given = options.value(config, "cni-path") or PLUGINS
    return [Path(folder) for folder in str(given).split(os.pathsep)]


def describe(config: pytest.Config) -> str:
    """A line that says which plugins, which chain and which containerd the scenarios run with."""
    folders = [str(folder) for folder in _plugin_folders(config) if (folder / "bridge").is_file()]
    chain = options.value(config, "cni-conflist") or "the suite's own chain"
    containerd = options.value(config, "cni-containerd") or shutil.which("containerd") or "no containerd"
    return f"{chain}; bridge of {folders[0] if folders else 'nowhere'}; {containerd}"


def _missing(config: pytest.Config, tools: dict[str, str]) -> str | None:
    if not plugin.is_supported():
        return "network namespaces and CNI plugins need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root: run it with sudo, or as root in a virtual machine"
    for tool, package in tools.items():
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}"
    folders = _plugin_folders(config)
    for name in ("bridge", "host-local", "loopback"):
        if not any((folder / name).is_file() for folder in folders):
            return f"the CNI plugin {name} is missing: apt-get install containernetworking-plugins, or --cni-path DIR"
    return None


def _unfit(config: pytest.Config) -> str | None:
    """Why the failpoints of a scenario cannot reach a chain that somebody brings."""
    given = options.value(config, "cni-conflist")
    if given is None:
        return None
    failing = [each for each in read(given)["plugins"] if each["type"] == plugin.NAME]
    if not failing:
        return f"{given} has no plugin {plugin.NAME}: put it in bridge's place"
    if not any((each.get("capabilities") or {}).get(ANNOTATIONS) for each in failing):
        return f'{given}: {plugin.NAME} needs "capabilities": {{"{ANNOTATIONS}": true}}'
    return None


def need(config: pytest.Config, tools: dict[str, str]) -> None:
    """Skip, or fail with `--cni-required`, where something is missing."""
    missing = _missing(config, tools) or _unfit(config)
    if missing and options.flag(config, "cni-required"):
        pytest.fail(f"--cni-required: {missing}", pytrace=False)
    if missing:
        pytest.skip(missing)
