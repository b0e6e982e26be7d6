"""What each scenario does to nodes: a plan says it, and no scenario does more."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.choices import StorageFault

# One after the other in one scenario.
Variant = tuple[StorageFault, ...]
# By scenario: its variants, which are its parameter `fault` where there are several.
VARIANTS: Mapping[str, tuple[Variant, ...]] = {
    "T3": (("stop_plugin",), ("kill_plugin",), ("hang_plugin",), ("kill_server",)),
    "T4": (("kill_plugin",),),
    "T5": (("power_off",),),
    "T6": (("kill_plugin",), ("hang_plugin",)),
    "T7": (("cut",),),
    "T8": (("cut_storage",),),
    "T9": (("live_restore_off", "kill_runtime"),),
    "T10": (("live_restore_on", "kill_runtime"),),
    "T21": (("kill_kubelet",),),
    "T22": (("kill_kubelet",),),
    "T23": (("kill_api_server", "kill_etcd"),),
    "T24": (("drain",),),
    "T25": (("cut",),),
}
# After these the volumes of a lost node are moved as the file's `recovery` says.
RECOVERS = ("T4", "T5", "T7", "T8", "T25")


def does(scenario: str, fault: StorageFault) -> bool:
    """Whether that is among what a scenario of this name does; of a scenario of somebody's own nothing is known."""
    return scenario not in VARIANTS or any(fault in variant for variant in VARIANTS[scenario])
