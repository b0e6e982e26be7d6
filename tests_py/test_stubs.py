"""The stubs of the core say what each call that goes out raises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast import exceptions

STUBS = Path(holdfast.__file__).with_name("_core.pyi")
KNOWN = {
    name
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, exceptions.HoldfastError)
}


def calls_out() -> Iterator[tuple[str, str]]:
    """The name and the docstring of each function that may wait for somebody: it takes a timeout."""
    for node in ast.parse(STUBS.read_text(encoding="utf-8")).body:
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for each in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(each, ast.FunctionDef) and "timeout" in {argument.arg for argument in each.args.kwonlyargs}:
                yield f"{owner}{each.name}", ast.get_docstring(each) or ""


DOCUMENTED = dict(calls_out())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_call_that_goes_out_says_what_it_raises(name: str) -> None:
    words = DOCUMENTED[name]
    if same := re.match(r"As `([\w.]+)`", words):
        assert same[1] in DOCUMENTED, "whose docstring says it"
        return
    raised = {word for word in re.findall(r"`(\w+)`", words) if word in KNOWN}
    assert raised, "no error of holdfast.exceptions is named"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_is_said_to_be_raised_is_there(name: str) -> None:
    for sentence in re.findall(r"Raises? ((?:`\w+`(?:, | or | and |,? and )?)+)", DOCUMENTED[name]):
        words = re.findall(r"`(\w+)`", sentence)
        assert set(words) <= KNOWN, words
