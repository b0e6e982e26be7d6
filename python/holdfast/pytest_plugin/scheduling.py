"""How pytest-xdist shares tests out: a device stays on one worker, and so do cases that share a failover."""

from __future__ import annotations

from collections import Counter
from functools import cache, partial
from typing import Any

import pytest

from holdfast.pytest_plugin import options, targets
from holdfast.pytest_plugin.procedure import PROCEDURE, Procedure


def scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler for `-n`; None where the user chose another way to share out. Raises `pytest.UsageError`."""
    dist = config.getoption("dist", "no")
    if dist not in ("load", "no"):
        if any(target.workers for target in targets.of(config)):
            raise pytest.UsageError(f"--dist {dist} does not heed `workers:` of the testbed: leave it out, or say load")
        return None
    from holdfast.pytest_plugin.sharing import Sharing

    return Sharing(config, log, partial(scope, config), partial(targets.of_nodeid, config))


def scope(config: pytest.Config, nodeid: str) -> str:
    """What stays on one worker: the tests of a device; on the emulated one, those of one procedure."""
    known = targets.of(config)
    if len(known) == 1 and known[0].emulated:
        file, _, test = nodeid.partition("::")
        together = _combined() if options.flag(config, "dut-combine") else _shared()
        return f"{file}::together" if test.partition("[")[0] in together else nodeid
    target = targets.of_nodeid(config, nodeid)
    return nodeid if target is None else target.name


@cache
def _procedures() -> dict[str, Procedure]:
    """What each test of the suite does that has procedures in common. A scheduler knows tests by their names alone."""
    from holdfast.suites.cntr3 import test_cntr3

    held = {name: getattr(test, PROCEDURE, None) for name, test in vars(test_cntr3).items()}
    return {name: procedure for name, procedure in held.items() if procedure is not None}


def _shared() -> frozenset[str]:
    """Tests of one procedure: whoever runs the first has the verdicts of the others."""
    procedures = _procedures()
    tests = Counter(procedures.values())
    return frozenset(name for name, procedure in procedures.items() if tests[procedure] > 1)


def _combined() -> frozenset[str]:
    """Tests that `--dut-combine` judges by the same failovers."""
    return frozenset(name for name, procedure in _procedures().items() if procedure.combines)
