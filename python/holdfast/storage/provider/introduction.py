"""What a plugin says of itself, asked by either protocol."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from holdfast import visible

if TYPE_CHECKING:
    from holdfast import _core

# By what CSI calls them, of a controller or a node.
_CAPABILITIES = {
    "EXPAND_VOLUME": "Expand",
    "CREATE_DELETE_SNAPSHOT": "Snapshot",
    "CLONE_VOLUME": "Clone",
    "GET_VOLUME_STATS": "Statistics",
}
# For all questions together, in seconds.
TIMEOUT = 20.0


@dataclass(frozen=True)
class Introduction:
    """A plugin that runs: `protocol` is csi or docker-plugin, and what a Docker plugin does not tell is empty.

    `plugin`, `controller` and `node` are capabilities by CSI's names, `topology` pairs of a key and a value,
    `unanswered` questions and why they got no answer. All of it is what the plugin said: to be escaped where it is
    shown.
    """

    protocol: str
    name: str = ""
    version: str = ""
    ready: bool | None = None
    plugin: list[str] = field(default_factory=list)
    controller: list[str] = field(default_factory=list)
    node: list[str] = field(default_factory=list)
    node_id: str = ""
    max_volumes: int = 0
    topology: list[tuple[str, str]] = field(default_factory=list)
    scope: str = ""
    unanswered: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_csi(self) -> bool:
        """Whether it is a CSI driver."""
        return self.protocol == "csi"

    def capabilities(self, *, fences: bool) -> frozenset[str]:
        """What scenarios may need, in the words of a lab; how a lab reads it is in `csi/introduction.rs`."""
        found = {_CAPABILITIES[word] for word in (*self.controller, *self.node) if word in _CAPABILITIES}
        also = {"Block": self.is_csi, "Fence": fences, "Local": self.scope == "local"}
        return frozenset(found | {word for word, there in also.items() if there})

    def lines(self) -> list[str]:
        """It in words, a line each, escaped."""
        lines = []
        if self.is_csi:
            lines.append(f"CSI driver {self.name} {self.version}".rstrip())
            readiness = {True: "it is ready", False: "it says that it is not ready", None: ""}[self.ready]
            place = ", ".join(f"{key}={value}" for key, value in self.topology)
            lines += [readiness] if readiness else []
            lines.append(f"plugin: {_listed(self.plugin)}; controller: {_listed(self.controller)}")
            lines.append(f"node: {_listed(self.node)}; its name for the node: {self.node_id or 'none'}")
            lines += [f"the node's topology: {place}"] if place else []
        else:
            lines.append(f"Docker plugin: {_listed(self.plugin)}; scope of its volumes: {self.scope or 'not known'}")
        lines += [f"{question} got no answer: {why}" for question, why in self.unanswered]
        return [visible.line(each) for each in lines]


def _listed(words: list[str]) -> str:
    return ", ".join(words) or "none"


def introduce(address: str, mask: _core.Mask | None = None, *, timeout: float = TIMEOUT) -> Introduction:
    """Ask the plugin at an address: unix:///PATH, tcp://HOST:PORT, a path, or a `.spec` or `.json` file.

    Raises a `HoldfastError` where nobody is there, or whoever is there speaks neither protocol.
    """
    from holdfast import _core

    answers = _core.storage_introduce(address, mask=mask or _core.Mask([]), timeout=timeout)
    return Introduction(**{each.name: answers[each.name] for each in fields(Introduction)})
