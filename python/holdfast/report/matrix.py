"""Many runs side by side: cases by devices and by software releases, and what a release broke."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.exceptions import InvalidArgumentError
from holdfast.verdicts import CaseRecord, store

NOT_RUN = "NotRun"
# The word for several devices of one release: the first of these that one of them came to.
WORST = ("error", "FAIL", "inconclusive", "pass", "not checked", NOT_RUN)
BROKEN = ("error", "FAIL", "inconclusive")


@dataclass(frozen=True)
class Broken:
    """A case that passed on a release and fails on the next of its vendor."""

    case: str
    release: str
    earlier: str
    devices: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"{self.case}: passed on {self.earlier}, fails on {self.release} ({', '.join(self.devices)}): {self.why}"


class Matrix:
    """The last word on each case on each device and release, of all runs."""

    def __init__(self, cases: Iterable[CaseRecord]) -> None:
        last: dict[tuple[str, str, str], CaseRecord] = {}
        for case in sorted(cases, key=lambda each: each.ended):
            last[case.place, release_of(case), name_of(case)] = case
        self._last = last
        self.cases = sorted({case for _, _, case in last}, key=_natural)
        self.devices = sorted({device for device, _, _ in last}, key=_natural)
        self.releases = sorted({release for _, release, _ in last if release}, key=_natural)

    def on_device(self, case: str, device: str) -> str:
        """The verdict of its last run there; empty where there is none. What did not run says less than what did."""
        found = [record for (place, _, name), record in self._last.items() if (place, name) == (device, case)]
        ran = [record for record in found if word(record) != NOT_RUN] or found
        return word(max(ran, key=lambda record: record.ended)) if ran else ""

    def on_release(self, case: str, release: str) -> str:
        """The worst verdict of all devices that have it; empty where none was tested."""
        words = {word(record) for record in self.of_release(case, release)}
        return next((each for each in WORST if each in words), "")

    def of_release(self, case: str, release: str) -> list[CaseRecord]:
        """The cases behind that."""
        return [record for (_, on, name), record in self._last.items() if (on, name) == (release, case)]

    @property
    def broken(self) -> list[Broken]:
        """What passed on the release before of the same vendor where the case was looked at, and fails now."""
        return [found for case in self.cases for vendor in self._by_vendor() for found in self._breaks(case, vendor)]

    def _by_vendor(self) -> list[list[str]]:
        vendors: dict[str, list[str]] = {}
        for _, release, _ in sorted(self._last, key=lambda key: _natural(key[1])):
            record = next(record for (_, on, _), record in self._last.items() if on == release)
            if release and release not in vendors.setdefault(record.vendor, []):
                vendors[record.vendor].append(release)
        return list(vendors.values())

    def _breaks(self, case: str, releases: Sequence[str]) -> Iterable[Broken]:
        earlier = ""
        for release in releases:
            verdict = self.on_release(case, release)
            if verdict in BROKEN and earlier:
                bad = [record for record in self.of_release(case, release) if word(record) in BROKEN]
                yield Broken(case, release, earlier, tuple(sorted({record.place for record in bad})), _why(bad[0]))
                earlier = ""
            elif verdict == "pass":
                earlier = release


def _why(case: CaseRecord) -> str:
    lines = next((step.line for step in case.failures), case.why).splitlines()
    return lines[0] if lines else "it does not say why"


def word(case: CaseRecord) -> str:
    """Its verdict; of what did not begin, that it did not run."""
    return NOT_RUN if case.verdict == "skipped" and not case.steps else case.verdict


def release_of(case: CaseRecord) -> str:
    """The software of its device, with its vendor; empty where nobody asked the device."""
    return f"{case.vendor} {case.software}".strip() if case.software else ""


def name_of(case: CaseRecord) -> str:
    """Its number, with its title."""
    return f"{case.plan_id} {case.title}".strip()


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Numbers in it by their size: 4.9 comes before 4.10."""
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def read(folders: Sequence[Path]) -> tuple[Matrix, Mapping[Path, int]]:
    """All runs of some folders of `--dut-artifacts`, and how many cases are in each. Raises `InvalidArgumentError`."""
    found = {folder: store.read_verdicts(folder) for folder in folders}
    if empty := [folder for folder, cases in found.items() if not cases]:
        raise InvalidArgumentError(
            f"{empty[0]}: there is no case in it", hint="give folders that runs with --dut-artifacts wrote"
        )
    cases = [case for each in found.values() for case in each]
    return Matrix(cases), {folder: len(each) for folder, each in found.items()}
