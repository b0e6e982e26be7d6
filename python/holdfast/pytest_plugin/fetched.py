"""What came to be on a device is fetched into `--dut-artifacts`: core files, and what Healthz collected.

A device may have a core file of any size, and call it what it likes: no more is taken than there is a bound for, and a
name is written so that it stays in its folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.exceptions import HoldfastError
from holdfast.pytest_plugin import artifacts, options
from holdfast.pytest_plugin.core_files import CoreFile
from holdfast.pytest_plugin.process_health import Ailment
from holdfast.results import Downloaded

if TYPE_CHECKING:
    import pytest

    from holdfast import Device
    from holdfast.pytest_plugin.run import Run

# Of one file, and of all that a case fetches, in bytes; and how many those may be.
LARGEST = 64 << 20
MOST = 256 << 20
FILES = 20
# How long one may be on its way, in seconds.
PATIENCE = 120.0
# Of a name, in characters.
LONGEST_NAME = 120
# What was fetched, and what came of it.
ACCOUNT = "fetched.json"


def fetch(
    run: Run, dut: Device, item: pytest.Item, cores: Sequence[CoreFile], ailments: Sequence[Ailment]
) -> list[str]:
    """Fetch what a case found, where `--dut-artifacts` was given; what is to be said of it, a line each."""
    collected = list({held.id: held for ailment in ailments for held in ailment.artifacts}.values())
    wanted: list[tuple[str, int, Callable[..., Downloaded]]] = [
        (core.path, core.size, partial(dut.file.get, core.path)) for core in cores
    ]
    wanted += [(held.name or held.id, held.size, partial(dut.healthz.artifact, held.id)) for held in collected]
    if not wanted or options.value(run.config, "dut-artifacts") is None:
        return []
    with artifacts.folder_of(run.config, item) as folder:
        return Fetching(folder / artifacts.FETCHED).all(wanted)
    return [f"{len(wanted)} files were not fetched: see the warning"]


class Fetching:
    """Files on their way into a folder, within bounds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = MOST
        self._account: list[dict[str, Any]] = []

    def all(self, wanted: Sequence[tuple[str, int, Callable[..., Downloaded]]]) -> list[str]:
        """Fetch each; what is to be said of those that did not come, or not as they should."""
        self._folder.mkdir(parents=True, exist_ok=True)
        said = [self._one(*each) for each in wanted[:FILES]]
        if len(wanted) > FILES:
            said.append(f"{len(wanted) - FILES} more files were not fetched: {FILES} are the most")
        (self._folder / ACCOUNT).write_text(json.dumps(self._account, indent=2) + "\n", encoding="utf-8")
        return [line for line in said if line]

    def _one(self, name: str, size: int, get: Callable[..., Downloaded]) -> str | None:
        limit = min(LARGEST, self._left)
        if size > limit:
            return self._keep(name, f"it was not fetched: it has {size} bytes, and {limit} may come")
        to = self._folder / f"{len(self._account) + 1}-{plain(name)}"
        try:
            came = get(to, limit=limit, check=False, timeout=PATIENCE)
        except HoldfastError as error:
            return self._keep(name, f"it was not fetched: {error.message}")
        self._left -= came.size
        facts = {"file": to.name, "size": came.size, "hash": came.hash, "verified": came.verified}
        why = "it was fetched, and is not what the device says of it" if came.verified is False else None
        return self._keep(name, why, **facts)

    def _keep(self, name: str, why: str | None, **facts: Any) -> str | None:
        self._account.append({"name": name, **facts, "why": why})
        return f"{name}: {why}" if why else None


def plain(name: str) -> str:
    """A name on the device as one of a file here: its last part, of plain characters, not too long, and not hidden."""
    last = name.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "_", last, flags=re.ASCII)[-LONGEST_NAME:].lstrip(".") or "file"
