"""What would run with a provider, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.storage.provider import ProviderFile
from holdfast.storage.report import NAMES

_RUNTIME = ("T9", "T10")
_FENCING = ("T7", "T8")
# By scenario: each of these is a variant of it.
_FAULTS = {
    "T3": ("stop_plugin", "kill_plugin", "hang_plugin", "kill_server"),
    "T4": ("kill_plugin",),
    "T5": ("power_off",),
    "T6": ("kill_plugin", "hang_plugin"),
    "T7": ("cut",),
    "T8": ("cut_storage",),
    "T9": ("kill_runtime",),
    "T10": ("live_restore_on",),
}


def plan(provider: ProviderFile) -> Iterator[tuple[str, str, str]]:
    """Each scenario, its title, and whether it would run. What the driver itself lacks shows when it is asked."""
    for name, title in NAMES.items():
        if name in _RUNTIME and provider.runner == "own":
            verdict = "NotRun: holdfast's own runner has no container runtime that could crash"
        elif name in _FENCING and provider.fencing == "none":
            verdict = "NotRun: the provider does not fence (fencing: none)"
        elif name == "T10" and provider.runner == "swarm":
            verdict = "NotRun: Swarm refuses live restore"
        elif provider.hosts is not None and (why := provider.hosts.lacks(*_FAULTS.get(name, ()))):
            verdict = f"NotRun: {why}"
        else:
            verdict = "runs"
        yield name, title, verdict
