"""The examples in the docstrings of the package and of its stubs give what they say, each alone."""

from __future__ import annotations

import ast
import doctest
import importlib
import pathlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast

PACKAGE = Path(holdfast.__file__).parent
# What must have one: where people begin.
SHOWN = {
    "_connect.connect",
    "_emulator.emulator",
    "failpoint.Failpoints.failpoint",
    "failpoint.parse",
    "results.Archive.open",
    "testbed",
    "_core.Device.switchover",
    "_core.Containerz.expect_container",
    "_core.Containerz.follow_logs",
}


def documented(tree: ast.AST, name: str) -> Iterator[tuple[str, str, int]]:
    """The name, docstring and line of a module and all in it."""
    if isinstance(tree, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield name, ast.get_docstring(tree) or "", getattr(tree, "lineno", 0)
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from documented(node, f"{name}.{node.name}")


def examples() -> Iterator[tuple[str, str, int, Path]]:
    for file in sorted((*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi"))):
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for name, text, line in documented(ast.parse(file.read_text(encoding="utf-8")), module):
            if ">>>" in text:
                yield name, text, line, file


EXAMPLES = list(examples())


@pytest.fixture
def names(request: pytest.FixtureRequest, archive: Path) -> dict[str, Any]:
    """What examples take for granted: an emulated device, a session with it, and a container on it."""
    dut = request.getfixturevalue("device")
    image = dut.containerz.deploy(archive)
    dut.containerz.start("web", image=image, ports={60061: 60061})
    dut.expect_redundant("Supervisor1")
    return {"chassis": request.getfixturevalue("chassis_of_test"), "dut": dut, "pathlib": pathlib}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[0])
def test_an_example_gives_what_it_says(
    example: tuple[str, str, int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    name, text, line, file = example
    monkeypatch.chdir(tmp_path)
    inside = ".".join(("holdfast", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    known: dict[str, Any] = {**vars(importlib.import_module(inside)), "holdfast": holdfast}
    if "dut" in text or "chassis" in text:
        known.update(request.getfixturevalue("names"))
    test = doctest.DocTestParser().get_doctest(text, known, name, str(file), line)
    said: list[str] = []
    done = doctest.DocTestRunner().run(test, out=said.append)
    assert done.failed == 0, "".join(said)
    assert done.attempted > 0


def test_what_people_begin_with_has_an_example() -> None:
    assert {name for name, *_ in EXAMPLES} >= SHOWN


def test_no_code_is_shown_that_cannot_be_run() -> None:
    """Indented code is an example that nothing runs; those of other frameworks are for tests_frameworks."""
    found = [
        f"{file.relative_to(PACKAGE)}: {name}"
        for file in sorted((*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")))
        if file.parent.name != "integrations"
        for name, text, _ in documented(ast.parse(file.read_text(encoding="utf-8")), file.stem)
        if any(line.startswith("    ") for line in text.splitlines()) and ">>>" not in text
    ]
    assert found == []
