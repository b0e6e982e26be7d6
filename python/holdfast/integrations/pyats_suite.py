"""The suites as an aetest script: a testcase for each case, its checks as steps, in pyATS' own report.

    python -m holdfast.integrations.pyats_suite --testbed lab.yaml --device r1 --suite cntr3
    run(testscript=pyats_suite.__file__, device="r1", uids=pyats_suite.uids("cntr3"))    # in a job

A script of one's own names the classes that it wants: `class Images(pyats_suite.CNTR_3_1): pass`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Any

from pyats import aetest
from pyats.datastructures.logic import Or
from pyats.topology import loader

from holdfast import visible
from holdfast.integrations import suites
from holdfast.integrations.pyats import Connection
from holdfast.verdicts import CaseRecord

log = logging.getLogger(__name__)

# Suites, how many cases each has, and which of them one failover judges together.
SUITES = {"cntr1": 8, "cntr2": 4, "cntr3": 8}
TOGETHER = {("cntr3", number): (2, 3, 4) for number in (2, 3, 4)}
_accounts: dict[tuple[str, str], CaseRecord] = {}

parameters: dict[str, Any] = {"options": ()}


def uids(suite: str) -> Any:
    """What `uids` of aetest must be for the cases of one suite."""
    return Or("common_.*", f"CNTR_{suite[-1]}_.*")


def plan_id(suite: str, number: int) -> str:
    """A case's number in its plan."""
    return f"CNTR-{suite[-1]}.{number}"


class CommonSetup(aetest.CommonSetup):
    """Looks whether the device is there."""

    @aetest.subsection
    def connect(self, testbed: Any, device: str) -> None:
        """A session by holdfast's connection."""
        found = testbed.devices[device]
        via = next((name for name, info in found.connections.items() if info.get("class") is Connection), None)
        if via is None:
            self.failed(f"{device} has no connection of the class holdfast.integrations.pyats.Connection")
        found.connect(via=via, alias="holdfast")
        log.info("%s", found.holdfast.control_processors())


class Case(aetest.Testcase):
    """A case; its suite and number are its name's."""

    suite, number = "", 0

    @aetest.test
    def judge(self, testbed: Any, device: str, options: Any, steps: Any) -> None:
        """Run it, and give each of its checks as a step."""
        record = account(testbed.devices[device].holdfast.target, self.suite, self.number, tuple(options))
        if record.outcome in ("skipped", "error"):
            (self.skipped if record.outcome == "skipped" else self.errored)(visible.lines(record.why))
        for line in (*record.noted, *(f"not checked: {line}" for line in record.not_checked)):
            log.info("%s", visible.line(line))
        for step in record.checked:
            with steps.start(visible.line(step)) as done:
                done.passed()
        for failed in record.failures:
            with steps.start(visible.line(f"{failed.kind}: {failed.name}"), continue_=True) as done:
                done.failed(visible.lines(failed.words))


def account(target: Any, suite: str, number: int, options: tuple[str, ...]) -> CaseRecord:
    """What a case found; those that share a failover are run together, once."""
    wanted = (target.name, plan_id(suite, number))
    if wanted not in _accounts:
        numbers = TOGETHER.get((suite, number), (number,))
        ran = suites.run(target, " or ".join(f"{suite}_{each}" for each in numbers), *options)
        for case in ran.cases:
            _accounts[target.name, case.plan_id] = case
    return _accounts[wanted]


for _suite, _count in SUITES.items():
    for _number in range(1, _count + 1):
        _plan = plan_id(_suite, _number)
        _name = f"CNTR_{_suite[-1]}_{_number}"
        _attributes = {"suite": _suite, "number": _number, "__module__": __name__, "__doc__": _plan}
        globals()[_name] = type(_name, (Case,), _attributes)
del Case


class CommonCleanup(aetest.CommonCleanup):
    """Closes the session."""

    @aetest.subsection
    def disconnect(self, testbed: Any, device: str) -> None:
        """By pyATS' own means."""
        testbed.devices[device].disconnect_all()


def main() -> int:
    """Run it without a job; 0 where all passed."""
    parser = argparse.ArgumentParser(description="holdfast's suites in aetest")
    parser.add_argument("--testbed", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--suite", choices=SUITES, default="cntr3")
    parser.add_argument("--option", action="append", default=[], help="more of pytest's options, such as --dut-combine")
    arguments = parser.parse_args()
    testbed = loader.load(arguments.testbed)
    result = aetest.main(
        testbed=testbed, device=arguments.device, options=tuple(arguments.option), uids=uids(arguments.suite)
    )
    return 0 if str(result) in ("passed", "passx") else 1


if __name__ == "__main__":
    sys.exit(main())
