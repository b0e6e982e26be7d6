"""Tasks that the cluster keeps: two writers are the cluster's fault, and said before anything is taken from anybody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from holdfast.exceptions import SchedulerError
from holdfast.storage import keeping
from holdfast.storage.scenario import Scenario
from holdfast.suites.torpedo.lab import EMULATED


@dataclass
class NextLife:
    acknowledged: int


@dataclass
class Waiting:
    limits: Any


def test_a_next_life_that_writes_too_early_is_the_cluster_s_fault() -> None:
    torpedo = cast(Scenario, Waiting(replace(EMULATED, pause=0.1)))
    keeping.expect_one_writer(torpedo, cast(Any, [NextLife(0), NextLife(0)]))
    with pytest.raises(SchedulerError, match="two write one volume"):
        keeping.expect_one_writer(torpedo, cast(Any, [NextLife(0), NextLife(1)]))
