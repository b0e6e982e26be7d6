"""docs/archives.md is held true where the tools are those it was made with, and in part where they are others."""

from __future__ import annotations

import pytest

import archive_tools
from archive_tools import PAGE, not_held, wrong

PAGE_TEXT = PAGE.read_text(encoding="utf-8")
OCI = ("`skopeo copy oci-archive:`", "OCI layout", "yes", "yes", "yes", "takes", "refuses", "skopeo 1.9.3")


def changed(**cells: str) -> tuple[str, ...]:
    names = [column.replace(" ", "_") for column in archive_tools.COLUMNS]
    return tuple(cells.get(name, cell) for name, cell in zip(names, OCI, strict=True))


def test_the_page_is_of_the_versions_that_its_rows_name(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"skopeo": "skopeo 1.9.3", "dockerd": "dockerd 20.10.24+dfsg1"}
    monkeypatch.setattr(archive_tools, "version_of", shown.__getitem__)
    monkeypatch.setattr(archive_tools.shutil, "which", lambda tool: tool)
    assert not_held(PAGE_TEXT) == {}
    shown["dockerd"] = "dockerd 28.2.2"
    assert not_held(PAGE_TEXT) == {"docker load": "the page is of dockerd 20.10.24+dfsg1, and here is dockerd 28.2.2"}


def test_what_another_tool_here_takes_is_no_fault_of_the_page() -> None:
    newer = changed(docker_load="takes")
    assert len(list(wrong(newer, PAGE_TEXT))) == 1
    assert list(wrong(newer, PAGE_TEXT, ["docker load"])) == []


def test_what_a_tool_of_any_version_takes_holdfast_takes_too() -> None:
    refused = changed(docker_load="takes", opens="no such layout")
    assert any("holdfast says: no such layout" in each for each in wrong(refused, PAGE_TEXT, ["docker load"]))


def test_what_holdfast_says_is_held_beside_any_tool() -> None:
    assert len(list(wrong(changed(deploys="no"), PAGE_TEXT, ["docker load", "skopeo"]))) == 1
