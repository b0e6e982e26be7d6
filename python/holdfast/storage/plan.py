"""What would run with a provider, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.storage.provider import ProviderFile
from holdfast.storage.report import NAMES

_RUNTIME = ("T9", "T10")
_FENCING = ("T7", "T8")


def plan(provider: ProviderFile) -> Iterator[tuple[str, str, str]]:
    """Each scenario, its title, and whether it would run. What the driver itself lacks shows when it is asked."""
    for name, title in NAMES.items():
        if name in _RUNTIME and provider.runner == "own":
            verdict = "NotRun: holdfast's own runner has no container runtime that could crash"
        elif name in _FENCING and provider.fencing == "none":
            verdict = "NotRun: the provider does not fence (fencing: none)"
        elif name == "T10" and provider.runner == "swarm":
            verdict = "NotRun: Swarm refuses live restore"
        else:
            verdict = "runs"
        yield name, title, verdict
