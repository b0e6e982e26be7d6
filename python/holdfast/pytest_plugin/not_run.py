"""Devices that a run leaves alone, and why: those in maintenance, and those that no worker of the run reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import visible
from holdfast.pytest_plugin import failures, options, reserved, targets
from holdfast.testbed import Target, lab

# What a report calls the device that its test did not run on. It crosses from a worker, as all attributes do.
DEVICE = "holdfast_not_run"
_KEY = pytest.StashKey[str]()
# What workers are told: what each is called, and what all are.
WORKER, WORKERS = "holdfast_worker", "holdfast_workers"


def worker_name(spec: object, gateway_id: str) -> str:
    """What a worker is called in `workers:` of a testbed: the id in its spec, which one that replaces it has too."""
    words = (word.partition("=") for word in str(spec).split("//"))
    return next((value for key, _, value in words if key == "id"), gateway_id)


def tell(node: Any) -> None:
    """Tell a worker of pytest-xdist who it is, and who else there is."""
    everybody = [worker_name(spec, spec.id) for spec in node.nodemanager.specs]
    node.workerinput[WORKER] = worker_name(node.gateway.spec, node.gateway.id)
    node.workerinput[WORKERS] = list(dict.fromkeys(everybody))


def why(config: pytest.Config, target: Target) -> str | None:
    """Why nothing runs on a device here; None where it does."""
    return maintained(config, target) or _unreached(config, target) or reserved.why_not(config, target)


def maintained(config: pytest.Config, target: Target) -> str | None:
    """The same for maintenance alone, which is so for every worker."""
    if target.maintenance is None or _is_named(config, target):
        return None
    return f"{target.name} is {target.maintenance}; --dut-device {target.name} runs it all the same"


def _unreached(config: pytest.Config, target: Target) -> str | None:
    if not target.workers:
        return None
    said, worker = ", ".join(target.workers), getattr(config, "workerinput", None)
    if worker is not None:
        if worker.get(WORKER) in target.workers:
            return None
        return f"no worker of this run reaches {target.name}: its testbed says {said}, and there are " + ", ".join(
            worker.get(WORKERS, ())
        )
    if shares_out(config) or _is_named(config, target):
        return None
    several = "s" * (len(target.workers) > 1)
    return (
        f"{target.name} is reached by worker{several} {said}, and this run has no workers; "
        f"--dut-device {target.name} tries it from here"
    )


def shares_out(config: pytest.Config) -> bool:
    """Whether this process hands its tests to workers of pytest-xdist."""
    return config.getoption("dist", "no") != "no" and bool(config.getoption("tx", None))


def reached_elsewhere(config: pytest.Config, target: Target) -> bool:
    """Whether this process, which hands its tests to workers, may not reach a device itself."""
    return bool(target.workers) and shares_out(config)


def _is_named(config: pytest.Config, target: Target) -> bool:
    return lab.is_named(target, options.value(config, "dut-device"))


def skip(item: pytest.Item) -> None:
    """Skip a test of a device that nothing runs on."""
    target = targets.of_item(item)
    reason = why(item.config, target) or failures.of(item.config).why_stopped(item.nodeid)
    if reason is not None:
        item.stash[_KEY] = target.name
        pytest.skip(reason)


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    """Put on its report which device that was."""
    if report.when == "setup" and report.skipped and _KEY in item.stash:
        setattr(report, DEVICE, item.stash[_KEY])


class Account:
    """The cases that did not run, by device, for the last lines of a run."""

    def __init__(self) -> None:
        self._cases: Counter[tuple[str, str]] = Counter()

    def add(self, report: pytest.TestReport, reason: str) -> bool:
        """Count a report; whether it was of this kind."""
        device: str | None = getattr(report, DEVICE, None)
        if device is not None:
            self._cases[device, reason] += 1
        return device is not None

    def __bool__(self) -> bool:
        return bool(self._cases)

    def lines(self) -> Iterator[str]:
        """A row for each device, below its name as in the table of those that ran."""
        for (device, reason), count in self._cases.items():
            yield visible.line(device or "the emulated device")
            yield f"{'NotRun':<10} {count} case{'s' * (count > 1)}: {visible.line(reason)}"
