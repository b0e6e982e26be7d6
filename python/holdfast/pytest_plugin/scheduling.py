"""How pytest-xdist shares tests out: a device stays on one worker, and so do cases that share a failover."""

from __future__ import annotations

import re
from typing import Any

import pytest

from holdfast.pytest_plugin import options, targets

# Cases of one procedure: whoever runs the first has the verdicts of the others.
_SHARED = re.compile(r"::test_cntr3_[234]_")
# Cases that --dut-combine judges by the same failovers.
_COMBINED = re.compile(r"::test_cntr3_[1-7]_")


def scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler for `-n`; None where the user chose another way to share out."""
    if config.getoption("dist", "no") not in ("load", "no"):
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped,unused-ignore]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return scope(config, nodeid)

    return Scheduling(config, log)


def scope(config: pytest.Config, nodeid: str) -> str:
    """What stays on one worker: the tests of a device; on the emulated one, those of one procedure."""
    known = targets.of(config)
    if len(known) == 1 and known[0].emulated:
        together = _COMBINED if options.flag(config, "dut-combine") else _SHARED
        return together.sub("::", nodeid).partition("::")[0] + "::together" if together.search(nodeid) else nodeid
    parameters = nodeid.rpartition("[")[2].removesuffix("]") if nodeid.endswith("]") else ""
    words = f"-{parameters}-"
    named = [target.name for target in known if f"-{target.name}-" in words]
    return max(named, key=len, default=known[0].name if len(known) == 1 else nodeid)
