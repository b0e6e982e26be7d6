"""Rows of Torpedo's table as a run makes them, for what prints them."""

from __future__ import annotations

from typing import Any


def row(scenario: str = "T1", variant: str = "", **more: str) -> dict[str, Any]:
    """All columns of a scenario that passed under holdfast's own runner, but for those that `more` gives."""
    zero = dict.fromkeys(("acknowledged", "lost", "altered", "stale", "seconds", "own_seconds"), "0")
    empty = dict.fromkeys(("faults", "not_checked", "calls"), "[]")
    said = {"provider": "d", "provider_version": "1", "emulated": "", "runner": "own", "recovery": "", "reason": ""}
    return {**zero, **empty, **said, "torpedo": scenario, "variant": variant, "verdict": "Pass", "timeline": "", **more}
