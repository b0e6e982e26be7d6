"""A run of some scenarios is held against what docs/providers.md says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from providers import compare, differences

PAGE = """# Qualified providers

## nbd 1, runner own

| scenario | verdict |
|---|---|
| T1 dynamic volumes | Fail |

## nbd 1, runner kubernetes

| scenario | verdict |
|---|---|
| T1 dynamic volumes | Pass |
| T5 node powered off | Pass |
"""


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ({"T1 dynamic volumes": "Pass"}, []),
        ({"T1 dynamic volumes": "Fail"}, ["T1 dynamic volumes: listed as Pass, and got Fail"]),
        ({"T6 create with plugin down": "Pass"}, ["T6 create with plugin down: listed as None, and got Pass"]),
    ],
)
def test_a_row_that_came_out_otherwise_is_told(verdicts: dict[str, str], told: list[str]) -> None:
    title = "nbd 1, runner kubernetes"
    assert differences(PAGE, f"## {title}\n\nmore", verdicts) == [f"{title}, {each}" for each in told]


def test_a_section_that_the_page_lacks_is_told() -> None:
    assert differences(PAGE, "## nbd 2, runner own\n", {"T1 dynamic volumes": "Pass"}) != []


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({}, "holds no report of Torpedo: "),
        ({"torpedo.json": "{", "torpedo.md": "## nbd 1\n"}, "holds no report of Torpedo: "),
        ({"torpedo.json": json.dumps({"scenarios": []}), "torpedo.md": "## nbd 1\n"}, "nothing was compared"),
    ],
)
def test_a_folder_without_a_report_is_told(
    held: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in held.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert compare(tmp_path) == 2
    assert said in capsys.readouterr().out
