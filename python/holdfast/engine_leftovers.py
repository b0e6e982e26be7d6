"""What emulated devices whose process was killed left in a Docker engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from holdfast import _core, scratch, visible


@dataclass(frozen=True)
class Thing:
    """A container, an image or a volume in an engine, by its kind and its name there.

    `owner` is the process that emulates the device, as `scratch` names one. `state` is the folder that keeps the
    device's state; empty where it goes with the process.
    """

    kind: str
    name: str
    owner: str
    state: str

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody has it any more: not what the next process on the same state folder finds again."""
        kept = self.kind == "volume" and bool(self.state) and Path(self.state).is_dir()
        return scratch.is_gone(self.owner) and not kept

    def __str__(self) -> str:
        return visible.line(f"{self.kind} {self.name}")


def find(address: str) -> list[Thing]:
    """What is left in the engine at `unix:///PATH`, in the order in which things let go of each other. Raises
    `LabError`.
    """
    everything = [Thing(*found) for found in _core.engine_leftovers(address)]
    return [thing for thing in everything if thing.is_abandoned]


def remove_all(address: str, things: Iterable[Thing]) -> dict[str, str]:
    """Remove them; the name of each that stays, and why. Raises `LabError`."""
    return dict(_core.remove_engine_leftovers(address, [(thing.kind, thing.name) for thing in things]))
