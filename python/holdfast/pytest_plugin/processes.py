"""Which components of a device are processes, as its gNMI tells."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from holdfast import profiles
from holdfast.exceptions import HoldfastError, RpcError
from holdfast.pytest_plugin.core_files import LOOK

if TYPE_CHECKING:
    from holdfast import Device

# Of OpenConfig's types of components, the one that a process may have.
SOFTWARE_MODULE = "SOFTWARE_MODULE"
# A component's name is its path, where that is of something else than a component.
PROCESSES = "/system/processes/"
NAMES = f"{PROCESSES}process[pid=*]/state/name"
# What stands between a control processor's name and what is on it.
SEPARATORS = "-:/. "


def is_process(dut: Device, control_processors: Sequence[str], component: str) -> bool:
    """Whether a component is a process: by its type, or because a process has its name, with or without its
    control processor's.

    A device that tells neither has none. Sources: `/components/component/state/type` and
    `/system/processes/process/state/name`.
    """
    if component.partition(":")[2].startswith(PROCESSES) or component.startswith(PROCESSES):
        return True
    key = component.replace("\\", "\\\\").replace("]", "\\]")
    types = _values(dut, f"/components/component[name={key}]/state/type")
    if types:
        return any(each.rpartition(":")[2] == SOFTWARE_MODULE for each in types)
    names = {component}
    for control_processor in control_processors:
        if component.startswith(control_processor):
            names.add(component.removeprefix(control_processor).lstrip(SEPARATORS))
    return not names.isdisjoint(_values(dut, NAMES))


def _values(dut: Device, path: str) -> list[str]:
    with suppress(HoldfastError):
        try:
            leaves = dut.gnmi.once(path, timeout=LOOK)
        except RpcError as refusal:
            if not profiles.hides(refusal):
                raise
            leaves = dut.gnmi.get(path, timeout=LOOK)
        return [str(leaf.value) for leaf in leaves]
    return []
