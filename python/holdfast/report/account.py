"""What a run kept of its cases, read back from its artifacts."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from holdfast.exceptions import InvalidArgumentError
from holdfast.results import Rows
from holdfast.verdicts import CaseRecord, store


@dataclass(frozen=True)
class RunAccount:
    """All cases of a folder, in the order of their plans; of several runs where it was used for several."""

    folder: Path
    cases: Rows[CaseRecord]

    def html(self) -> str:
        """The page: one self-contained HTML document."""
        from holdfast.render import page

        return page.html(self.cases)

    def write(self, file: str | os.PathLike[str]) -> None:
        """Write the page."""
        Path(file).write_text(self.html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        from holdfast import tables

        heads = ("case", "device", "procedure", "depth", "away", "not checked", "failures")
        rows = [
            (
                case.plan_id,
                case.device,
                case.shown("procedure"),
                case.shown("depth"),
                tuple(f"{seconds:.2f} s" for seconds in case.outages),
                case.not_checked or case.why,
                tuple(str(step) for step in case.failures),
            )
            for case in self.cases
        ]
        return tables.table(tables.counted(len(rows), "case"), heads, rows)


def _natural(name: str) -> list[tuple[int, str]]:
    """What names are ordered by, so that T2 comes before T10."""
    parts = re.findall(r"\d+|\D+", name)
    return [(len(part.lstrip("0")), part) if part.isdecimal() else (0, part) for part in parts]


def read(folder: str | os.PathLike[str], *, session: str | None = None) -> RunAccount:
    """What `--dut-artifacts` kept in a folder, of all runs of pytest that used it or of one `session`.

    Raises `InvalidArgumentError` where there is no such folder, or no case in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InvalidArgumentError(f"{root}: there is no such folder", hint="--dut-artifacts names one")
    found = read_session(root, session)
    if not found.cases:
        raise InvalidArgumentError(
            f"{root}: there is no case in it", hint="give a folder that a run with --dut-artifacts wrote"
        )
    return found


def read_session(root: Path, session: str | None) -> RunAccount:
    """The same of one run of pytest, or of all where it is None; it may have none."""
    cases = [case for case in store.read(root) if session in (None, case.session)]
    cases.sort(key=lambda case: (case.device, _natural(case.plan_id), _natural(case.test)))
    return RunAccount(root, Rows(cases))
