"""Which case of which test plan a test is."""

from __future__ import annotations

import pytest

from holdfast.pytest_plugin import options


def plan_of(item: pytest.Item) -> pytest.Mark | None:
    """The marker that says it, if it is one."""
    found = (item.get_closest_marker(suite) for suite in options.DEVICE_SUITES)
    return next((marker for marker in found if marker is not None), None)
