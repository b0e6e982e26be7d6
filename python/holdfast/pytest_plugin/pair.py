"""Two devices for one test: the one under test, and another that it has a link to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from holdfast.addresses import hosts
from holdfast.pytest_plugin import case, not_run, options, targets
from holdfast.pytest_plugin.run import Run
from holdfast.testbed.target import Target


@dataclass(frozen=True)
class Pair:
    """The device under test, and the other."""

    near: Run
    far: Run


def other_of(config: pytest.Config, target: Target) -> Target:
    """The next device of the testbed; beside an emulated one, another emulated one. Skips where there is none."""
    known = [each for each in targets.of(config) if each.name == target.name or not_run.why(config, each) is None]
    if len(known) > 1:
        names = [each.name for each in known]
        return known[(names.index(target.name) + 1) % len(known)]
    if target.emulated and not options.flag(config, "dut-required"):
        return targets.emulated(config)
    pytest.skip("needs a second device that this one has a link to: give a testbed with two")


@contextmanager
def beside(request: pytest.FixtureRequest, near: Run) -> Iterator[Pair]:
    """The pair, both clean before and after. Claimed in one order, so that no two tests wait for each other."""
    far = Run(request.config, other_of(request.config, near.target))
    try:
        shared = set(hosts(near.address)) & set(hosts(far.address))
        if far.chassis is not None and shared:
            where = ", ".join(sorted(shared))
            pytest.skip(f"both emulated devices are at {where}, as are the ports of their containers: say listen=auto")
        if (
            far.chassis is not None
            and options.runs_real_containers(request.config)
            and far.image.port == near.image.port
        ):
            pytest.skip(
                "the containers of both emulated devices are in the network of this machine, where one has port "
                f"{near.image.port}: leave --dut-port out, and let --dut-command name {{port}}"
            )
        begun: list[Run] = []
        try:
            for each in sorted((near, far), key=lambda each: each.address):
                each.begin_test(request.node)
                begun.append(each)
            yield Pair(near, far)
        finally:
            for each in sorted(begun, key=lambda each: each is near):  # what is kept of the test is the near one's
                case.end_test(each, request.node)
    finally:
        far.end()
