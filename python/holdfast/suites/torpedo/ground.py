"""What the scenarios stand on: a lab for each, and what becomes of its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import storage
from holdfast.pytest_plugin import options
from holdfast.storage.report import Outcome
from holdfast.storage.scenario import Limits, Scenario

# Each scenario's deadline on the emulated tier, in seconds; the calls of one take milliseconds there.
EMULATED = Limits(deadline=3.0, call=2.0, pause=0.6, settle=0.5, enough=10)


@pytest.fixture
def torpedo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scenario]:
    """The lab of one scenario."""
    name = "T" + request.node.originalname.split("_")[2]
    failpoints = dict(text.split("=", 1) for text in options.value(request.config, "torpedo-failpoint") or ())
    seed = int(options.value(request.config, "torpedo-seed") or 0)
    csi = tmp_path if options.value(request.config, "torpedo-face") == "csi" else None
    lab = storage.emulated(failpoints=failpoints, seed=seed, csi=csi)
    scenario = Scenario(lab, name, EMULATED)
    request.node.stash[Outcome.KEY] = Outcome(scenario)
    yield scenario
    for trouble in scenario.leave():
        scenario.account.not_checked.append(f"clean-up: {trouble}")
