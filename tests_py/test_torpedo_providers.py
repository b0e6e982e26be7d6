"""docs/providers.md stays true: the providers that are listed there get the verdicts that are written there."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.storage.provider import read
from holdfast.storage.report import NAMES

from conftest import RunSuite

PAGE = Path(__file__).parent.parent / "docs" / "providers.md"
LACKS = read("rclone").lacks()

pytestmark = pytest.mark.skipif(bool(LACKS), reason="; ".join(LACKS))


def listed(section: str) -> dict[str, str]:
    """Of each scenario: the verdict in a section of the page."""
    rows = PAGE.read_text(encoding="utf-8").split(f"\n## {section} ")[1].partition("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in row.split("|")] for row in rows if row.startswith("| T")]
    return {title: verdict for _, title, verdict, *_ in cells}


@pytest.mark.parametrize(
    ("name", "section"),
    [("rclone", "rclone serve docker rclone"), ("rclone-strict", "rclone serve docker, vfs-write-back 0s rclone")],
)
def test_a_listed_provider_gets_its_verdicts(name: str, section: str, run_suite: RunSuite) -> None:
    run = run_suite("-k", "torpedo", "--provider", name)
    found = {}
    for case in run.cases.values():
        told = case.properties
        variant = f" ({told['variant']})" if told["variant"] else ""
        found[f"{told['torpedo']} {NAMES[told['torpedo']]}{variant}"] = told["verdict"]
    assert found == listed(section), run.output


def test_the_labs_own_driver_is_listed() -> None:
    verdicts = listed("nbd.storage.holdfast")
    assert len(verdicts) == 13
    assert set(verdicts.values()) == {"Pass", "NotRun"}
