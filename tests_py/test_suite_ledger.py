"""The ledger of the suites' container: what it counts as a start."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import holdfast
from holdfast.exceptions import ExpectationFailed
from holdfast.pytest_plugin.ledger import Ledger


def test_a_start_whose_records_nobody_acknowledged_counts(device: holdfast.Device, archive: Path) -> None:
    image = device.containerz.deploy(archive)
    device.containerz.create_volume("ledger")
    device.containerz.start("writer", image=image, volumes={"ledger": "/data"}, ports={60061: 60061})
    run: Any = SimpleNamespace(id="run", unasked=None, note=print)
    ledger = Ledger(run, device, 60061)
    ledger.write(2)
    device.containerz.stop("writer", restart=True)
    device.append_record(60061, b"its answer was lost")
    ledger.compare()
    ledger.expect_one_start()
    device.containerz.stop("writer", restart=True)
    ledger.compare()
    with pytest.raises(ExpectationFailed, match="3 incarnations"):
        ledger.expect_one_start()
