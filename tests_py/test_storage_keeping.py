"""Tasks that the cluster keeps: two writers are the cluster's fault, and said before anything is taken from anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from holdfast.exceptions import SchedulerError
from holdfast.storage import keeping


@dataclass
class NextLife:
    acknowledged: int


def test_a_next_life_that_writes_too_early_is_the_cluster_s_fault() -> None:
    keeping.expect_one_writer(cast(Any, [NextLife(0), NextLife(0)]), within=0.1)
    with pytest.raises(SchedulerError, match="two write one volume"):
        keeping.expect_one_writer(cast(Any, [NextLife(0), NextLife(1)]), within=0.1)
